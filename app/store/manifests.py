"""Tensors and manifests in the database: which chunks make a tensor, and which tensors, by name, make a revision.

Rows are content-addressed, so writing what is there already changes nothing but `last_seen`. Called by
`app.store.store` alone, inside its transactions.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import orjson
import sqlalchemy as sa

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
_COPY_TENSOR_CHUNKS = """
INSERT INTO tensor_chunks (tensor, position, chunk) SELECT ?, position, chunk FROM tensor_chunks WHERE tensor = ?
ON CONFLICT (tensor, position) DO NOTHING
"""
_CHUNKS_OF_TENSOR = "SELECT chunk FROM tensor_chunks WHERE tensor = ? ORDER BY position"
_CHANGED_CHUNKS = """
SELECT n.position FROM tensor_chunks n JOIN tensor_chunks o ON o.tensor = ? AND o.position = n.position
WHERE n.tensor = ? AND n.chunk <> o.chunk ORDER BY n.position
"""
_TENSORS = "SELECT digest, dtype, shape, byte_count, chunk_bytes FROM tensors WHERE digest IN (...)"
_MANIFEST = "SELECT 1 FROM manifests WHERE digest = ?"
_MANIFEST_TENSORS = """
SELECT m.name, t.digest, t.dtype, t.shape, t.byte_count
FROM manifest_tensors m JOIN tensors t ON t.digest = m.tensor WHERE m.manifest = ? ORDER BY m.position
"""


@dataclass(frozen=True)
class CutTensor:
    """A tensor as it lies in the database: in chunks of `chunk_bytes`, the last of which may be shorter."""

    stored: StoredTensor
    chunk_bytes: int


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


def keep_patched(connection: sa.Connection, cut: CutTensor, base: str, changed: Mapping[int, str]) -> None:
    """Stores a tensor that has the chunks of the tensor `base` but for those in `changed` (position -> digest)."""
    key, stored = bytes.fromhex(cut.stored.digest), cut.stored
    shape = orjson.dumps(stored.shape).decode()
    execute_many(connection, _INSERT_TENSOR, [(key, stored.dtype, shape, stored.byte_count, cut.chunk_bytes)])
    rows = [(key, position, bytes.fromhex(chunk)) for position, chunk in sorted(changed.items())]
    execute_many(connection, _INSERT_TENSOR_CHUNK, rows)
    execute_many(connection, _COPY_TENSOR_CHUNKS, [(key, bytes.fromhex(base))])


def chunks_of(connection: sa.Connection, tensor: str) -> list[str]:
    """Digests of a tensor's chunks, in order."""
    return [bytes(row[0]).hex() for row in fetch(connection, _CHUNKS_OF_TENSOR, [bytes.fromhex(tensor)])]


def find_changed_chunks(connection: sa.Connection, old: str, new: str) -> list[int]:
    """Positions at which two tensors, cut alike, have different chunks."""
    return [row[0] for row in fetch(connection, _CHANGED_CHUNKS, [bytes.fromhex(old), bytes.fromhex(new)])]


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
    for key, dtype, shape, count, chunk_bytes in fetch_where_in(connection, _TENSORS, keys):
        digest = bytes(key).hex()
        found[digest] = CutTensor(StoredTensor(digest, dtype, tuple(orjson.loads(shape)), count), chunk_bytes)
    return found


def has_manifest(connection: sa.Connection, digest: str) -> bool:
    return next(fetch(connection, _MANIFEST, [bytes.fromhex(digest)]), None) is not None


def read_manifest(connection: sa.Connection, digest: str) -> Iterator[tuple[str, StoredTensor]]:
    """Names and tensors of a manifest, in order."""
    for name, key, dtype, shape, count in fetch(connection, _MANIFEST_TENSORS, [bytes.fromhex(digest)]):
        yield name, StoredTensor(bytes(key).hex(), dtype, tuple(orjson.loads(shape)), count)
