"""What the database's own errors mean to a caller: the one place where they are translated.

`app.db.engine` and `app.db.heads` pass every driver error through here. What is not listed stays as it is, for it
is a fault of ours and not of the request's or the disk's.
"""

import re
import sqlite3
from typing import Any

import sqlalchemy as sa

from app.errors import Damaged, LabError, StorageFull, Unavailable

RETRY_SECONDS = 1

# what SQLite says where there is no room by a quota or a limit on files, and not for want of free blocks
_SQLITE_UNWRITABLE = {sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}
_SQLITE_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_SQLITE_AWAY = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}
_SQLITE_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

# class 08: connection; 57P0.: shut down, crashed, starting, dropped, idle; 53300: too many connections; 53200: out of
# memory; 25006 and 0A000: it only reads, or the tables are others than this connection remembers
_POSTGRESQL_AWAY = re.compile(r"08...|57P0[12345]|53300|53200|58030|25006|0A000")
_POSTGRESQL_READS_ONLY = "25006"
_POSTGRESQL_BUSY = re.compile(r"55P03|40001|40P01|57014|25P0[34]")  # lock, serialisation, deadlock, timeouts
_POSTGRESQL_REFERENCE = "23503"
_POSTGRESQL_DAMAGED = re.compile(r"XX00[12]")


def unavailable() -> Unavailable:
    return Unavailable("The database does not answer; try again.", extra={"retry_after_seconds": RETRY_SECONDS})


def busy() -> Unavailable:
    message = "The database is held by others for too long; try again."
    return Unavailable(message, extra={"retry_after_seconds": RETRY_SECONDS})


def collected() -> Unavailable:
    """A foreign key was refused: what it means was there when the request began, and was deleted meanwhile."""
    message = "Something that this refers to was deleted meanwhile; try again."
    return Unavailable(message, extra={"retry_after_seconds": RETRY_SECONDS})


def full() -> StorageFull:
    return StorageFull("There is no room left to keep this; what is stored can still be read.")


def translate(error: BaseException) -> LabError | None:
    """Says what a driver's error means, or None if it is not about the database's health."""
    if isinstance(error, sa.exc.TimeoutError):  # no connection of the pool came free in time
        return busy()
    lost = False
    if isinstance(error, sa.exc.DBAPIError):
        lost = error.connection_invalidated
        error = error.orig or error
    if isinstance(error, sqlite3.Error):
        return _translate_sqlite(error)
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str):
        return _translate_postgresql(state)
    if lost or _lost_by_psycopg(error):
        return unavailable()
    return None


def is_held(error: BaseException) -> bool:
    """True if another process kept the SQLite file for longer than one was ready to wait."""
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    return isinstance(cause, sqlite3.Error) and (getattr(cause, "sqlite_errorcode", 0) & 0xFF) in _SQLITE_BUSY


def is_deadlock(error: BaseException | None) -> bool:
    """True if PostgreSQL gave up a transaction because of others, and it may well succeed when tried again."""
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    return getattr(cause, "sqlstate", None) in ("40P01", "40001")


def is_outdated(error: BaseException) -> bool:
    """True if another connection may well do what this one refuses: it leads to a standby, or knows old tables."""
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    return getattr(cause, "sqlstate", None) in (_POSTGRESQL_READS_ONLY, "0A000")


def is_refused_write(error: BaseException) -> bool:
    """True for a refusal to write. Inside `reading()` that is a mistake of ours, not of the disk or the server."""
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    if getattr(cause, "sqlstate", None) == _POSTGRESQL_READS_ONLY:
        return True
    return isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorcode", 0) == sqlite3.SQLITE_READONLY


def _translate_sqlite(error: sqlite3.Error) -> LabError | None:
    detailed = getattr(error, "sqlite_errorcode", 0)
    if detailed == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        return collected()
    code = detailed & 0xFF  # the primary code; the rest is detail
    if code == sqlite3.SQLITE_FULL or detailed in _SQLITE_UNWRITABLE:
        return full()
    if code in _SQLITE_BUSY:
        return busy()
    if code in _SQLITE_AWAY:
        return unavailable()
    if code in _SQLITE_DAMAGED:
        return Damaged(f"The database file is damaged: {error}.")
    if str(error).startswith("Could not decode"):  # bytes where text was written
        return Damaged("The database file is damaged: a text in it is none.")
    return None


def _translate_postgresql(state: str) -> LabError | None:
    if state == "53100":
        return full()
    if state == _POSTGRESQL_REFERENCE:
        return collected()
    if _POSTGRESQL_AWAY.fullmatch(state):
        return unavailable()
    if _POSTGRESQL_BUSY.fullmatch(state):
        return busy()
    if _POSTGRESQL_DAMAGED.fullmatch(state):
        return Damaged(f"PostgreSQL reports damaged data (SQLSTATE {state}).")
    return None


def _lost_by_psycopg(error: Any) -> bool:
    """An OperationalError without a state: the connection could not be made, or broke."""
    kind = type(error)
    return kind.__module__.partition(".")[0] == "psycopg" and any(
        base.__name__ == "OperationalError" for base in kind.__mro__
    )
