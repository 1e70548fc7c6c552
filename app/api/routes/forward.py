"""`POST /v1/networks/{name}/forward`, as a plain ASGI application in front of FastAPI.

Most requests of a service come this way, so nothing here parses a tensor, makes a model of the body or changes
threads: bytes in, bytes out. `app.api.edge` sends matching requests here and renders what is raised. Its OpenAPI
description stands in `app.api.routes.forward_docs`.
"""

from collections.abc import Iterable
from functools import lru_cache, partial
from typing import Literal, NamedTuple, cast
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from app.api.bodies import check_json_type, header, read_body
from app.api.jobs import Later, answer_accepted, read_later
from app.api.json_route import check_query
from app.api.negotiation import JSON, NPY, NPZ, PT, SAFETENSORS, choose
from app.api.preconditions import etag_of, read_if_match
from app.api.replies import reply_of_answer
from app.api.retries import AnsweredBefore, take_retry
from app.errors import Malformed, Place, Unprocessable
from app.messages import Encoded, Mode
from app.services.forward import forward
from app.services.forward_later import LaterForward
from app.services.idempotency import Answer
from app.services.jobs import JobRequest, accept_job
from app.services.lab import Lab
from app.services.references import find_reference

OFFERED = (JSON, SAFETENSORS, NPY, NPZ, PT)
_PREFIX_LENGTH = len("/v1/networks/")
_SUFFIX_LENGTH = len("/forward")
_INT64 = range(-(2**63), 2**64)


class _Options(NamedTuple):
    """What the query says, for bodies that cannot say it themselves."""

    mode: Mode = "eval"
    seed: int | None = None
    revision: int | None = None
    capture: tuple[str, ...] = ()
    format: str | None = None
    update_buffers: bool = False


async def forward_app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers one forward request; `scope["state"]["lab"]` holds the services."""
    lab: Lab = scope["state"]["lab"]
    content_type, accept, prefers = b"application/json", b"", False
    for name, value in scope["headers"]:
        if name == b"content-type":
            content_type = value
        elif name == b"accept":
            accept = accept + b"," + value if accept else value
        elif name == b"prefer":
            prefers = True
    options = _read_options(scope["query_string"]) if scope["query_string"] else _Options()
    media_type = _media_type(content_type)
    reply_type = _choose(accept, options.format, lab.settings.pt_files)
    name = scope["path"][_PREFIX_LENGTH:-_SUFFIX_LENGTH]
    limit_bytes = lab.settings.json_body_bytes if media_type == JSON else lab.settings.body_bytes
    body = await read_body(receive, scope["headers"], limit_bytes)
    if prefers and (later := read_later(scope["headers"])) is not None:
        answer = await _accept(scope, lab, name, _ask(scope, media_type, reply_type, options), body, later)
        await reply_of_answer(answer)(scope, receive, send)
        return
    reply = await forward(
        lab,
        name,
        body=body,
        content_type=media_type,
        accept=reply_type,
        revision=options.revision,
        mode=options.mode,
        seed=options.seed,
        capture=list(options.capture),
        update_buffers=options.update_buffers,
        if_match=partial(_if_match, scope["headers"]),
    )
    headers = [(b"content-type", reply.media_type.encode()), (b"content-length", b"%d" % len(reply.body))]
    if reply.revision is not None:
        headers.append((b"etag", b'"%d"' % reply.revision))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


def _ask(scope: Scope, content_type: str, accept: str, options: _Options) -> LaterForward:
    return LaterForward(
        content_type=content_type,
        accept=accept,
        revision=options.revision,
        mode=options.mode,
        seed=options.seed,
        capture=list(options.capture),
        update_buffers=options.update_buffers,
        if_match=_if_match(scope["headers"]),
    )


async def _accept(scope: Scope, lab: Lab, name: str, asked: LaterForward, body: bytes, later: Later) -> Answer:
    """Makes a job of the request."""
    try:
        retry = await take_retry(lab, scope, header(scope["headers"], b"idempotency-key"), body)
    except AnsweredBefore as earlier:
        return earlier.answer
    wanted = JobRequest("forward", asked, await find_reference(lab, name), name, later.priority, body=body)
    return await accept_job(lab, wanted, retry, answer_accepted)


def render(reply: Encoded) -> Answer:
    """The answer of a job."""
    etag = [] if reply.revision is None else [["etag", etag_of(reply.revision)]]
    return Answer(200, [["content-type", reply.media_type], *etag], reply.body)


def _if_match(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[str] | None:
    return read_if_match(header(headers, b"if-match"))


@lru_cache(maxsize=256)
def _media_type(content_type: bytes) -> str:
    media_type = content_type.split(b";")[0].strip().lower().decode("latin-1") or JSON
    if media_type == JSON:
        check_json_type(content_type.decode("latin-1") or None)
    return media_type


@lru_cache(maxsize=256)
def _choose(accept: bytes, format_name: str | None, pt: bool) -> str:
    return choose(accept.decode("latin-1"), format_name, OFFERED, pt=pt)


def _read_options(query: bytes) -> _Options:
    try:
        values = parse_qs(query.decode("ascii"), keep_blank_values=True, max_num_fields=100, errors="strict")
    except ValueError as error:
        raise Malformed("The query string is not percent-encoded UTF-8.") from error
    check_query(((name, value) for name, each in values.items() for value in each), _Options._fields)
    mode = values.get("mode", ["eval"])[-1]
    if mode != "eval" and mode != "train":  # mypy narrows this, not `in`
        raise _wrong("mode", "is `eval` or `train`")
    return _Options(
        mode=cast("Mode", mode),
        seed=_integer(values, "seed"),
        revision=_integer(values, "revision"),
        capture=tuple(values.get("capture", ())),
        format=values.get("format", [None])[-1],
        update_buffers=_boolean(values, "update_buffers"),
    )


def _integer(values: dict[str, list[str]], name: Literal["seed", "revision"]) -> int | None:
    if name not in values:
        return None
    text = values[name][-1]
    if len(text) <= 20 and text.removeprefix("-").isdecimal() and text.isascii() and int(text) in _INT64:
        return int(text)
    raise _wrong(name, "is an integer of 64 bits")


def _boolean(values: dict[str, list[str]], name: str) -> bool:
    text = values.get(name, ["false"])[-1]
    if text not in ("true", "false"):
        raise _wrong(name, "is `true` or `false`")
    return text == "true"


def _wrong(name: str, should: str) -> Unprocessable:
    message = f"`{name}` in the query {should}."
    return Unprocessable(message, code="bad-query", places=[Place("", message)])
