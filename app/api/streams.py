"""Bodies that are never whole in memory: read while they come in, sent while they are read; and parts of them.

A reply's first MiB is there before its head goes out, so what is wrong so early is a problem document; what goes wrong
later breaks the connection off. Called by the routes of state_dicts and artifacts.
"""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from app.api.bodies import ClientGone, check_announced, header, too_large
from app.api.errors import RangeNotSatisfiable
from app.services.downloads import TensorFile

FIRST_BYTES = 2**20
_RANGE = re.compile(r"(?i:bytes)=(\d{0,19})-(\d{0,19})")


class Part(NamedTuple):
    """Bytes `start` to `stop` - 1 of a reply."""

    start: int
    stop: int


def read_range(text: str | None, size: int) -> Part | None:
    """Reads a Range header; None for the whole: no header, several ranges, or one that says nothing.

    Raises: RangeNotSatisfiable.
    """
    found = _RANGE.fullmatch(text.strip()) if text else None
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        length = int(found[2])
        if length == 0 or size == 0:
            raise RangeNotSatisfiable(size)
        return Part(max(size - length, 0), size)
    start, last = int(found[1]), int(found[2]) if found[2] else size - 1
    if found[2] and last < start:
        return None  # it is no range (RFC 9110, 14.1.1)
    if start >= size:
        raise RangeNotSatisfiable(size)
    return Part(start, min(last + 1, size))


def is_head(request: Request) -> bool:
    """True if only the head of the reply is wanted; the edge has made a GET of the HEAD by then."""
    return bool(getattr(request.state, "head", False))


async def stream_body(request: Request, limit_bytes: int) -> AsyncIterator[bytes]:
    """Yields the body's bytes as they come. Raises: TooLarge, by Content-Length or by counting; ClientGone."""
    check_announced(request.scope["headers"], limit_bytes)
    size = 0
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece = message.get("body", b"")
        size += len(piece)
        if size > limit_bytes:
            raise too_large(limit_bytes)
        if piece:
            yield piece
        more = message.get("more_body", False)


@dataclass(frozen=True)
class _Head:
    status: int
    headers: list[tuple[bytes, bytes]]
    part: Part | None


class StreamedFile(Response):
    """A file of tensors as a reply: whole, or the part that `Range` asks for where its size is known before."""

    def __init__(self, request: Request, file: TensorFile, etag: str, *, filename: str) -> None:
        super().__init__()
        self._file = file
        self._head_only = is_head(request)
        self._reply = _head_of(request, file, etag, filename)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI's signature
        start = {"type": "http.response.start", "status": self._reply.status, "headers": self._reply.headers}
        if self._head_only:
            await send(start)
            await send({"type": "http.response.body", "body": b""})
            return
        part = self._reply.part
        pieces = self._file.pieces(part.start, part.stop) if part else self._file.pieces()
        first: list[bytes | memoryview] = []
        while sum(map(len, first)) < FIRST_BYTES and (piece := await anext(pieces, None)) is not None:
            first.append(piece)
        await send(start)
        for piece in first:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        async for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _head_of(request: Request, file: TensorFile, etag: str, filename: str) -> _Head:
    headers = [
        ("content-type", file.media_type),
        ("etag", etag),
        ("vary", "accept"),
        ("content-disposition", f'attachment; filename="{filename}"'),
    ]
    part = None
    if file.size is not None:
        headers.append(("accept-ranges", "bytes"))
        if not is_head(request) and header(request.scope["headers"], b"if-range") in (None, etag):
            part = read_range(header(request.scope["headers"], b"range"), file.size)
        length = file.size if part is None else part.stop - part.start
        headers.append(("content-length", str(length)))
        if part is not None:
            headers.append(("content-range", f"bytes {part.start}-{part.stop - 1}/{file.size}"))
    return _Head(200 if part is None else 206, _raw(headers), part)


def _raw(headers: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
