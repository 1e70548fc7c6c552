"""Tensors out of the store piece by piece, for those that are never whole in memory.

Everything is checked before it is handed on: each chunk against its digest, and its place in the tensor against the
tensor's. Called by the services while a reply goes out; `TensorStore` reads what fits into memory.
"""

from collections.abc import Iterator, Sequence

from app.db.engine import Database
from app.errors import Damaged
from app.store import chunks, manifests
from app.store.digests import digest_tensor
from app.store.manifests import CutTensor
from app.store.store import MIB, TensorStore
from app.store.tensors import StoredTensor

PIECE_BYTES = 4 * MIB  # most of one piece, unless a chunk is larger
PIECE_TENSORS = 1_000  # small tensors that are read together


class PieceReader:
    """Reads the bytes of stored tensors, one after another, in pieces of a few MiB. Thread-safe."""

    def __init__(self, database: Database, store: TensorStore) -> None:
        self._database = database
        self._store = store

    def read(self, wanted: Sequence[StoredTensor]) -> Iterator[tuple[int, memoryview]]:
        """Yields (position in `wanted`, next bytes of that tensor), in order; empty tensors yield nothing.

        Raises Damaged.
        """
        small: list[int] = []
        held = 0
        for position, stored in enumerate(wanted):
            if stored.byte_count <= PIECE_BYTES:
                if held + stored.byte_count > PIECE_BYTES or len(small) >= PIECE_TENSORS:
                    yield from self._read_small(wanted, small)
                    small, held = [], 0
                small.append(position)
                held += stored.byte_count
                continue
            yield from self._read_small(wanted, small)
            small, held = [], 0
            for piece in self.read_range(stored, 0, stored.byte_count):
                yield position, piece
        yield from self._read_small(wanted, small)

    def read_range(self, stored: StoredTensor, start: int, stop: int) -> Iterator[memoryview]:
        """Yields bytes `start` to `stop` of one tensor, reading only the chunks that hold them. Raises Damaged."""
        cut, digests = self._chunks_of(stored)
        size = cut.chunk_bytes
        step = max(1, PIECE_BYTES // size)
        for first in range(start // size, -(-stop // size), step):
            last = min(first + step, -(-stop // size))
            begin, end = first * size, min(last * size, stored.byte_count)
            data = b"".join(self._read_chunks(stored, digests, first, last))
            if len(data) != end - begin:
                raise Damaged(f"Tensor {stored.digest} has chunks of the wrong size.")
            yield memoryview(data)[max(start - begin, 0) : stop - begin]

    def _read_small(self, wanted: Sequence[StoredTensor], positions: list[int]) -> Iterator[tuple[int, memoryview]]:
        filled = [position for position in positions if wanted[position].byte_count]
        buffers = [memoryview(bytearray(wanted[position].byte_count)) for position in filled]
        if filled:
            self._store.read_many_into(
                [(wanted[position].digest, buffer) for position, buffer in zip(filled, buffers, strict=True)]
            )
        yield from zip(filled, buffers, strict=True)

    def _chunks_of(self, stored: StoredTensor) -> tuple[CutTensor, list[str]]:
        with self._database.reading() as connection:
            cut = manifests.find_tensors(connection, [stored.digest]).get(stored.digest)
            digests = manifests.chunks_of(connection, stored.digest)
        if cut is None:
            raise Damaged(f"Tensor {stored.digest} is missing from the store.")
        if digest_tensor(stored.dtype, stored.shape, digests) != stored.digest:
            raise Damaged(f"Tensor {stored.digest} is not what was stored.")
        return cut, digests

    def _read_chunks(self, stored: StoredTensor, digests: list[str], first: int, last: int) -> Iterator[memoryview]:
        expected = first
        with self._database.reading() as connection:
            for _, position, chunk, data in chunks.read_of_range(connection, stored.digest, first, last):
                if position != expected or chunk != digests[position]:
                    break
                expected += 1
                yield data
        if expected != last:
            raise Damaged(f"Chunk {digests[expected]} (number {expected} of tensor {stored.digest}) is missing.")
