"""The one renderer of errors: a `LabError` becomes a problem document (RFC 9457), whichever road it took.

Owns which status an error class has. Knows nothing of what raises them. Called by `app.api.edge` (for the raw
routes and for what nobody caught) and by the FastAPI application (`handlers`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote

import orjson

from app import errors
from app.api.problem_codes import CODES
from app.errors import LabError, Place

PROBLEM_MEDIA_TYPE = "application/problem+json"
PLACES_SHOWN = 20
LONGEST_TEXT = 2_000
DEFAULT_RETRY_SECONDS = 1

STATUS: dict[type[LabError], int] = {
    errors.Malformed: 400,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.NotAcceptable: 406,
    errors.Conflict: 409,
    errors.Stale: 412,
    errors.TooLarge: 413,
    errors.UnsupportedMedia: 415,
    errors.Unprocessable: 422,
    errors.Busy: 429,
    errors.Damaged: 500,
    errors.Unavailable: 503,
    errors.DeadlineExceeded: 504,
    errors.StorageFull: 507,
    errors.OutOfMemory: 507,
}


class MethodNotAllowed(LabError):
    """The address exists, but not with this method; `allowed` are those it has."""

    code = "method-not-allowed"

    def __init__(self, detail: str, allowed: Sequence[str]) -> None:
        super().__init__(detail)
        self.allowed = tuple(allowed)


class RangeNotSatisfiable(LabError):
    """The part that `Range` asks for lies behind the end; `size` is how long the whole is."""

    code = "range-not-satisfiable"

    def __init__(self, size: int) -> None:
        super().__init__(f"The file has {size:,} bytes, and the part asked for begins after that.")
        self.size = size


STATUS |= {MethodNotAllowed: 405, RangeNotSatisfiable: 416}


class Unexpected(LabError):
    """Stands for an exception that nobody foresaw; it tells the client nothing but where to look it up."""

    code = "internal-error"

    def __init__(self) -> None:
        super().__init__("Something went wrong inside the service. The log has more under this request's id.")


@dataclass(frozen=True)
class RawReply:
    """A whole reply, ready to go out. Header names are lower case."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


def status_of(error: LabError) -> int:
    """Tells the HTTP status of an error by its class."""
    for kind in type(error).__mro__:
        status = STATUS.get(kind)
        if status is not None:
            return status
    return 500


def problem_document(
    error: LabError, *, instance: str | None = None, request_id: str | None = None
) -> dict[str, object]:
    """Makes the problem document: type, title, status, detail, code, errors, and what the error adds."""
    status = status_of(error)
    known = CODES.get(error.code)
    document: dict[str, object] = {
        "type": f"/problems/{error.code}" if known else "about:blank",
        "title": known.title if known else HTTPStatus(status).phrase,
        "status": status,
        "detail": _cut(error.detail),
        "code": error.code,
    }
    if instance:
        document["instance"] = instance
    if request_id:
        document["request_id"] = request_id
    document["errors"] = [_place(place) for place in error.places[:PLACES_SHOWN]]
    if len(error.places) > PLACES_SHOWN:
        document["errors_left_out"] = len(error.places) - PLACES_SHOWN
    for name, value in error.extra.items():
        document.setdefault(name, value)
    return document


def _place(place: Place) -> dict[str, str]:
    return {"pointer": _cut(place.pointer), "message": _cut(place.message)}


def _cut(text: str) -> str:
    """A text short enough to send back: a name or a number in it may be as long as a body."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"


def render_problem(error: LabError, *, path: str | None = None, request_id: str | None = None) -> RawReply:
    """Renders an error as a whole reply, with the headers that its status asks for.

    Clients of the Open Inference Protocol read `error`, and that from `application/json` alone.
    """
    document = problem_document(error, instance=_instance(path), request_id=request_id)
    inference = path is not None and is_inference(path)
    if inference:
        document["error"] = document["detail"]
    body = _dump(document)
    headers = [
        (b"content-type", b"application/json" if inference else PROBLEM_MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    status = status_of(error)
    headers.extend(_headers_for(error, status))
    return RawReply(status, headers, body)


def is_inference(path: str) -> bool:
    """Tells whether an address is one of the Open Inference Protocol, whose clients read problems in their own way."""
    return path == "/v2" or path.startswith("/v2/")


def _headers_for(error: LabError, status: int) -> list[tuple[bytes, bytes]]:
    if isinstance(error, MethodNotAllowed):
        return [(b"allow", ", ".join(error.allowed).encode())]
    if isinstance(error, RangeNotSatisfiable):
        return [(b"content-range", f"bytes */{error.size}".encode())]
    if status == 401:
        return [(b"www-authenticate", b'Bearer realm="model-lab"')]
    if status in {429, 503}:
        seconds = error.extra.get("retry_after_seconds", DEFAULT_RETRY_SECONDS)
        whole = max(1, round(seconds)) if isinstance(seconds, int | float) else DEFAULT_RETRY_SECONDS
        return [(b"retry-after", str(whole).encode())]
    return []


def _instance(path: str | None) -> str | None:
    """A path as a URI reference: percent-encoded where it must be, and cut where it is absurdly long."""
    if path is None:
        return None
    return quote(path[:512], safe="/~!$&'()*+,;=:@-._", errors="replace")


def _dump(document: Mapping[str, object]) -> bytes:
    try:
        return orjson.dumps(document)
    except TypeError:  # a lone surrogate in text, or a value that is no JSON: never let an error hide an error
        return json.dumps(document, default=str, ensure_ascii=True).encode()
