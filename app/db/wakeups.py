"""Telling other processes that something happened to a job, so that nobody waits for the next look.

PostgreSQL carries it with NOTIFY when the transaction commits. SQLite has nothing of the kind: its processes look now
and then. A wake-up says nothing and may be lost; whoever wakes looks at the rows. Called by the services of jobs.
"""

import asyncio
import logging
from collections.abc import Callable

import psycopg
import sqlalchemy as sa

from app.db.engine import Database, normalise_url

logger = logging.getLogger(__name__)

CHANNEL = "model_lab_jobs"
RECONNECT_SECONDS = 5.0


def wake_others(connection: sa.Connection) -> None:
    """Wakes the other processes on this database when the transaction commits."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_notify(CHANNEL, "")))


async def listen(database: Database, on_wake: Callable[[], None]) -> None:
    """Calls `on_wake` for each wake-up of another process, until it is cancelled. Returns at once on SQLite."""
    if database.kind == "sqlite":
        return
    url = normalise_url(database.url).set(drivername="postgresql").render_as_string(hide_password=False)
    while True:
        try:
            connection = await psycopg.AsyncConnection.connect(
                url,
                autocommit=True,
                connect_timeout=5,
                client_encoding="utf8",
                application_name="model-lab jobs",
            )
            async with connection:
                await connection.execute(f"LISTEN {CHANNEL}")
                on_wake()
                async for _ in connection.notifies():
                    on_wake()
        except psycopg.Error as error:
            logger.warning("wake-ups by the database are away for a while: %s", error)
        await asyncio.sleep(RECONNECT_SECONDS)
