"""Column types that mean the same on SQLite and PostgreSQL, and the database's clock as an expression.

Owned by `app.db`; the tables and the migrations use these so that a value read is the value written: digests are
32 bytes in the database and hexadecimal text in Python, times are aware UTC datetimes with microseconds, JSON keeps
the order of its keys, and seeds may use all 64 unsigned bits.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

SQLITE_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


class Digest(sa.types.TypeDecorator[str]):
    """A BLAKE3 digest: 64 hexadecimal digits in Python, 32 bytes in the database."""

    impl = sa.LargeBinary(32)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> bytes | None:
        return None if value is None else bytes.fromhex(value)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> str | None:
        return None if value is None else bytes(value).hex()


class UtcTime(sa.types.TypeDecorator[datetime]):
    """An aware UTC datetime. PostgreSQL: `timestamptz`; SQLite: ISO text of fixed width, so that it sorts."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(sa.Text())
        return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).strftime(SQLITE_TIME_FORMAT)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if isinstance(value, str):
            return datetime.fromisoformat(value)
        return value.astimezone(UTC)  # type: ignore[no-any-return]  # a datetime, says the driver


class OrderedJson(sa.types.TypeDecorator[Any]):
    """JSON kept as text, so that the order of keys stays; NULL is Python's None and never JSON's null."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        return None if value is None else orjson.dumps(value).decode()

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        return None if value is None else orjson.loads(value)


class WideInteger(sa.types.TypeDecorator[int]):
    """An integer of any size, kept as decimal text: seeds reach 2**64 - 1, where SQL's integers end at 2**63 - 1."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> int | None:
        return None if value is None else int(value)


class database_time(FunctionElement[datetime]):  # noqa: N801 - reads as a SQL function, like sqlalchemy's own
    """The database's clock, now (not the transaction's start): the only clock that rows are stamped and judged by."""

    type = UtcTime()
    inherit_cache = True


@compiles(database_time, "postgresql")
def _postgresql_time(_element: database_time, _compiler: SQLCompiler, **_kw: Any) -> str:
    return "clock_timestamp()"


@compiles(database_time, "sqlite")
def _sqlite_time(_element: database_time, _compiler: SQLCompiler, **_kw: Any) -> str:
    return "utc_now()"  # registered on every connection by app.db.engine: SQLite's own clock stops at milliseconds


class database_time_after(FunctionElement[datetime]):  # noqa: N801 - reads as a SQL function
    """The database's clock so many seconds from now: `database_time_after(30.0)`."""

    type = UtcTime()
    inherit_cache = True

    def __init__(self, seconds: float) -> None:
        super().__init__(sa.literal(seconds, sa.Double()))


@compiles(database_time_after, "postgresql")
def _postgresql_time_after(element: database_time_after, compiler: SQLCompiler, **kw: Any) -> str:
    return f"clock_timestamp() + make_interval(secs => {compiler.process(element.clauses, **kw)})"


@compiles(database_time_after, "sqlite")
def _sqlite_time_after(element: database_time_after, compiler: SQLCompiler, **kw: Any) -> str:
    return f"utc_after({compiler.process(element.clauses, **kw)})"


def sqlite_utc_now() -> str:
    """What `utc_now()` answers inside SQLite."""
    return datetime.now(UTC).strftime(SQLITE_TIME_FORMAT)


def sqlite_utc_after(seconds: float) -> str:
    """What `utc_after(seconds)` answers inside SQLite."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime(SQLITE_TIME_FORMAT)


def name_text() -> sa.Text:
    """Text that is compared and sorted by code point in both databases, whatever the server's locale."""
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
