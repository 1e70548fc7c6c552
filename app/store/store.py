"""Tensors in, tensors out: the store that workers and services hold.

`put` cuts tensors into chunks and writes chunks, then tensors, then the manifest, so that whatever is interrupted
leaves nothing that refers to something missing. Everything read is checked against its digest. What a manifest is
good for (revisions, artifacts) is not known here. Nothing waits for the disk here: what makes something of a manifest
does, and with it everything written before.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import sqlalchemy as sa

from app.db.engine import Database
from app.errors import Damaged, NotFound
from app.store import chunks, manifests
from app.store.digests import digest_chunk, digest_manifest, digest_tensor
from app.store.manifests import CutTensor
from app.store.patch import READ_BYTES, Patch, changed_positions, place, read_chunks_into
from app.store.tensors import StoredTensor, TensorBytes

MIB = 2**20
TRANSACTION_BYTES = 64 * MIB  # of chunks in one transaction: others wait no longer than that takes to write
TRANSACTION_CHUNKS = 10_000


class TensorStore:
    """Tensors in a database, each stored once. Thread-safe."""

    def __init__(self, database: Database, chunk_bytes: int = MIB) -> None:
        self._database = database
        self._chunk_bytes = chunk_bytes

    def put(self, tensors: Iterable[tuple[str, TensorBytes]]) -> str:
        """Keeps named tensors, in order, and returns the digest of their manifest.

        Content that is stored already is not written again. The buffers are read until this returns. Raises
        ValueError for a name given twice, StorageFull, Unavailable.
        """
        writing = _Writing(self._database, self._chunk_bytes)
        for name, tensor in tensors:
            writing.add(name, tensor)
        return writing.finish()

    def derive(self, base: str, changed: Iterable[tuple[Sequence[str], TensorBytes | Patch]]) -> str:
        """Keeps a manifest that is `base` but for some tensors, and returns its digest.

        `changed` are names that the base has, with the tensor that all of them get (tied names share it). Of a patch
        only the chunks that were fetched are looked at. Raises NotFound for the base, KeyError for a name it lacks.
        """
        entries = {name: stored.digest for name, stored in self.manifest(base).items()}
        writing = _Writing(self._database, self._chunk_bytes, entries)
        for names, tensor in changed:
            if isinstance(tensor, Patch):
                writing.replace_by_patch(names, tensor)
            else:
                writing.replace(names, tensor)
        return writing.finish()

    def open_patch(self, stored: StoredTensor) -> Patch:
        """Opens a stored tensor for changes in places; nothing is read yet. Raises Damaged if it is not there."""
        with self._database.reading() as connection:
            cut = manifests.find_tensors(connection, [stored.digest]).get(stored.digest)
        if cut is None:
            raise Damaged(f"Tensor {stored.digest} is missing from the store.")
        return Patch(self._database, stored, cut.chunk_bytes)

    def changed_ranges(self, old: StoredTensor, new: StoredTensor) -> list[tuple[int, int]]:
        """Ranges of bytes (start, stop), chunk by chunk, outside which two tensors of one dtype and shape are equal."""
        with self._database.reading() as connection:
            positions = changed_positions(connection, old, new)
            cut = manifests.find_tensors(connection, [new.digest]).get(new.digest)
        if positions is None or cut is None:
            return [(0, new.byte_count)]
        step = cut.chunk_bytes
        return [(position * step, min((position + 1) * step, new.byte_count)) for position in positions]

    def read_change_into(self, old: StoredTensor, new: StoredTensor, buffer: memoryview) -> None:
        """Makes `buffer`, which holds the bytes of `old`, hold those of `new`, reading what differs. Raises Damaged."""
        with self._database.reading() as connection:
            positions = changed_positions(connection, old, new)
            if positions is not None:
                cut = manifests.find_tensors(connection, [new.digest])[new.digest]
                flat = buffer.cast("B") if buffer.nbytes else buffer
                read_chunks_into(connection, new, cut.chunk_bytes, positions, flat)
        if positions is None:
            self.read_into(new.digest, buffer)

    def keep_manifest(self, entries: Sequence[tuple[str, str]]) -> str:
        """Keeps a manifest of tensors that are stored: (name, tensor digest), in order. Returns its digest.

        Raises Unavailable if one of them was collected meanwhile.
        """
        digest = digest_manifest(entries)
        self._database.retrying(lambda connection: manifests.keep_manifest(connection, digest, entries), durable=False)
        return digest

    def manifest(self, digest: str) -> dict[str, StoredTensor]:
        """Names and tensors, in the order they were put. Raises NotFound, Damaged."""
        with self._database.reading() as connection:
            named = dict(manifests.read_manifest(connection, digest))
            if not named and not manifests.has_manifest(connection, digest):
                raise NotFound(f"There is no manifest {digest}.")
        if digest_manifest((name, stored.digest) for name, stored in named.items()) != digest:
            raise Damaged(f"Manifest {digest} is not what was stored.")
        return named

    def read_into(self, tensor_digest: str, buffer: memoryview) -> None:
        """Fills `buffer` (writable, of the tensor's size) with the tensor's bytes. Raises Damaged."""
        self.read_many_into([(tensor_digest, buffer)])

    def read_many_into(self, wanted: Sequence[tuple[str, memoryview]]) -> None:
        """Fills many buffers, as `read_into` does each, in few queries: (tensor digest, buffer)."""
        with self._database.reading() as connection:
            found = manifests.find_tensors(connection, list({digest for digest, _ in wanted}))
            reading = _Reading(connection)
            for digest, buffer in wanted:
                if digest not in found:
                    raise Damaged(f"Tensor {digest} is missing from the store.")
                reading.add(found[digest], buffer)
            reading.finish()

    def read_many(self, wanted: Iterable[StoredTensor]) -> Iterator[tuple[str, TensorBytes]]:
        """Yields (digest, tensor) for each of `wanted`, in order, over fresh writable memory; some MiB at a time."""
        batch: list[StoredTensor] = []
        held = 0
        for stored in wanted:
            batch.append(stored)
            held += stored.byte_count
            if held >= READ_BYTES:
                yield from self._read_batch(batch)
                batch, held = [], 0
        yield from self._read_batch(batch)

    def read_range(self, tensor_digest: str, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` of a tensor, from the chunks that hold them alone. Raises Damaged, ValueError."""
        with self._database.reading() as connection:
            cut = manifests.find_tensors(connection, [tensor_digest]).get(tensor_digest)
            if cut is None:
                raise Damaged(f"Tensor {tensor_digest} is missing from the store.")
            if not 0 <= start <= stop <= cut.stored.byte_count:
                raise ValueError(f"bytes {start} to {stop} of a tensor of {cut.stored.byte_count}")
            first, last = start // cut.chunk_bytes, -(-stop // cut.chunk_bytes)
            parts = [data for _, _, _, data in chunks.read_of_range(connection, tensor_digest, first, last)]
        joined = b"".join(parts)
        piece = joined[start - first * cut.chunk_bytes : stop - first * cut.chunk_bytes]
        if len(piece) != stop - start:
            raise Damaged(f"Tensor {tensor_digest} has lost chunks.")
        return piece

    def _read_batch(self, batch: list[StoredTensor]) -> Iterator[tuple[str, TensorBytes]]:
        buffers = [memoryview(bytearray(stored.byte_count)) for stored in batch]
        self.read_many_into([(stored.digest, buffer) for stored, buffer in zip(batch, buffers, strict=True)])
        for stored, buffer in zip(batch, buffers, strict=True):
            yield stored.digest, TensorBytes(stored.dtype, stored.shape, buffer)


class _Writing:
    """One `put` under way: chunks are written whenever enough have gathered, the rest at the end."""

    def __init__(self, database: Database, chunk_bytes: int, entries: Mapping[str, str] | None = None) -> None:
        self._database = database
        self._chunk_bytes = chunk_bytes
        self._chunks: dict[str, memoryview] = {}
        self._held_bytes = 0
        self._tensors: dict[str, tuple[CutTensor, Sequence[str]]] = {}
        self._patched: dict[str, tuple[CutTensor, str, dict[int, str]]] = {}
        self._entries: dict[str, str] = dict(entries or {})

    def add(self, name: str, tensor: TensorBytes) -> None:
        if name in self._entries:
            raise ValueError(f"the name {name!r} was given twice")
        self._entries[name] = self._add_tensor(tensor)

    def replace(self, names: Sequence[str], tensor: TensorBytes) -> None:
        self._rename(names, self._add_tensor(tensor))

    def replace_by_patch(self, names: Sequence[str], patch: Patch) -> None:
        base = patch.stored
        with self._database.reading() as connection:
            digests = manifests.chunks_of(connection, base.digest)
        if len(digests) != -(-base.byte_count // patch.chunk_bytes):
            raise Damaged(f"Tensor {base.digest} has lost chunks.")
        changed: dict[int, str] = {}
        for position, data in patch.fetched():
            digest = digest_chunk(data)
            if digest != digests[position]:
                changed[position] = digests[position] = self._add_chunk(data)
        digest = digest_tensor(base.dtype, base.shape, digests)
        if digest != base.digest:
            stored = StoredTensor(digest, base.dtype, base.shape, base.byte_count)
            self._patched[digest] = (CutTensor(stored, patch.chunk_bytes), base.digest, changed)
        self._rename(names, digest)

    def _rename(self, names: Sequence[str], digest: str) -> None:
        for name in names:
            if name not in self._entries:
                raise KeyError(name)
            self._entries[name] = digest

    def _add_tensor(self, tensor: TensorBytes) -> str:
        data = tensor.data.cast("B") if tensor.data.nbytes else tensor.data
        step = self._chunk_bytes
        digests = [self._add_chunk(data[start : start + step]) for start in range(0, data.nbytes, step)]
        digest = digest_tensor(tensor.dtype, tensor.shape, digests)
        stored = StoredTensor(digest, tensor.dtype, tensor.shape, data.nbytes)
        self._tensors[digest] = (CutTensor(stored, self._chunk_bytes), digests)
        return digest

    def _add_chunk(self, data: memoryview) -> str:
        digest = digest_chunk(data)
        if digest not in self._chunks:
            self._chunks[digest] = data
            self._held_bytes += data.nbytes
            if self._held_bytes >= TRANSACTION_BYTES or len(self._chunks) >= TRANSACTION_CHUNKS:
                self._database.retrying(self._keep_chunks, durable=False)
                self._chunks = {}
                self._held_bytes = 0
        return digest

    def finish(self) -> str:
        entries = list(self._entries.items())
        manifest = digest_manifest(entries)

        def keep_all(connection: sa.Connection) -> None:
            self._keep_chunks(connection)
            manifests.keep_tensors(connection, self._tensors)
            for cut, base, changed in self._patched.values():
                manifests.keep_patched(connection, cut, base, changed)
            manifests.keep_manifest(connection, manifest, entries)

        self._database.retrying(keep_all, durable=False)
        return manifest

    def _keep_chunks(self, connection: sa.Connection) -> None:
        chunks.keep(connection, self._chunks)


class _Reading:
    """Tensors being read: small ones gather until one query is worth while, a large one is read in parts."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._waiting: dict[str, CutTensor] = {}
        self._buffers: dict[str, list[memoryview]] = {}
        self._waiting_bytes = 0

    def add(self, cut: CutTensor, buffer: memoryview) -> None:
        stored = cut.stored
        if buffer.nbytes != stored.byte_count:
            raise ValueError(f"tensor {stored.digest} is {stored.byte_count} bytes, its buffer {buffer.nbytes}")
        flat = buffer.cast("B") if buffer.nbytes else buffer
        if stored.byte_count > READ_BYTES or cut.base is not None:
            self._read_large(cut, flat)
            return
        if stored.digest not in self._waiting:
            self._waiting[stored.digest] = cut
            self._waiting_bytes += stored.byte_count
        self._buffers.setdefault(stored.digest, []).append(flat)
        if self._waiting_bytes >= READ_BYTES:
            self.finish()

    def finish(self) -> None:
        """Reads what is waiting."""
        pieces: dict[str, dict[int, str]] = {digest: {} for digest in self._waiting}
        for tensor, position, chunk, data in chunks.read_of_tensors(self._connection, list(self._waiting)):
            for buffer in self._buffers[tensor]:
                place(self._waiting[tensor].stored, self._waiting[tensor].chunk_bytes, position, data, buffer)
            pieces[tensor][position] = chunk
        for digest, cut in self._waiting.items():
            _check_whole(cut, pieces[digest])
        self._waiting, self._buffers, self._waiting_bytes = {}, {}, 0

    def _read_large(self, cut: CutTensor, buffer: memoryview) -> None:
        count = -(-cut.stored.byte_count // cut.chunk_bytes)
        step = max(1, READ_BYTES // cut.chunk_bytes)
        pieces: dict[int, str] = {}
        for first in range(0, count, step):
            for _, position, chunk, data in chunks.read_of_range(
                self._connection, cut.stored.digest, first, first + step
            ):
                place(cut.stored, cut.chunk_bytes, position, data, buffer)
                pieces[position] = chunk
        _check_whole(cut, pieces)


def _check_whole(cut: CutTensor, pieces: dict[int, str]) -> None:
    """The digest of the tensor covers dtype, shape and every chunk: nothing may be lost, moved or exchanged."""
    stored = cut.stored
    digests = [pieces.get(position, "") for position in range(len(pieces))]
    if digest_tensor(stored.dtype, stored.shape, digests) != stored.digest:
        raise Damaged(f"Tensor {stored.digest} is not what was stored.")
