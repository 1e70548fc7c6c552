"""SQLite as this service uses it: one file, several processes, a write-ahead log, durable before it is acknowledged.

Owns how a connection is prepared, how a transaction begins, and who of this process may write: SQLite has one writer
at a time, and those who wait for it must keep no connection that a reader could use. A file that was removed or
replaced goes on to exist for those who have it open, so they look where it lies: nothing is written where nobody will
find it.
Called by `app.db.engine`; `Watch` by those beside it that must know cheaply whether anything was committed.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.pool import ConnectionPoolEntry

from app.db.columns import sqlite_utc_after, sqlite_utc_now
from app.db.failures import busy, is_held

PAGE_BYTES = 32 * 1024  # 256 MiB of chunks are written several times faster than with SQLite's 4 KiB
BUSY_SECONDS = 20.0  # how long a writer waits for the one before it
HELD_SECONDS = 0.5  # how long when the one before waited in vain: another process seems to keep the file
LOOK_SECONDS = 1.0  # how often a watch looks whether its file still lies there


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


class Watch:
    """A read-only connection that is used for nothing but looking, so `PRAGMA data_version` tells of every commit.

    For one thread at a time. `timeout` is how many seconds a look waits for one who has the file for himself.
    """

    def __init__(self, url: sa.URL, timeout: float) -> None:
        self._file = str(url.database)
        self._timeout = timeout
        self._connection: sqlite3.Connection | None = None
        self._identity: object = None
        self._next_look = 0.0

    def connection(self) -> sqlite3.Connection:
        """The connection, another one where another file has taken its place. Raises sqlite3.Error."""
        now = time.monotonic()
        if self._connection is not None and now > self._next_look:
            self._next_look = now + LOOK_SECONDS
            if file_at(self._file) != self._identity:
                self.close()
        if self._connection is None:
            self._identity, self._next_look = file_at(self._file), now + LOOK_SECONDS
            self._connection = connect(self._file, "ro", self._timeout)
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def file_at(path: str) -> tuple[int, int] | None:
    """Tells one file from another that lies at the same path later; None where there is none."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def connect(path: str, mode: str, timeout: float) -> sqlite3.Connection:
    """Opens the file: `ro` to read, `rw` where it must be there already, `rwc` to make it if need be."""
    return sqlite3.connect(
        f"file:{quote(path)}?mode={mode}",
        uri=True,
        timeout=timeout,
        isolation_level=None,  # the driver begins nothing by itself; _begin does
        check_same_thread=False,
        cached_statements=512,
    )


def make_engine(url: sa.URL, *, pool_size: int, checkout_seconds: float, may_create: bool) -> sa.Engine:
    """Opens nothing yet; makes the file's folder where the file may be made."""
    path = str(url.database)
    if may_create:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(
        url,
        creator=lambda: connect(path, "rwc" if may_create else "rw", BUSY_SECONDS),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=checkout_seconds,
    )
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "begin", _begin)
    _watch_place(engine, path)
    return engine


def _watch_place(engine: sa.Engine, path: str) -> None:
    """Lets the pool give up connections whose file does not lie at `path` any more, and make others."""

    @sa.event.listens_for(engine, "connect")
    def note(_connection: Any, entry: ConnectionPoolEntry) -> None:
        entry.info["file"] = file_at(path)

    @sa.event.listens_for(engine, "checkout")
    def check(_connection: Any, entry: ConnectionPoolEntry, _proxy: Any) -> None:
        if file_at(path) != entry.info["file"]:
            raise sa.exc.DisconnectionError


def _prepare(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
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
