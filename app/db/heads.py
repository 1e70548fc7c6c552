"""Which revision a forward runs on, found in microseconds.

`services` ask this for every forward. SQLite: in the event loop, a dictionary, thrown away whenever `PRAGMA
data_version` says that anybody committed anything. PostgreSQL: one indexed read on a connection kept for it, beside
the event loop, for a server may take its time. An answer is never older than the last commit before the question.
"""

import sqlite3
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg

from app.db.engine import Database, normalise_url
from app.db.failures import busy, is_held, translate, unavailable
from app.db.postgresql import PatientConnection, Server
from app.db.sqlite import Watch

_HEAD = """
SELECT n.id, r.number, r.manifest, n.dtype, n.device, n.batch_size, n.batch_wait_ms
FROM networks n JOIN revisions r ON r.network_id = n.id AND r.number = {number}
WHERE {condition}
"""
_BY_NAME = _HEAD.format(number="n.head_revision", condition="n.workspace = {0} AND n.name = {0}")
_BY_ID = _HEAD.format(number="n.head_revision", condition="n.id = {0}")
_BY_REVISION = _HEAD.format(number="{0}", condition="n.id = {0}")

REMEMBERED = 20_000  # heads; past it the dictionary starts afresh
BUSY_SECONDS = 0.5  # how long a reader of an SQLite file waits for one that has it for itself: all others wait with it
LOCK_SECONDS = 5.0  # the same for a table of PostgreSQL
PAUSE_SECONDS = 1.0  # before the next try after that


@dataclass(frozen=True)
class Head:
    """One revision of one network, as a worker must be told of it."""

    network_id: str
    revision: int
    manifest: str  # digest
    dtype: str
    device: str
    batch_size: int | None = None  # requests that may share a run; None: each runs alone
    batch_wait_ms: float | None = None


class HeadReader:
    """Finds heads; thread-safe. Make one per process and close it at the end."""

    def __init__(self, database: Database) -> None:
        self._heads: _Heads
        if database.server is None:
            self._heads = _SqliteHeads(database.url)
        else:
            self._heads = _PostgresqlHeads(database.server)
        self._lock = threading.Lock()
        self.may_wait = database.server is not None  # for seconds: not to be asked in an event loop

    def find(self, workspace: str, name: str) -> Head | None:
        """The head of a network by name, or None if there is none. Raises Unavailable."""
        return self._ask(lambda heads: heads.find(workspace, name))

    def find_revision(self, network_id: str, revision: int) -> Head | None:
        """One revision of a network, or None if there is none (any more). Raises Unavailable."""
        return self._ask(lambda heads: heads.find_revision(network_id, revision))

    def find_by_id(self, network_id: str) -> Head | None:
        """The head of a network whatever it is called, or None if it was deleted. Raises Unavailable."""
        return self._ask(lambda heads: heads.find_by_id(network_id))

    def _ask(self, question: "Callable[[_Heads], Head | None]") -> Head | None:
        with self._lock:
            try:
                return question(self._heads)
            except (sqlite3.Error, psycopg.Error) as error:
                self._heads.lose(error)
                raise translate(error) or unavailable() from error

    def close(self) -> None:
        with self._lock:
            self._heads.close()


class _Heads(ABC):
    @abstractmethod
    def find(self, workspace: str, name: str) -> Head | None: ...
    @abstractmethod
    def find_revision(self, network_id: str, revision: int) -> Head | None: ...
    @abstractmethod
    def find_by_id(self, network_id: str) -> Head | None: ...
    @abstractmethod
    def close(self) -> None: ...
    @abstractmethod
    def lose(self, error: Exception) -> None:
        """Closes a connection that has failed."""


class _SqliteHeads(_Heads):
    def __init__(self, url: str) -> None:
        self._watch = Watch(normalise_url(url), BUSY_SECONDS)
        self._version: object = None
        self._known: dict[tuple[str, str], Head] = {}
        self._next_try = 0.0

    def find(self, workspace: str, name: str) -> Head | None:
        connection = self._connect()
        # The version is read before the rows: a commit in between makes them newer than their version, never older.
        version = (connection, connection.execute("PRAGMA data_version").fetchone())
        if version != self._version or len(self._known) > REMEMBERED:
            self._known.clear()
            self._version = version
        key = (workspace, name)
        head = self._known.get(key)
        if head is None:
            head = _head(connection.execute(_BY_NAME.format("?"), key).fetchone())
            if head is not None:
                self._known[key] = head
        return head

    def find_revision(self, network_id: str, revision: int) -> Head | None:
        connection = self._connect()
        return _head(connection.execute(_BY_REVISION.format("?"), (revision, network_id)).fetchone())

    def find_by_id(self, network_id: str) -> Head | None:
        connection = self._connect()
        return _head(connection.execute(_BY_ID.format("?"), (network_id,)).fetchone())

    def _connect(self) -> sqlite3.Connection:
        if time.monotonic() < self._next_try:
            raise busy()
        return self._watch.connection()

    def close(self) -> None:
        self._watch.close()
        self._version = None
        self._known.clear()

    def lose(self, error: Exception) -> None:
        if is_held(error):
            self._next_try = time.monotonic() + PAUSE_SECONDS
        self.close()


class _PostgresqlHeads(_Heads):
    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection: PatientConnection | None = None
        self._next_try = 0.0

    def find(self, workspace: str, name: str) -> Head | None:
        return self._read(_BY_NAME.format("%s"), (workspace, name))

    def find_revision(self, network_id: str, revision: int) -> Head | None:
        return self._read(_BY_REVISION.format("%s"), (revision, network_id))

    def find_by_id(self, network_id: str) -> Head | None:
        return self._read(_BY_ID.format("%s"), (network_id,))

    def _read(self, statement: str, values: tuple[object, ...]) -> Head | None:
        if time.monotonic() < self._next_try:
            raise busy()
        kept = self._connection
        try:
            return self._read_once(statement, values)
        except psycopg.OperationalError:
            if kept is None or not kept.closed:
                raise
            self.close()  # the connection was kept while the server went away: once more, on a new one
            return self._read_once(statement, values)

    def _read_once(self, statement: str, values: tuple[object, ...]) -> Head | None:
        connection = self._connection = self._connection or self._connect()
        return _head(connection.execute(statement, values, prepare=True, binary=True).fetchone())

    def _connect(self) -> PatientConnection:
        connection = self._server.connect(autocommit=True)
        connection.execute(f"SET lock_timeout = {round(1000 * LOCK_SECONDS)}")
        return connection

    def lose(self, error: Exception) -> None:
        if isinstance(error, psycopg.errors.LockNotAvailable):
            self._next_try = time.monotonic() + PAUSE_SECONDS
        self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def _head(row: tuple[Any, ...] | None) -> Head | None:
    if row is None:
        return None
    return Head(row[0], row[1], bytes(row[2]).hex(), *row[3:])
