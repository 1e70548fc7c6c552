"""The collector: takes from the store what nobody refers to any more, beside writers and readers.

Three guards keep it from taking what is needed. Only what has not been seen for a grace period goes, and writers mark
what they keep as seen. Rows are locked before they are looked at again, so whoever would refer to one waits. And
foreign keys refuse whatever slips through: a writer that was too late is told to try again, and nothing ever dangles.
Called by the command line.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa

from app.db.clock import read_clock
from app.db.columns import SQLITE_TIME_FORMAT
from app.db.engine import Database
from app.store.rows import fetch, fetch_where_in

ROWS_AT_ONCE = 200  # in one transaction: others wait no longer than it takes to delete them


@dataclass
class Collected:
    """What went."""

    manifests: int = 0
    tensors: int = 0
    chunks: int = 0
    chunk_bytes: int = 0


@dataclass(frozen=True)
class _Table:
    """One table of the store, and the conditions under which nothing refers to a row `x` of it."""

    name: str
    size: str  # a column or a number
    unused: str


_TABLES = (
    _Table(
        "manifests",
        "0",
        "NOT EXISTS (SELECT 1 FROM revisions r WHERE r.manifest = x.digest) "
        "AND NOT EXISTS (SELECT 1 FROM artifacts a WHERE a.manifest = x.digest) "
        "AND NOT EXISTS (SELECT 1 FROM job_manifests j WHERE j.manifest = x.digest) "
        "AND NOT EXISTS (SELECT 1 FROM gradients g WHERE g.manifest = x.digest) "
        "AND NOT EXISTS (SELECT 1 FROM placed_tensors p WHERE p.manifest = x.digest)",
    ),
    *2
    * (  # once more for those that only a collected one was made from
        _Table(
            "tensors",
            "0",
            "NOT EXISTS (SELECT 1 FROM manifest_tensors m WHERE m.tensor = x.digest) "
            "AND NOT EXISTS (SELECT 1 FROM tensor_bases b WHERE b.base = x.digest)",
        ),
    ),
    _Table("chunks", "size", "NOT EXISTS (SELECT 1 FROM tensor_chunks t WHERE t.chunk = x.digest)"),
)  # in this order, so that what only a collected row referred to goes in the same run


def collect(database: Database, grace: timedelta, *, told: Callable[[Collected], None] = lambda _: None) -> Collected:
    """Takes what nobody refers to and nobody has kept for `grace`. `told` hears of the progress now and then.

    A writer that is slower than `grace` may be told to try again. Raises Unavailable, Damaged.
    """
    with database.reading() as connection:
        oldest = read_clock(connection) - grace
    collected = Collected()
    for table in _TABLES:
        for batch in _unused(database, table, oldest):
            sizes = database.retrying(partial(_take, table=table, digests=batch, oldest=oldest))
            setattr(collected, table.name, getattr(collected, table.name) + len(sizes))
            collected.chunk_bytes += sum(sizes)
            told(collected)
    return collected


def _unused(database: Database, table: _Table, oldest: datetime) -> Iterator[list[bytes]]:
    """Digests of rows that look unused, in their order; nothing is locked while they are looked for."""
    statement = (
        f"SELECT x.digest FROM {table.name} x WHERE x.digest > ? AND x.last_seen < ? AND {table.unused} "  # noqa: S608  # our own words
        f"ORDER BY x.digest LIMIT {ROWS_AT_ONCE}"
    )
    last = b""
    while True:
        with database.reading() as connection:
            found = [bytes(row[0]) for row in fetch(connection, statement, [last, _time(connection, oldest)])]
        if not found:
            return
        yield found
        last = found[-1]


def _take(connection: sa.Connection, *, table: _Table, digests: list[bytes], oldest: datetime) -> list[int]:
    """Deletes those that are still unused; returns their sizes.

    Two statements on purpose: on PostgreSQL the second sees what was committed while the first waited for its locks.
    """
    lock = (
        f"SELECT x.digest FROM {table.name} x WHERE x.digest IN (...) AND x.last_seen < ? "  # noqa: S608
        "ORDER BY x.digest FOR UPDATE SKIP LOCKED"
    )
    locked = [bytes(row[0]) for row in fetch_where_in(connection, lock, digests, [_time(connection, oldest)])]
    delete = f"DELETE FROM {table.name} AS x WHERE x.digest IN (...) AND {table.unused} RETURNING {table.size}"  # noqa: S608
    return [row[0] for row in fetch_where_in(connection, delete, locked)]


def _time(connection: sa.Connection, time: datetime) -> Any:
    """A time as the driver takes it."""
    return time.strftime(SQLITE_TIME_FORMAT) if connection.dialect.name == "sqlite" else time
