"""Logs: one JSON line an event, control characters escaped, a request's id with it.

`configure_logging` is called once by `app.main` or `app.cli`; everyone else uses `logging.getLogger(__name__)` and
gives further members as `extra`. `request_id_of` is set by the edge and read by the formatter alone.
"""

import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

import orjson

request_id_of: ContextVar[str | None] = ContextVar("request_id_of", default=None)

_request_logger = logging.getLogger("app.requests")
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
TEXT_SHOWN = 2_000  # characters of one member; a log line must stay a line that a person can read


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON. JSON escapes control characters, so no text can forge a line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _plain(record.getMessage()),
        }
        request_id = request_id_of.get()
        if request_id is not None:
            line["request_id"] = request_id
        for name, value in vars(record).items():
            if name not in _OWN:
                line[name] = _plain(value)
        if record.exc_info:
            line["exception"] = _plain(self.formatException(record.exc_info), shown=20_000)
        return orjson.dumps(line).decode()


def _plain(value: object, *, shown: int = TEXT_SHOWN) -> object:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return value
    text = str(value).encode("utf-8", "backslashreplace").decode()
    text = "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= shown else text[:shown] + "…"


def configure_logging(level: str = "info") -> None:
    """Sends every log line to standard error as JSON. Calling it again changes the level only."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    if not any(isinstance(handler.formatter, JsonFormatter) for handler in root.handlers):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter())
        root.handlers[:] = [handler]
    logging.getLogger("alembic").setLevel(max(logging.WARNING, root.level))  # it tells of every look at the tables
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "fastapi"):
        library_logger = logging.getLogger(name)
        library_logger.handlers.clear()
        library_logger.propagate = True


def log_request(method: str, route: str, status: int, seconds: float, caller: str | None = None) -> None:
    """Writes one line for one request: its route's template, never its path, which may hold anything."""
    told: dict[str, object] = {"method": method, "route": route, "status": status}
    told["duration_ms"] = round(seconds * 1000, 3)
    if caller is not None:
        told["caller"] = caller  # the name of the key
    _request_logger.info("request", extra=told)
