"""One stored tensor being changed in places: only the chunks that hold those places are read, and written again.

The tensor lies in memory that is as long as the whole of it but takes room only where chunks were fetched, so that
whoever changes it can index it like any tensor. Made by `TensorStore.open_patch`, given back to `TensorStore.derive`.
"""

import mmap
from collections.abc import Iterable, Iterator, Sequence

import sqlalchemy as sa

from app.db.engine import Database
from app.errors import Damaged
from app.store import chunks, manifests
from app.store.tensors import StoredTensor

READ_BYTES = 16 * 2**20  # read at once, besides where they are read into


class Patch:
    """`buffer` holds the bytes of the fetched chunks, each in its place; what was not fetched reads as zeros."""

    def __init__(self, database: Database, stored: StoredTensor, chunk_bytes: int) -> None:
        self.stored = stored
        self.chunk_bytes = chunk_bytes
        self.buffer = memoryview(mmap.mmap(-1, stored.byte_count)) if stored.byte_count else memoryview(bytearray())
        self._database = database
        self._fetched: set[int] = set()

    def fetch(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Reads the chunks that hold some ranges of bytes (start, stop), if they are not there yet. Raises Damaged."""
        wanted = {
            position
            for start, stop in ranges
            for position in range(start // self.chunk_bytes, -(-stop // self.chunk_bytes))
        }
        missing = sorted(wanted - self._fetched)
        if missing:
            with self._database.reading() as connection:
                read_chunks_into(connection, self.stored, self.chunk_bytes, missing, self.buffer)
            self._fetched.update(missing)

    def fetched(self) -> Iterator[tuple[int, memoryview]]:
        """Positions and bytes, as they are now, of the chunks that were fetched, in order."""
        for position in sorted(self._fetched):
            start = position * self.chunk_bytes
            yield position, self.buffer[start : start + self.chunk_bytes]


def read_chunks_into(
    connection: sa.Connection, stored: StoredTensor, chunk_bytes: int, positions: Sequence[int], buffer: memoryview
) -> None:
    """Puts the chunks at `positions` (ascending) of a tensor into their places in `buffer`. Raises Damaged."""
    most = max(1, READ_BYTES // chunk_bytes)
    for first, stop in _runs(positions, most):
        found = 0
        for _, position, _, data in chunks.read_of_range(connection, stored.digest, first, stop):
            place(stored, chunk_bytes, position, data, buffer)
            found += 1
        if found != stop - first:
            raise Damaged(f"Tensor {stored.digest} has lost chunks.")


def changed_positions(connection: sa.Connection, old: StoredTensor, new: StoredTensor) -> list[int] | None:
    """Where the chunks of two tensors differ, ascending; None if they cannot be compared chunk by chunk."""
    cut = manifests.find_tensors(connection, [old.digest, new.digest])
    if (old.dtype, old.shape) != (new.dtype, new.shape) or not {old.digest, new.digest} <= cut.keys():
        return None
    if cut[old.digest].chunk_bytes != cut[new.digest].chunk_bytes:
        return None
    return manifests.find_changed_chunks(connection, old.digest, new.digest)


def place(stored: StoredTensor, chunk_bytes: int, position: int, data: memoryview, buffer: memoryview) -> None:
    """Puts one chunk where it belongs in the whole tensor's bytes. Raises Damaged."""
    start = position * chunk_bytes
    if data.nbytes != min(chunk_bytes, stored.byte_count - start):
        raise Damaged(f"Chunk {position} of tensor {stored.digest} has the wrong size.")
    buffer[start : start + data.nbytes] = data


def _runs(positions: Sequence[int], most: int) -> Iterator[tuple[int, int]]:
    """Ascending positions as ranges (first, stop), none longer than `most`."""
    first = last = None
    for position in positions:
        if first is not None and last is not None and position == last + 1 and position - first < most:
            last = position
            continue
        if first is not None and last is not None:
            yield first, last + 1
        first = last = position
    if first is not None and last is not None:
        yield first, last + 1
