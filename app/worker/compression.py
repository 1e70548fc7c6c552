"""Bodies that are compressed: gzip and deflate, as the clients of the Open Inference Protocol send and ask for them.

Done in a worker, since it takes longer than anything the HTTP process does. Called by `inference.py`.
"""

import zlib

from app.errors import Malformed, TooLarge, UnsupportedMedia

_WINDOWS = {"gzip": 31, "deflate": 15}  # zlib's window bits, which also choose the form
LEVEL = 1  # most of the saving at a fraction of the time


def unpack(body: bytes, encoding: str, most_bytes: int) -> bytes:
    """The body as it was before it was compressed. Raises: UnsupportedMedia, Malformed, TooLarge."""
    if encoding not in _WINDOWS:
        raise UnsupportedMedia(f"Bodies are read as they are, or in {' or '.join(_WINDOWS)}; not in {encoding[:40]!r}.")
    unpacker = zlib.decompressobj(_WINDOWS[encoding])
    try:
        unpacked = unpacker.decompress(body, most_bytes + 1)
    except zlib.error as error:
        raise Malformed(f"The body is not {encoding}: {error}.") from None
    if len(unpacked) > most_bytes:
        raise TooLarge(f"The body unpacks to more than the {most_bytes:,} bytes that are read here.")
    if not unpacker.eof or unpacker.unused_data:
        raise Malformed(f"The body is not one whole {encoding} stream.")
    return unpacked


def pack(body: bytes, encoding: str) -> bytes:
    """The body compressed as "gzip" or "deflate"."""
    packer = zlib.compressobj(LEVEL, wbits=_WINDOWS[encoding])
    return packer.compress(body) + packer.flush()
