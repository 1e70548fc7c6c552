"""SQL of the store on the driver itself: thousands of small rows and megabytes of bytes at a time.

Statements are written once, with `?` for values and `NOW()` for the database's clock, in the SQL that SQLite and
PostgreSQL share. Everything runs on the connection and in the transaction that the caller holds. On PostgreSQL results
come in the binary protocol: bytes in its text protocol are twice as long.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

Row = tuple[Any, ...]
MOST_VALUES = 400  # of one IN list


def execute_many(connection: sa.Connection, statement: str, rows: Sequence[Row]) -> None:
    """Runs one statement for each row."""
    if rows:
        _cursor(connection).executemany(_spell(connection, statement), rows)


def fetch(connection: sa.Connection, statement: str, values: Sequence[object]) -> Iterator[Row]:
    """Runs a query and yields its rows. Bytes may come as `bytes` or `memoryview`."""
    cursor = _cursor(connection)
    try:
        cursor.execute(_spell(connection, statement), values)
        yield from cursor
    finally:
        cursor.close()


def fetch_where_in(
    connection: sa.Connection, statement: str, column_values: Sequence[object], values: Sequence[object] = ()
) -> Iterator[Row]:
    """Runs a query that holds `IN (...)` once for every few hundred of `column_values`, which come before `values`."""
    for start in range(0, len(column_values), MOST_VALUES):
        part = list(column_values[start : start + MOST_VALUES])
        yield from fetch(connection, statement.replace("...", ", ".join("?" * len(part))), [*part, *values])


def _cursor(connection: sa.Connection) -> Any:
    driver: Any = connection.connection.driver_connection
    return driver.cursor(binary=True) if connection.dialect.name == "postgresql" else driver.cursor()


def _spell(connection: sa.Connection, statement: str) -> str:
    if connection.dialect.name == "postgresql":
        return statement.replace("?", "%s").replace("NOW()", "clock_timestamp()")
    for lock in ("FOR NO KEY UPDATE", "FOR UPDATE SKIP LOCKED"):  # it locks the whole file instead
        statement = statement.replace(lock, "")
    return statement.replace("NOW()", "utc_now()")
