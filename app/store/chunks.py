"""Chunks in the database: pieces of tensors, found by the digest of their bytes, each stored once.

Keeping a chunk that is there already marks it as seen, which is what the collector goes by: it takes only what nobody
refers to and nobody has kept for a day. Called by `app.store.store` alone, inside its transactions.
"""

from collections.abc import Iterator, Mapping, Sequence
from heapq import merge
from operator import itemgetter

import sqlalchemy as sa

from app.errors import Damaged
from app.store.digests import digest_chunk
from app.store.rows import Row, execute_many, fetch, fetch_where_in

# What is returned was there and is locked until the end of the transaction, so that no collector takes it before.
_TOUCH = """
WITH there AS (SELECT digest FROM chunks WHERE digest IN (...) ORDER BY digest FOR NO KEY UPDATE)
UPDATE chunks SET last_seen = NOW() FROM there WHERE chunks.digest = there.digest RETURNING chunks.digest
"""
_INSERT = """
INSERT INTO chunks (digest, size, last_seen, data) VALUES (?, ?, NOW(), ?)
ON CONFLICT (digest) DO UPDATE SET last_seen = NOW()
"""
_OF_TENSORS = """
SELECT tc.tensor, tc.position, c.digest, c.data
FROM tensor_chunks tc JOIN chunks c ON c.digest = tc.chunk WHERE tc.tensor IN (...)
"""
_OF_RANGE = """
SELECT tc.tensor, tc.position, c.digest, c.data
FROM tensor_chunks tc JOIN chunks c ON c.digest = tc.chunk
WHERE tc.tensor = ? AND tc.position >= ? AND tc.position < ? ORDER BY tc.position
"""
_BASE = "SELECT base FROM tensor_bases WHERE tensor = ?"
_OF_BASE_RANGE = """
SELECT tc.tensor, tc.position, c.digest, c.data
FROM tensor_chunks tc JOIN chunks c ON c.digest = tc.chunk
WHERE tc.tensor = ? AND tc.position >= ? AND tc.position < ?
AND NOT EXISTS (SELECT 1 FROM tensor_chunks o WHERE o.tensor = ? AND o.position = tc.position) ORDER BY tc.position
"""


def keep(connection: sa.Connection, chunks: Mapping[str, memoryview]) -> None:
    """Stores those of `chunks` (digest -> bytes) that are not there yet, and marks the others as seen."""
    # in the order of their digests, so that two writers of the same chunks wait for each other and seldom deadlock
    digests = [bytes.fromhex(digest) for digest in sorted(chunks)]
    there = {bytes(row[0]) for row in fetch_where_in(connection, _TOUCH, digests)}
    missing: list[Row] = []
    for digest in digests:
        if digest not in there:
            data = chunks[digest.hex()]
            missing.append((digest, data.nbytes, data))
    execute_many(connection, _INSERT, missing)


def read_of_tensors(connection: sa.Connection, tensors: Sequence[str]) -> Iterator[tuple[str, int, str, memoryview]]:
    """The own chunks of some tensors, in no order: (tensor, position, chunk's digest, bytes). Raises Damaged."""
    digests = [bytes.fromhex(digest) for digest in tensors]
    for row in fetch_where_in(connection, _OF_TENSORS, digests):
        yield _checked(row)


def read_of_range(
    connection: sa.Connection, tensor: str, first: int, stop: int
) -> Iterator[tuple[str, int, str, memoryview]]:
    """The chunks `first` to `stop` - 1 of one tensor, in order; fields as above. Raises Damaged."""
    key = bytes.fromhex(tensor)
    rows = fetch(connection, _OF_RANGE, [key, first, stop])
    base = next(fetch(connection, _BASE, [key]), None)
    if base is not None:
        others = fetch(connection, _OF_BASE_RANGE, [bytes(base[0]), first, stop, key])
        rows = merge(rows, others, key=itemgetter(1))
    for row in rows:
        yield _checked((key, *row[1:]))


def _checked(row: Row) -> tuple[str, int, str, memoryview]:
    tensor, chunk, data = bytes(row[0]).hex(), bytes(row[2]).hex(), memoryview(row[3])
    if digest_chunk(data) != chunk:
        raise Damaged(f"Chunk {chunk} (number {row[1]} of tensor {tensor}) is not what was stored.")
    return tensor, row[1], chunk, data
