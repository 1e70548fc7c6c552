"""What every service is given: the settings and the parts they work with, and nothing made behind one's back.

Built once by `app.main` at the start of the application's life; passed as the first argument of every service.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar
from weakref import WeakValueDictionary

import anyio.to_thread

from app.db.engine import Connection, Database
from app.db.heads import HeadReader
from app.pool.base import WorkerPool
from app.services.bell import Bell
from app.settings import Settings

ResultT = TypeVar("ResultT")

DEFAULT_WORKSPACE = "default"


@dataclass(frozen=True)
class Lab:
    """The parts of a running service. `in_flight` holds the idempotency keys of requests that have not ended, `turns`
    a lock for each network that is being changed, `catalogs` what workers have told once and for all. `bell` rings
    when something happened to a job; `stopping` is set when the service is told to end."""

    settings: Settings
    database: Database
    heads: HeadReader
    pool: WorkerPool
    workspace: str = DEFAULT_WORKSPACE
    in_flight: set[tuple[str, str]] = field(default_factory=set)
    turns: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    catalogs: dict[str, object] = field(default_factory=dict)
    bell: Bell = field(default_factory=Bell)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


async def in_thread(work: Callable[[], ResultT]) -> ResultT:
    """Runs blocking database work beside the event loop.

    A client that leaves does not stop it half-way: a transaction ends by itself.
    """
    return await anyio.to_thread.run_sync(work)


async def look_up(lab: Lab, query: Callable[[Connection], ResultT]) -> ResultT:
    """Runs `query` on one consistent look at the database, beside the event loop."""

    def look() -> ResultT:
        with lab.database.reading() as connection:
            return query(connection)

    return await in_thread(look)
