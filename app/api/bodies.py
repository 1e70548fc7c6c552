"""Reading a request's body: at most so many bytes, and JSON only through the strict reader.

Called by `JsonRoute` and by the raw routes; knows nothing of what the bytes mean.
"""

from collections.abc import Iterable

from starlette.types import Receive

from app.errors import Malformed, TooLarge, UnsupportedMedia
from app.tensors.strict_json import read_json


class ClientGone(Exception):
    """The client closed the connection before the body was whole; there is nobody to answer."""


def header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    """Finds a header by its lower-case name; several of one name are joined by commas."""
    found = [value.decode("latin-1") for key, value in headers if key == name]
    return ", ".join(found) if found else None


async def read_body(receive: Receive, headers: Iterable[tuple[bytes, bytes]], limit_bytes: int) -> bytes:
    """Reads the whole body.

    Raises: TooLarge as soon as it is known to be more than `limit_bytes` (by Content-Length, or by counting);
    ClientGone when the client leaves first.
    """
    check_announced(headers, limit_bytes)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit_bytes:
            raise too_large(limit_bytes)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def check_announced(headers: Iterable[tuple[bytes, bytes]], limit_bytes: int) -> None:
    """Raises TooLarge if Content-Length is more than `limit_bytes`."""
    announced = header(headers, b"content-length")
    if announced is not None and announced.isdecimal() and int(announced[:20]) > limit_bytes:
        raise too_large(limit_bytes)


def too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(
        f"The body is larger than the {limit_bytes:,} bytes that are read here.", extra={"limit_bytes": limit_bytes}
    )


def check_json_type(content_type: str | None) -> None:
    """Refuses a body that says it is something else than JSON. No Content-Type at all is taken for JSON."""
    if content_type is None:
        return
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    if media_type != "application/json":
        shown = media_type[:80] or "an empty Content-Type"
        raise UnsupportedMedia(f"The body is read as application/json; {shown} is not read here.")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in {"utf-8", "utf8"}:
            raise UnsupportedMedia("JSON is read as UTF-8; another charset is not read here.")


def parse_json(body: bytes, content_type: str | None) -> object:
    """Reads a JSON body strictly. Raises: UnsupportedMedia, Malformed and limit-exceeded (with line and column)."""
    check_json_type(content_type)
    if not body.strip():
        raise Malformed("The body is empty; a JSON document is expected.")
    return read_json(body)
