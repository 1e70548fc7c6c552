"""Connections to PostgreSQL that give up a server which says nothing any more.

A connection to a server that was stopped, or whose machine hangs, stands for ever: the system at the other end goes
on acknowledging, none of the server's own time-outs runs, and psycopg waits. So whoever has heard nothing for a while
asks whether a new connection is answered; if not, its own counts as lost. While a server is known to be silent, one
at a time finds out whether it is back, and all others are told at once. Called by `app.db.engine`, `app.db.heads`.
"""

import threading
import time
from collections.abc import Generator, Mapping
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa

ResultT = TypeVar("ResultT")

SILENT_SECONDS = 4.0  # without a word from the server, before it is asked whether it is there
CONNECT_SECONDS = 3  # for a new connection to be answered
QUICK_SECONDS = 0.5  # a server that refuses connections at once may be asked by everybody
PAUSE_SECONDS = 1.0  # between two looks for one that does not answer
WAKE_SECONDS = 0.1  # how often a wait is interrupted


class Server:
    """Where connections go, and whether anybody was there lately. Thread-safe."""

    def __init__(self, url: sa.URL, *, application: str, settings: Mapping[str, str]) -> None:
        _, address = url.get_dialect()().create_connect_args(url)
        self._arguments: dict[str, Any] = {
            **address,
            "connect_timeout": CONNECT_SECONDS,
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
            "application_name": application,
            "client_encoding": "utf8",  # a server whose own is SQL_ASCII would give bytes for text
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 30_000,
        }
        self._looking = threading.Lock()
        self._silent = False
        self._next_look = 0.0

    def connect(self, *, autocommit: bool = False) -> "PatientConnection":
        """Makes a connection. Raises psycopg.OperationalError; at once while the server is known to be silent."""
        if not self._silent:
            return self._connect(autocommit)
        if time.monotonic() < self._next_look or not self._looking.acquire(blocking=False):
            raise psycopg.OperationalError("the database server was not there a moment ago")
        try:
            return self._connect(autocommit)
        finally:
            self._looking.release()

    def _connect(self, autocommit: bool) -> "PatientConnection":
        began_at = time.monotonic()
        try:
            connection = PatientConnection.connect(autocommit=autocommit, **self._arguments)
        except psycopg.OperationalError:
            now = time.monotonic()
            self._silent, self._next_look = now - began_at > QUICK_SECONDS, now + PAUSE_SECONDS
            raise
        self._silent = False
        connection.server = self
        return connection

    def answers(self) -> bool:
        """Tells whether a new connection is answered."""
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True


class PatientConnection(psycopg.Connection[Any]):
    """A connection that is lost, with an OperationalError, when nobody is at the other end any more."""

    server: Server

    def wait(
        self,
        gen: Generator[Any, Any, ResultT],
        interval: float = WAKE_SECONDS,
        timeout: float | None = None,
    ) -> ResultT:
        return super().wait(self._listening(gen), interval, timeout)

    def _listening(self, gen: Generator[Any, Any, ResultT]) -> Generator[Any, Any, ResultT]:
        """Passes on what `gen` asks to wait for, and looks after the server when a wait is long."""
        heard_at = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                now = time.monotonic()
                if ready:
                    heard_at = now
                elif now - heard_at > SILENT_SECONDS:
                    self._check_server()
                    heard_at = time.monotonic()
                wanted = gen.send(ready)
        except StopIteration as end:
            result: ResultT = end.value
            return result

    def _check_server(self) -> None:
        if not self.server.answers():
            self.pgconn.finish()
            raise psycopg.OperationalError("the database server has stopped answering")
