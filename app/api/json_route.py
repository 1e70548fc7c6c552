"""The route class of every FastAPI route here: strict JSON in, unknown query parameters refused.

FastAPI would read JSON with Python's own reader, which takes NaN, duplicate keys and lone surrogates. This class
reads the body first, with its own limit, and hands FastAPI the finished value.
"""

from collections.abc import Callable, Collection, Coroutine, Iterable
from difflib import get_close_matches
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import ParamTypes
from fastapi.routing import APIRoute

from app.api.bodies import header, parse_json, read_body
from app.api.negotiation import JSON
from app.errors import Place, Unprocessable
from app.settings import Settings

ENVELOPE_BYTES = 64 * 1024  # what may stand around an architecture: names, labels, keys
QUERY_SHOWN = 60


class JsonRequest(Request):
    """A request whose JSON body has been read already."""

    def __init__(self, request: Request, body: bytes, value: object) -> None:
        super().__init__(_as_json(request.scope), request.receive)
        self._body = body  # Starlette keeps it under this name too, so that `body()` gives it again
        self._value = value

    async def json(self) -> object:
        return self._value


class BytesRequest(Request):
    """A request whose body has been read already and is nobody's to parse here."""

    def __init__(self, request: Request, body: bytes) -> None:
        super().__init__(request.scope, request.receive)
        self._body = body


class JsonRoute(APIRoute):
    """A route whose body, if it takes one, is a JSON document of at most an architecture's size."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        known = {
            field.alias for field in get_flat_params(self.dependant) if _place_of(field.field_info) == ParamTypes.query
        }
        takes_body = self.body_field is not None
        may_be_empty = self.body_field is not None and not self.body_field.field_info.is_required()

        async def handle_strictly(request: Request) -> Response:
            check_query(request.query_params.multi_items(), known)
            if takes_body:
                request = await _with_json(request, body_limit(request.state.lab.settings), may_be_empty=may_be_empty)
            return await handle(request)

        return handle_strictly


def body_limit(settings: Settings) -> int:
    """Most bytes of a JSON body that holds an architecture."""
    return settings.limits.architecture_bytes + ENVELOPE_BYTES


class BytesRoute(APIRoute):
    """A route whose body is tensors, in JSON or in a binary format, that a worker reads. `request.body()` gives it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        known = {
            field.alias for field in get_flat_params(self.dependant) if _place_of(field.field_info) == ParamTypes.query
        }

        async def handle_bytes(request: Request) -> Response:
            check_query(request.query_params.multi_items(), known)
            settings = request.state.lab.settings
            headers = request.scope["headers"]
            limit_bytes = settings.json_body_bytes if content_type_of(request) == JSON else settings.body_bytes
            body = await read_body(request.receive, headers, limit_bytes)
            return await handle(BytesRequest(request, body))

        return handle_bytes


def content_type_of(request: Request) -> str:
    """The media type of a request's body, without parameters; JSON where none is given."""
    return request.headers.get("content-type", JSON).partition(";")[0].strip().lower() or JSON


async def _with_json(request: Request, limit_bytes: int, *, may_be_empty: bool) -> Request:
    headers = request.scope["headers"]
    body = await read_body(request.receive, headers, limit_bytes)
    if may_be_empty and not body.strip():
        return JsonRequest(request, b"", None)
    return JsonRequest(request, body, parse_json(body, header(headers, b"content-type")))


def _as_json(scope: Any) -> Any:
    """The scope with a Content-Type that FastAPI takes for JSON: what the type really was has been judged by now."""
    headers = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
    return {**scope, "headers": [*headers, (b"content-type", b"application/json")]}


def _place_of(field_info: object) -> object:
    return getattr(field_info, "in_", None)


def check_query(items: Iterable[tuple[str, str]], known: Collection[str]) -> None:
    """Refuses query parameters that the operation does not have: a typing slip must not be passed over in silence; and
    a value with a NUL in it, which no name has and PostgreSQL takes in no text."""
    unknown: list[str] = []
    for name, value in items:
        if name not in known:
            unknown.append(name)
        elif "\0" in value:
            message = f"The query parameter `{name}` holds a NUL character."
            raise Unprocessable(message, code="invalid-request", places=[Place("", message)])
    if not unknown:
        return
    shown = unknown[0][:QUERY_SHOWN]
    near = get_close_matches(shown, known, n=1)
    hint = f" Did you mean `{near[0]}`?" if near else ""
    has = f" It has {', '.join(sorted(known))}." if known else " It has none."
    message = f"This operation has no query parameter `{shown}`.{hint}{has}"
    raise Unprocessable(message, code="unknown-key", places=[Place("", message)])
