"""Giving the room that deleted rows left in an SQLite file back to the disk.

Files made by this version keep a map with which free pages are moved to the end and cut off, a little at a time beside
writers. Files of earlier versions have none: their free pages are used again, and `rewrite`, which writers wait for,
shrinks them and gives them the map. PostgreSQL looks after its files itself. Called by the command line.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from app.db.engine import Database

STEP_BYTES = 32 * 2**20  # moved while writers wait: a tenth of a second
_INCREMENTAL = 2  # what `PRAGMA auto_vacuum` answers for a file with the map


@dataclass(frozen=True)
class Room:
    """What is free in the file, and whether it can be given back beside writers."""

    free_bytes: int
    can_shrink: bool


def find_room(database: Database) -> Room | None:
    """Looks at the file; None where the database looks after itself."""
    if database.kind != "sqlite":
        return None
    with database.outside_transaction() as connection:
        pages, page_bytes, kind = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("freelist_count", "page_size", "auto_vacuum")
        )
    return Room(pages * page_bytes, kind == _INCREMENTAL)


def shrink(database: Database, *, told: Callable[[int], None] = lambda _: None) -> int:
    """Cuts free pages off the file, `STEP_BYTES` at a time; returns how many bytes. `told` hears of the progress.

    Raises Unavailable when a writer does not end.
    """
    given = 0
    with database.outside_transaction() as connection:
        page_bytes, free = _read(connection, "page_size"), _read(connection, "freelist_count")
        while free:
            # A script: of a statement that gives no rows Python takes the first step alone, which is one page.
            connection.executescript(f"PRAGMA incremental_vacuum({STEP_BYTES // page_bytes})")
            left = _read(connection, "freelist_count")
            if left >= free:
                break  # a writer freed more meanwhile; that is for the next time
            given += (free - left) * page_bytes
            told(given)
            free = left
        _checkpoint(connection)
    return given


def rewrite(database: Database) -> None:
    """Writes the whole file anew, without free pages and with the map. Writers wait; the disk needs as much room again.

    Raises StorageFull, Unavailable.
    """
    with database.outside_transaction() as connection:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("VACUUM")
        _checkpoint(connection)


def _read(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


def _checkpoint(connection: sqlite3.Connection) -> None:
    """Moves the log into the file, which is what cuts it; readers that stay put it off to a later time."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
