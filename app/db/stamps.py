"""Whether something read from the database may have changed since, told in microseconds and without waiting.

For what every request needs and what seldom changes. A stamp is taken before reading; what was read holds while
`now()` still gives an equal one. SQLite: `PRAGMA data_version`, which changes with every commit of anybody but its own
connection, so that one is opened read-only and used for nothing else. PostgreSQL tells nothing for free: there, what
was read holds for a moment.
"""

import sqlite3
import time
from collections.abc import Callable
from urllib.parse import quote

from app.db.engine import Database, normalise_url

MOMENT_SECONDS = 1.0  # how much older than the last commit an answer may be on PostgreSQL


class Stamps:
    """Gives stamps of one database. To be used in one thread, and closed at the end."""

    def __init__(self, database: Database) -> None:
        self._connection: sqlite3.Connection | None = None
        self._url = database.url
        self.now: Callable[[], object] = self._version if database.kind == "sqlite" else _moment

    def _version(self) -> object:
        """Raises: nothing; a file that cannot be read gives stamps that never hold."""
        try:
            connection = self._connection or self._connect()
            version: object = connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            self.close()
            return object()
        return version

    def _connect(self) -> sqlite3.Connection:
        file = quote(str(normalise_url(self._url).database))
        self._connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True, isolation_level=None)
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def _moment() -> object:
    return time.monotonic() // MOMENT_SECONDS
