"""Connections to the one database, and the one place where anything is committed.

`Database.transaction()` is for writing and `Database.reading()` for a consistent look; both hand out a SQLAlchemy
connection, end the transaction themselves, and turn the driver's errors into `Unavailable`, `StorageFull` or
`Damaged`. SQLite (one file, several processes) and PostgreSQL (psycopg 3) behave alike behind it. Query functions
live in the modules beside this one; who may use them is the services', the store's and the worker's affair.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal, TypeVar

import psycopg
import sqlalchemy as sa

from app.db import sqlite
from app.db.failures import is_deadlock, is_outdated, is_refused_write, translate
from app.db.postgresql import Server
from app.errors import Unavailable

T = TypeVar("T")

DEADLOCKS = 5  # tries of one transaction
CHECKOUT_SECONDS = 10  # how long a caller waits for a connection of the pool

Connection = sa.Connection  # the type's name for those who may not know SQLAlchemy

_POSTGRESQL_SESSION = {
    "statement_timeout": "60s",
    "lock_timeout": "20s",
    "idle_in_transaction_session_timeout": "120s",
    "timezone": "UTC",
}


def normalise_url(url: str) -> sa.URL:
    """Reads a database URL; `postgresql://` and `postgres://` mean psycopg 3. Raises ValueError for other databases."""
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise ValueError("the database URL cannot be read; it looks like sqlite:////path/to/file") from None
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername in ("sqlite", "sqlite+pysqlite"):
        if parsed.database in (None, "", ":memory:"):
            raise ValueError("SQLite needs a file: several processes share the database")
        return parsed.set(drivername="sqlite")
    raise ValueError(f"{parsed.drivername}: only sqlite and postgresql databases are supported")


class Database:
    """The database behind `url`. Thread-safe; connections are made when first needed and mended when lost.

    Not to be carried over a fork: every process makes its own. An SQLite file must be there already unless
    `may_create`: one that is gone must not come back empty. Whoever may be broken off between any two instructions
    gives with `writing` a context that keeps a transaction whole, or one that is broken off keeps others out for ever.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 5,
        may_create: bool = False,
        writing: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        parsed = normalise_url(url)
        self.url: str = parsed.render_as_string(hide_password=False)
        self.kind: Literal["sqlite", "postgresql"]
        self.server: Server | None = None  # where a file is not all there is
        if parsed.drivername == "sqlite":
            self.kind = "sqlite"
            self.engine = sqlite.make_engine(
                parsed, pool_size=pool_size, checkout_seconds=CHECKOUT_SECONDS, may_create=may_create
            )
        else:
            self.kind = "postgresql"
            self.server = Server(parsed, application="model-lab", settings=_POSTGRESQL_SESSION)
            self.engine = _postgresql_engine(parsed, self.server, pool_size)
        self._pen = sqlite.Pen()
        self._writing = writing

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sa.Connection]:
        """Everything done on the connection happens, or none of it: commits at the end, rolls back on any error.

        Without `durable` the end does not wait for the disk. A power cut may undo it then, but never without undoing
        all that was committed after it: both databases write one log, and who waits for a later transaction waits for
        this one too. So it is for what nobody is told of before something durable refers to it.

        On SQLite only one transaction runs at a time (it begins IMMEDIATE), so reading before writing is safe;
        on PostgreSQL the isolation is READ COMMITTED and rows read in order to be changed need `FOR UPDATE`.
        """
        if self.kind == "postgresql":
            with self._writing(), _translated(), self.engine.begin() as connection:
                if not durable:
                    connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
                yield connection
            return
        with (
            self._writing(),
            _translated(),
            self._pen.held() as busy_seconds,
            self.engine.connect() as connection,
        ):
            writer = connection.execution_options(busy_seconds=busy_seconds, durable=durable)
            with writer.begin():
                yield writer

    def retrying(self, action: Callable[[sa.Connection], T], *, durable: bool = True) -> T:
        """Runs `action` in a transaction, and again if PostgreSQL ends it to resolve a deadlock.

        `action` must bear being run again: everything it did in the database was undone, the rest was not.
        """
        for _ in range(DEADLOCKS - 1):
            try:
                with self.transaction(durable=durable) as connection:
                    return action(connection)
            except Unavailable as error:
                if not is_deadlock(error.__cause__):
                    raise
        with self.transaction(durable=durable) as connection:
            return action(connection)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """All queries on the connection see the database as it was at the first one; writing is refused."""
        with _translated(reading=True), self.engine.connect() as connection:
            if self.kind == "sqlite":
                reader = connection.execution_options(reading=True)
            else:
                reader = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with reader.begin():
                yield reader

    @contextmanager
    def outside_transaction(self) -> Iterator[sqlite3.Connection]:
        """SQLite's own connection with no transaction begun, for the few statements that may not stand in one."""
        with _translated():
            connection = self.engine.raw_connection()
            try:
                driver: Any = connection.driver_connection
                driver.execute("PRAGMA query_only = OFF")
                yield driver
            finally:
                connection.close()

    def close(self) -> None:
        """Closes all connections that are not in use."""
        self.engine.dispose()


def ping(database: Database) -> None:
    """Asks the database for one row. Raises Unavailable if it does not answer."""
    with database.reading() as connection:
        connection.execute(sa.select(1)).one()


@contextmanager
def _translated(*, reading: bool = False) -> Iterator[None]:
    try:
        yield
    except (sa.exc.SQLAlchemyError, sqlite3.Error, psycopg.Error) as error:
        meaning = translate(error)
        if meaning is None or (reading and is_refused_write(error)):
            raise
        raise meaning from error


def _postgresql_engine(url: sa.URL, server: Server, pool_size: int) -> sa.Engine:
    engine = sa.create_engine(
        url,
        creator=server.connect,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=CHECKOUT_SECONDS,
        pool_recycle=3600,
        pool_pre_ping=True,
    )
    sa.event.listen(engine, "handle_error", _give_up_outdated)
    return engine


def _give_up_outdated(context: sa.engine.ExceptionContext) -> None:
    """Lets the pool make its connections anew when one leads to a server that is no longer the one to write to."""
    if is_outdated(context.original_exception):
        context.is_disconnect = True
