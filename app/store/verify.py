"""The checker: compares everything in the store with its digest, and names whatever is not as it was stored.

It reads only, in short transactions, beside writers. What is damaged is named with those who use it: networks by
revision and tensor, artifacts, gradients and jobs by tensor, tensors on a device by name. Called by the command line;
readers check what they read themselves.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson
import sqlalchemy as sa

from app.db.engine import Database
from app.errors import Damaged
from app.store.digests import digest_chunk, digest_manifest, digest_tensor
from app.store.rows import Row, fetch
from app.store.tensors import byte_count
from app.tensors.dtypes import DTYPES

ROWS_AT_ONCE = 16  # chunks, tensors or manifests in one transaction
USERS_SHOWN = 5


class _Reference(NamedTuple):
    """Rows of `table` that refer to nothing, and what to say of each."""

    table: str
    dangling: str
    words: str


_REFERENCES = (
    _Reference(
        "networks",
        """
        SELECT n.name, n.head_revision FROM networks n
        LEFT JOIN revisions r ON r.network_id = n.id AND r.number = n.head_revision WHERE r.number IS NULL
        """,
        "network {0!r}: its newest revision, {1}, is missing",
    ),
    _Reference(
        "revisions",
        """
        SELECT n.name, r.number, r.manifest FROM revisions r LEFT JOIN networks n ON n.id = r.network_id
        LEFT JOIN manifests m ON m.digest = r.manifest WHERE m.digest IS NULL
        """,
        "manifest {2} is missing: revision {1} of network {0!r} needs it",
    ),
    _Reference(
        "artifacts",
        """
        SELECT a.name, a.manifest FROM artifacts a LEFT JOIN manifests m ON m.digest = a.manifest
        WHERE m.digest IS NULL
        """,
        "manifest {1} is missing: artifact {0!r} needs it",
    ),
    _Reference(
        "job_manifests",
        """
        SELECT j.job, j.role, j.manifest FROM job_manifests j LEFT JOIN manifests m ON m.digest = j.manifest
        WHERE m.digest IS NULL
        """,
        "manifest {2} is missing: job {0} needs it as {1!r}",
    ),
    _Reference(
        "job_events",
        "SELECT e.job, e.number FROM job_events e LEFT JOIN jobs j ON j.number = e.job WHERE j.number IS NULL",
        "job {0} is missing: event {1} is one of its own",
    ),
    _Reference(
        "gradients",
        """
        SELECT n.name, g.number, g.manifest FROM gradients g LEFT JOIN networks n ON n.id = g.network_id
        LEFT JOIN manifests m ON m.digest = g.manifest WHERE m.digest IS NULL
        """,
        "manifest {2} is missing: the gradients of network {0!r} at revision {1} need it",
    ),
    _Reference(
        "placed_tensors",
        """
        SELECT p.name, p.device, p.manifest FROM placed_tensors p LEFT JOIN manifests m ON m.digest = p.manifest
        WHERE m.digest IS NULL
        """,
        "manifest {2} is missing: tensor {0!r} on {1} needs it",
    ),
    _Reference(
        "manifests",
        """
        SELECT m.name, m.tensor, m.manifest FROM manifest_tensors m LEFT JOIN tensors t ON t.digest = m.tensor
        WHERE t.digest IS NULL
        """,
        "tensor {1} is missing: manifest {2} has it as {0!r}",
    ),
    _Reference(
        "tensor_bases",
        "SELECT b.base, b.tensor FROM tensor_bases b LEFT JOIN tensors t ON t.digest = b.base WHERE t.digest IS NULL",
        "tensor {0} is missing: tensor {1} has chunks of it",
    ),
    _Reference(
        "tensors",
        "SELECT DISTINCT c.chunk FROM tensor_chunks c LEFT JOIN chunks d ON d.digest = c.chunk WHERE d.digest IS NULL",
        "chunk {0} is missing",
    ),
)
_PARTS = """
SELECT p.position, p.chunk, c.size FROM (
    SELECT position, chunk FROM tensor_chunks WHERE tensor = ?
    UNION ALL
    SELECT t.position, t.chunk FROM tensor_bases b JOIN tensor_chunks t ON t.tensor = b.base
    WHERE b.tensor = ? AND NOT EXISTS (SELECT 1 FROM tensor_chunks o WHERE o.tensor = ? AND o.position = t.position)
) p LEFT JOIN chunks c ON c.digest = p.chunk ORDER BY p.position
"""
_HOLDERS = """m.tensor IN (
    SELECT tensor FROM tensor_chunks WHERE chunk = ?
    UNION SELECT b.tensor FROM tensor_bases b JOIN tensor_chunks t ON t.tensor = b.base WHERE t.chunk = ?
    AND NOT EXISTS (SELECT 1 FROM tensor_chunks o WHERE o.tensor = b.tensor AND o.position = t.position)
)"""
_USERS = """
SELECT DISTINCT m.name, n.name, r.number, a.name, j.job, d.name, p.name
FROM manifest_tensors m
LEFT JOIN revisions r ON r.manifest = m.manifest LEFT JOIN networks n ON n.id = r.network_id
LEFT JOIN artifacts a ON a.manifest = m.manifest
LEFT JOIN job_manifests j ON j.manifest = m.manifest
LEFT JOIN gradients g ON g.manifest = m.manifest LEFT JOIN networks d ON d.id = g.network_id
LEFT JOIN placed_tensors p ON p.manifest = m.manifest
WHERE {condition} AND COALESCE(n.name, a.name, d.name, p.name, CAST(j.job AS TEXT)) IS NOT NULL LIMIT 6
"""
_USERS_OF = {
    "chunk": _USERS.format(condition=_HOLDERS),
    "tensor": _USERS.format(condition="m.tensor = ?"),
    "manifest": _USERS.format(condition="m.manifest = ?"),
}


@dataclass
class Checked:
    """What was looked at so far: rows by table, and how many there are to look at."""

    done: dict[str, int] = field(default_factory=dict)
    total: dict[str, int] = field(default_factory=dict)
    chunk_bytes: int = 0


class Verifier:
    """One run: `run` yields a line for each thing that is damaged, `checked` counts."""

    def __init__(
        self, database: Database, *, sample: int | None = None, told: Callable[[Checked], None] = lambda _: None
    ) -> None:
        self.checked = Checked()
        self._database = database
        self._sample = sample
        self._told = told

    def run(self) -> Iterator[str]:
        """Checks everything, or `sample` chunks, tensors and manifests drawn at random, and all references.

        Raises: Unavailable.
        """
        if self._database.kind == "sqlite" and self._sample is None:
            yield from self._check_file()
        yield from self._check_references()
        yield from self._check_each("manifest", self._check_manifest)
        yield from self._check_each("tensor", self._check_tensor)
        yield from self._check_each("chunk", self._check_chunk)

    def _check_file(self) -> Iterator[str]:
        """SQLite's own look at its pages."""
        try:
            with self._database.reading() as connection:
                lines = [str(row[0]) for row in fetch(connection, "PRAGMA quick_check(20)", [])]
        except Damaged as error:
            lines = [error.detail]
        for line in lines:
            if line != "ok":
                yield f"database file: {line}"

    def _check_references(self) -> Iterator[str]:
        for table, statement, words in _REFERENCES:
            try:
                with self._database.reading() as connection:
                    rows = list(fetch(connection, statement, []))
            except Damaged as error:
                yield f"references of {table} cannot be read: {error.detail}"
                continue
            for row in rows:
                values = [bytes(value).hex() if isinstance(value, bytes | memoryview) else value for value in row]
                used = self._users("chunk", bytes.fromhex(values[0])) if table == "tensors" else ""
                yield words.format(*values) + used

    def _check_each(self, kind: str, check: Callable[[sa.Connection, bytes], str | None]) -> Iterator[str]:
        table = f"{kind}s"
        with self._database.reading() as connection:
            [(there,)] = fetch(connection, f"SELECT COUNT(*) FROM {table}", [])  # noqa: S608
        self.checked.done[table] = 0
        self.checked.total[table] = there if self._sample is None else min(self._sample, there)
        drawn = self._sample is not None and self._sample < there
        for batch in self._drawn(table) if drawn else self._all(table):
            for digest, wrong in self._look(batch, check):
                yield f"{kind} {digest.hex()}: {wrong}{self._users(kind, digest)}"
            self.checked.done[table] += len(batch)
            self._told(self.checked)

    def _look(
        self, batch: Sequence[bytes], check: Callable[[sa.Connection, bytes], str | None]
    ) -> Iterator[tuple[bytes, str]]:
        for digest in batch:
            try:
                with self._database.reading() as connection:
                    wrong = check(connection, digest)
            except Damaged as error:  # the page it lies on cannot be read; the next one's may
                wrong = error.detail
            if wrong:
                yield digest, wrong

    def _all(self, table: str) -> Iterator[list[bytes]]:
        statement = f"SELECT digest FROM {table} WHERE digest > ? ORDER BY digest LIMIT {ROWS_AT_ONCE}"  # noqa: S608
        last = b""
        while batch := self._digests(statement, last):
            yield batch
            last = batch[-1]

    def _drawn(self, table: str) -> Iterator[list[bytes]]:
        """Digests are spread evenly, so the next one after a random place is a fair draw."""
        statement = f"SELECT digest FROM {table} WHERE digest >= ? ORDER BY digest LIMIT 1"  # noqa: S608
        drawn: set[bytes] = set()
        wanted = self.checked.total[table]
        tries = 20 * wanted
        while len(drawn) < wanted and tries:
            tries -= 1
            found = self._digests(statement, os.urandom(32)) or self._digests(statement, b"")
            fresh = [digest for digest in found if digest not in drawn]
            drawn.update(fresh)
            if fresh:
                yield fresh

    def _digests(self, statement: str, first: bytes) -> list[bytes]:
        with self._database.reading() as connection:
            return [bytes(row[0]) for row in fetch(connection, statement, [first])]

    def _check_manifest(self, connection: sa.Connection, digest: bytes) -> str | None:
        statement = "SELECT name, tensor FROM manifest_tensors WHERE manifest = ? ORDER BY position"
        entries = [(name, bytes(tensor).hex()) for name, tensor in fetch(connection, statement, [digest])]
        good = digest_manifest(entries) == digest.hex()
        return None if good or not _there(connection, "manifests", digest) else "its list of tensors is not as stored"

    def _check_tensor(self, connection: sa.Connection, digest: bytes) -> str | None:
        row = _one(connection, "SELECT dtype, shape, byte_count, chunk_bytes FROM tensors WHERE digest = ?", digest)
        if row is None:
            return None  # it was collected meanwhile
        parts = list(
            fetch(
                connection,
                _PARTS,
                [digest, digest, digest],
            )
        )
        return _wrong_in_tensor(digest, row, parts)

    def _check_chunk(self, connection: sa.Connection, digest: bytes) -> str | None:
        row = _one(connection, "SELECT digest, size, data FROM chunks WHERE digest = ?", digest)
        if row is None:
            return None
        if not isinstance(row[2], bytes | memoryview):
            return "its bytes are not as stored"
        data = memoryview(row[2])
        self.checked.chunk_bytes += data.nbytes
        if digest_chunk(data) != digest.hex() or bytes(row[0]) != digest:
            return "its bytes are not as stored"
        return None if row[1] == data.nbytes else f"it is {data.nbytes} bytes and said to be {row[1]}"

    def _users(self, kind: str, digest: bytes) -> str:
        """Who needs it, in words; empty if nobody does or nobody knows."""
        try:
            with self._database.reading() as connection:
                statement = _USERS_OF[kind]
                rows = list(fetch(connection, statement, [digest] * statement.count("?")))
        except Damaged:
            return ""
        shown = [_user(row) for row in rows[:USERS_SHOWN]]
        return f"; used by {', '.join(shown)}{' and others' if len(rows) > USERS_SHOWN else ''}" if shown else ""


def _user(row: Row) -> str:
    tensor, network, revision, artifact, job, differentiated, placed = row
    if network is not None:
        return f"network {network!r} revision {revision} ({tensor})"
    if differentiated is not None:
        return f"gradients of network {differentiated!r} ({tensor})"
    if placed is not None:
        return f"tensor {placed!r}"
    return f"artifact {artifact!r} ({tensor})" if artifact is not None else f"job {job} ({tensor})"


def _wrong_in_tensor(digest: bytes, row: Row, parts: Sequence[Row]) -> str | None:
    dtype, shape_text, size, chunk_bytes = row
    if dtype not in DTYPES:
        return f"its dtype {dtype!r} is none"
    try:
        shape = tuple(orjson.loads(shape_text))
        expected = byte_count(dtype, shape)
    except (orjson.JSONDecodeError, TypeError):
        return "its shape cannot be read"
    chunks = [bytes(part[1]).hex() for part in parts]
    if digest_tensor(dtype, shape, chunks) != digest.hex() or [part[0] for part in parts] != list(range(len(parts))):
        return "its dtype, shape or list of chunks is not as stored"
    sizes = [min(chunk_bytes, size - start) for start in range(0, size, max(chunk_bytes, 1))]
    if size != expected or any(part[2] not in (None, length) for part, length in zip(parts, sizes, strict=False)):
        return "its size is not as stored"
    return None if len(sizes) == len(parts) else "its size is not as stored"


def _one(connection: sa.Connection, statement: str, digest: bytes) -> Row | None:
    return next(iter(list(fetch(connection, statement, [digest]))), None)


def _there(connection: sa.Connection, table: str, digest: bytes) -> bool:
    return _one(connection, f"SELECT 1 FROM {table} WHERE digest = ?", digest) is not None  # noqa: S608
