"""Whether something read from the database may have changed since, told in microseconds and without waiting.

For what every request needs and what seldom changes. A stamp is taken before reading; what was read holds while
`now()` still gives an equal one. SQLite: `PRAGMA data_version`, which changes with every commit of anybody. PostgreSQL
tells nothing for free: there, what was read holds for a moment.
"""

import sqlite3
import time
from collections.abc import Callable

from app.db.engine import Database, normalise_url
from app.db.sqlite import Watch

BUSY_SECONDS = 0.1  # how long a file that somebody has for himself is waited for: all others wait with whoever asks
MOMENT_SECONDS = 1.0  # how much older than the last commit an answer may be on PostgreSQL


class Stamps:
    """Gives stamps of one database. To be used in one thread, and closed at the end."""

    def __init__(self, database: Database) -> None:
        self._watch: Watch | None = None
        self.now: Callable[[], object] = _moment
        if database.kind == "sqlite":
            self._watch = Watch(normalise_url(database.url), BUSY_SECONDS)
            self.now = self._version

    def _version(self) -> object:
        """Raises: nothing; a file that cannot be read gives stamps that never hold."""
        assert self._watch is not None
        try:
            connection = self._watch.connection()
            return connection, connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            self.close()
            return object()

    def close(self) -> None:
        if self._watch is not None:
            self._watch.close()


def _moment() -> object:
    return time.monotonic() // MOMENT_SECONDS
