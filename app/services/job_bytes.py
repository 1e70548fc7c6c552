"""Bytes that a job needs: a few are kept in its row, many as one tensor of the store that its manifests name.

The store takes any size in pieces, keeps equal bytes once, and its collector and checker know what a job refers to.
Called by the services of jobs.
"""

from collections.abc import AsyncIterator

from app.services.lab import Lab, in_thread
from app.store.reading import PieceReader
from app.store.store import TensorStore
from app.store.tensors import TensorBytes

INLINE_BYTES = 64 * 1024  # up to here they are kept in the row
_NAME = "bytes"


async def keep_bytes(lab: Lab, data: bytes) -> str:
    """Puts bytes into the store and returns the digest of a manifest that holds them."""
    tensor = TensorBytes("uint8", (len(data),), memoryview(data))
    return await in_thread(lambda: TensorStore(lab.database).put([(_NAME, tensor)]))


async def read_bytes(lab: Lab, manifest: str) -> bytes:
    """Reads them back whole. Raises: Damaged."""
    return b"".join([piece async for piece in stream_bytes(lab, manifest)])


async def count_bytes(lab: Lab, manifest: str) -> int:
    stored = await in_thread(lambda: TensorStore(lab.database).manifest(manifest)[_NAME])
    return stored.byte_count


async def stream_bytes(lab: Lab, manifest: str) -> AsyncIterator[memoryview]:
    """Yields them in pieces of a few MiB. Raises: Damaged."""
    store = TensorStore(lab.database)
    stored = await in_thread(lambda: store.manifest(manifest)[_NAME])
    if not stored.byte_count:
        return
    pieces = PieceReader(lab.database, store).read_range(stored, 0, stored.byte_count)
    while (piece := await in_thread(lambda: next(pieces, None))) is not None:
        yield piece
