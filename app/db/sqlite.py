"""SQLite as this service uses it: one file, several processes, a write-ahead log, durable before it is acknowledged.

Owns how a connection is prepared, how a transaction begins, and who of this process may write: SQLite has one writer
at a time, and those who wait for it must keep no connection that a reader could use. Called by `app.db.engine` alone.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import ConnectionPoolEntry

from app.db.columns import sqlite_utc_after, sqlite_utc_now
from app.db.failures import busy, is_held

PAGE_BYTES = 32 * 1024  # 256 MiB of chunks are written several times faster than with SQLite's 4 KiB
BUSY_SECONDS = 20.0  # how long a writer waits for the one before it
HELD_SECONDS = 0.5  # how long when the one before waited in vain: another process seems to keep the file


class Pen:
    """What one thread of this process holds while it writes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_vain = False

    @contextmanager
    def held(self) -> Iterator[float]:
        """Waits for the other writers here; gives how long to wait for those elsewhere. Raises Unavailable."""
        give_up = time.monotonic() + (HELD_SECONDS if self._in_vain else BUSY_SECONDS)
        if not self._lock.acquire(timeout=give_up - time.monotonic()):
            raise busy()
        try:
            yield max(HELD_SECONDS, give_up - time.monotonic())
            self._in_vain = False
        except (sqlite3.Error, sa.exc.DBAPIError) as error:
            self._in_vain = is_held(error)
            raise
        finally:
            self._lock.release()


def make_engine(url: sa.URL, *, pool_size: int, checkout_seconds: float) -> sa.Engine:
    """Opens nothing yet; makes the file's folder."""
    Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(
        url,
        connect_args={"check_same_thread": False, "timeout": BUSY_SECONDS, "cached_statements": 512},
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=checkout_seconds,
    )
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself; _begin does
    connection.create_function("utc_now", 0, sqlite_utc_now)
    connection.create_function("utc_after", 1, sqlite_utc_after)
    if connection.execute("PRAGMA page_count").fetchone()[0] == 0:  # a new file; for others it would wait for writers
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # free room can be given back to the disk
    _use_write_ahead_log(connection)
    connection.execute("PRAGMA foreign_keys = ON")


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switches the file to WAL. The switch does not wait for others that are at it too, so it is tried again."""
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if not is_held(error) or time.monotonic() > give_up:
                raise
        else:
            if mode == "wal":
                return
            if time.monotonic() > give_up:
                raise sqlite3.OperationalError(f"journal mode stays {mode}; a write-ahead log is needed")
        time.sleep(0.01)


def _begin(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    reading = options.get("reading", False)
    driver: Any = connection.connection.driver_connection
    driver.execute(f"PRAGMA query_only = {'ON' if reading else 'OFF'}")
    driver.execute(f"PRAGMA busy_timeout = {round(1000 * options.get('busy_seconds', BUSY_SECONDS))}")
    if not reading:
        driver.execute(f"PRAGMA synchronous = {'FULL' if options.get('durable', True) else 'NORMAL'}")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
