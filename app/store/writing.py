"""Tensors into the store piece by piece, for those that are never whole in memory.

Pieces are gathered to chunks, chunks to transactions of a few MiB; a tensor's own row follows its last chunk. Nothing
refers to what is written until the caller keeps a manifest of it, so an upload that breaks off leaves only what the
collector takes. Called by the services while a body comes in, and by workers that read a file.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from app.db.engine import Database
from app.store import chunks, manifests
from app.store.digests import digest_chunk, digest_tensor
from app.store.manifests import CutTensor
from app.store.store import MIB
from app.store.tensors import StoredTensor, byte_count

HELD_BYTES = 8 * MIB  # of chunks that wait for their transaction
HELD_ROWS = 2_000  # tensors and chunks that wait


class TensorWriter:
    """Writes one tensor after another: `begin`, `feed` as often as bytes come, `end`; and `flush` after the last.

    Not thread-safe, but may be used from one thread after another. Raises StorageFull, Unavailable.
    """

    def __init__(self, database: Database, chunk_bytes: int = MIB) -> None:
        self._database = database
        self._chunk_bytes = chunk_bytes
        self._dtype = ""
        self._shape: tuple[int, ...] = ()
        self._part = bytearray()  # of the chunk that is not full yet
        self._digests: list[str] = []  # of the chunks of this tensor
        self._fed_bytes = 0
        self._waiting_chunks: dict[str, memoryview] = {}
        self._waiting_tensors: dict[str, tuple[CutTensor, Sequence[str]]] = {}
        self._held_bytes = 0

    def begin(self, dtype: str, shape: tuple[int, ...]) -> None:
        """Begins a tensor; the one before has ended."""
        self._dtype, self._shape = dtype, shape
        self._part, self._digests, self._fed_bytes = bytearray(), [], 0

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Takes the next bytes of the tensor. They are copied where they must be kept."""
        view = memoryview(data)
        self._fed_bytes += view.nbytes
        while view.nbytes:
            room = self._chunk_bytes - len(self._part)
            self._part += view[:room]
            view = view[room:]
            if len(self._part) == self._chunk_bytes:
                self._cut()

    def end(self) -> StoredTensor:
        """Ends the tensor. Raises ValueError if its bytes were not as many as its shape needs."""
        if self._part:
            self._cut()
        size = byte_count(self._dtype, self._shape)
        if self._fed_bytes != size:
            raise ValueError(f"{self._dtype} of shape {self._shape} is {size} bytes, not {self._fed_bytes}")
        digest = digest_tensor(self._dtype, self._shape, self._digests)
        stored = StoredTensor(digest, self._dtype, self._shape, size)
        self._waiting_tensors[digest] = (CutTensor(stored, self._chunk_bytes), self._digests)
        if len(self._waiting_tensors) >= HELD_ROWS:
            self.flush()
        return stored

    def flush(self) -> None:
        """Writes what waits; tensors that have ended are in the store afterwards."""

        def keep(connection: sa.Connection) -> None:
            chunks.keep(connection, self._waiting_chunks)
            manifests.keep_tensors(connection, self._waiting_tensors)

        if self._waiting_chunks or self._waiting_tensors:
            self._database.retrying(keep, durable=False)
        self._waiting_chunks, self._waiting_tensors, self._held_bytes = {}, {}, 0

    def _cut(self) -> None:
        """Makes a chunk of what has gathered."""
        digest = digest_chunk(self._part)
        self._digests.append(digest)
        if digest not in self._waiting_chunks:
            self._waiting_chunks[digest] = memoryview(self._part)
            self._held_bytes += len(self._part)
        self._part = bytearray()
        if self._held_bytes >= HELD_BYTES or len(self._waiting_chunks) >= HELD_ROWS:
            self.flush()
