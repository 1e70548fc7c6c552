"""Tensors and manifests in the database: which chunks make a tensor, and which tensors, by name, make a revision.

Rows are content-addressed, so writing what is there already changes nothing but `last_seen`. Called by
`app.store.store` alone, inside its transactions.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import orjson
import sqlalchemy as sa

from app.errors import Unavailable
from app.store.digests import digest_tensor
from app.store.rows import Row, execute_many, fetch, fetch_where_in
from app.store.tensors import StoredTensor

_INSERT_TENSOR = """
INSERT INTO tensors (digest, dtype, shape, byte_count, chunk_bytes, last_seen) VALUES (?, ?, ?, ?, ?, NOW())
ON CONFLICT (digest) DO UPDATE SET last_seen = NOW()
"""
_INSERT_TENSOR_CHUNK = """
INSERT INTO tensor_chunks (tensor, position, chunk) VALUES (?, ?, ?) ON CONFLICT (tensor, position) DO NOTHING
"""
_INSERT_MANIFEST = """
INSERT INTO manifests (digest, last_seen) VALUES (?, NOW()) ON CONFLICT (digest) DO UPDATE SET last_seen = NOW()
"""
_INSERT_MANIFEST_TENSOR = """
INSERT INTO manifest_tensors (manifest, position, name, tensor) VALUES (?, ?, ?, ?)
ON CONFLICT (manifest, position) DO NOTHING
"""
_INSERT_BASE = "INSERT INTO tensor_bases (tensor, base) VALUES (?, ?) ON CONFLICT (tensor) DO NOTHING"
_COPY_TENSOR_CHUNKS = """
INSERT INTO tensor_chunks (tensor, position, chunk) SELECT ?, position, chunk FROM tensor_chunks WHERE tensor = ?
ON CONFLICT (tensor, position) DO NOTHING
"""
_OWN_CHUNKS = "SELECT position, chunk FROM tensor_chunks WHERE tensor = ?"
_BASE = "SELECT base FROM tensor_bases WHERE tensor = ?"
_TENSORS = """
SELECT t.digest, t.dtype, t.shape, t.byte_count, t.chunk_bytes, b.base
FROM tensors t LEFT JOIN tensor_bases b ON b.tensor = t.digest WHERE t.digest IN (...)
"""
_MANIFEST = "SELECT 1 FROM manifests WHERE digest = ?"
_MANIFEST_TENSORS = """
SELECT m.name, t.digest, t.dtype, t.shape, t.byte_count
FROM manifest_tensors m JOIN tensors t ON t.digest = m.tensor WHERE m.manifest = ? ORDER BY m.position
"""
OVERLAY_FROM_CHUNKS = 64  # a tensor of fewer is always stored in full
OVERLAY_SHARE = 8  # one that differs in more than an eighth of its chunks, too


@dataclass(frozen=True)
class CutTensor:
    """A tensor as it lies in the database: in chunks of `chunk_bytes`, the last of which may be shorter.

    With a `base` (a digest) only the chunks that differ from that tensor's are its own.
    """

    stored: StoredTensor
    chunk_bytes: int
    base: str | None = None


def keep_tensors(connection: sa.Connection, tensors: Mapping[str, tuple[CutTensor, Sequence[str]]]) -> None:
    """Stores tensors (digest -> what it is, digests of its chunks); the chunks must be there."""
    rows = []
    parts: list[Row] = []
    for digest, (cut, chunks) in sorted(tensors.items()):
        key, stored = bytes.fromhex(digest), cut.stored
        shape = orjson.dumps(stored.shape).decode()
        rows.append((key, stored.dtype, shape, stored.byte_count, cut.chunk_bytes))
        parts.extend((key, position, bytes.fromhex(chunk)) for position, chunk in enumerate(chunks))
    execute_many(connection, _INSERT_TENSOR, rows)
    execute_many(connection, _INSERT_TENSOR_CHUNK, parts)


def keep_patched(connection: sa.Connection, cut: CutTensor, origin: str, changed: Mapping[int, str]) -> None:
    """Stores a tensor that has the chunks of the tensor `origin` but for those in `changed` (position -> digest).

    A large one keeps only what differs from a tensor that is stored in full, so that what a small change costs does
    not follow the size of the tensor; when too much differs it is written in full.
    """
    key, stored = bytes.fromhex(cut.stored.digest), cut.stored
    shape = orjson.dumps(stored.shape).decode()
    execute_many(connection, _INSERT_TENSOR, [(key, stored.dtype, shape, stored.byte_count, cut.chunk_bytes)])
    if _is_whole(connection, stored):
        return  # an edit was taken back; made from what was made from it, it would be its own base
    rows = [(key, position, bytes.fromhex(chunk)) for position, chunk in sorted(changed.items())]
    execute_many(connection, _INSERT_TENSOR_CHUNK, rows)
    root = find_base(connection, origin)
    count = -(-stored.byte_count // cut.chunk_bytes)
    own = len(changed) + (0 if root is None else len(list(fetch(connection, _OWN_CHUNKS, [bytes.fromhex(origin)]))))
    if count >= OVERLAY_FROM_CHUNKS and own <= count // OVERLAY_SHARE:
        execute_many(connection, _INSERT_BASE, [(key, bytes.fromhex(root or origin))])
        sources = [] if root is None else [origin]
    else:
        sources = [origin] if root is None else [origin, root]
    for source in sources:  # the nearer first: what is there already stays
        execute_many(connection, _COPY_TENSOR_CHUNKS, [(key, bytes.fromhex(source))])
    if not _is_whole(connection, stored):
        raise Unavailable(f"Tensor {origin} was deleted meanwhile; try again.", extra={"retry_after_seconds": 1})


def _is_whole(connection: sa.Connection, stored: StoredTensor) -> bool:
    return digest_tensor(stored.dtype, stored.shape, chunks_of(connection, stored.digest)) == stored.digest


def find_base(connection: sa.Connection, tensor: str) -> str | None:
    """The tensor whose chunks this one has where it has none of its own; None for one that is stored in full."""
    row = next(fetch(connection, _BASE, [bytes.fromhex(tensor)]), None)
    return None if row is None else bytes(row[0]).hex()


def chunks_of(connection: sa.Connection, tensor: str) -> list[str]:
    """Digests of a tensor's chunks, in order."""
    found: dict[int, str] = {}
    for source in (find_base(connection, tensor), tensor):
        if source is not None:
            rows = fetch(connection, _OWN_CHUNKS, [bytes.fromhex(source)])
            found.update((position, bytes(chunk).hex()) for position, chunk in rows)
    return [found[position] for position in sorted(found)]


def find_changed_chunks(connection: sa.Connection, old: str, new: str) -> list[int]:
    """Positions at which two tensors, cut alike, have different chunks."""
    pairs = zip(chunks_of(connection, old), chunks_of(connection, new), strict=False)
    return [position for position, (before, after) in enumerate(pairs) if before != after]


def keep_manifest(connection: sa.Connection, digest: str, entries: Sequence[tuple[str, str]]) -> None:
    """Stores a manifest; `entries` are (name, tensor digest) in order, and the tensors must be there."""
    key = bytes.fromhex(digest)
    execute_many(connection, _INSERT_MANIFEST, [(key,)])
    rows = [(key, position, name, bytes.fromhex(tensor)) for position, (name, tensor) in enumerate(entries)]
    execute_many(connection, _INSERT_MANIFEST_TENSOR, rows)


def find_tensors(connection: sa.Connection, digests: Sequence[str]) -> dict[str, CutTensor]:
    """Those of the tensors that are stored."""
    found = {}
    keys = [bytes.fromhex(digest) for digest in digests]
    for key, dtype, shape, count, chunk_bytes, base in fetch_where_in(connection, _TENSORS, keys):
        digest = bytes(key).hex()
        stored = StoredTensor(digest, dtype, tuple(orjson.loads(shape)), count)
        found[digest] = CutTensor(stored, chunk_bytes, None if base is None else bytes(base).hex())
    return found


def has_manifest(connection: sa.Connection, digest: str) -> bool:
    return next(fetch(connection, _MANIFEST, [bytes.fromhex(digest)]), None) is not None


def read_manifest(connection: sa.Connection, digest: str) -> Iterator[tuple[str, StoredTensor]]:
    """Names and tensors of a manifest, in order."""
    for name, key, dtype, shape, count in fetch(connection, _MANIFEST_TENSORS, [bytes.fromhex(digest)]):
        yield name, StoredTensor(bytes(key).hex(), dtype, tuple(orjson.loads(shape)), count)
