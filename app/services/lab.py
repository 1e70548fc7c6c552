"""What every service is given: the settings and the parts they work with, and nothing made behind one's back.

Built once by `app.main` at the start of the application's life, and narrowed by `app.services.access` to what a
request's key opens; passed as the first argument of every service.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar
from weakref import WeakValueDictionary

import anyio
import anyio.to_thread

from app.db.engine import Connection, Database
from app.db.heads import Head, HeadReader
from app.db.keys import ROLES, Role
from app.errors import Forbidden
from app.observability.meters import Meters
from app.pool.base import WorkerPool
from app.services.bell import Bell
from app.services.inference_memory import InferenceMemory
from app.services.watched import Watched
from app.settings import Settings

ResultT = TypeVar("ResultT")

DEFAULT_WORKSPACE = "default"


@dataclass(frozen=True)
class Caller:
    """On whose behalf something is done. Where no key is made, everybody may do everything and is nobody."""

    role: Role = "admin"
    name: str | None = None  # the key's, or its id; stands in what it changes
    body_bytes: int | None = None  # largest body of one request, besides the service's own limits


@dataclass(frozen=True)
class Lab:
    """The parts of a running service, as one caller in one workspace has them.

    `in_flight` holds the idempotency keys of requests that have not ended, `turns` a lock for each network that is
    being changed, `catalogs` what workers have told once and for all, `asking` who waits for the answer to one
    question about heads, `background` what goes on although nobody waits for it. `meters` and `watched` are for whoever
    watches over the service. `bell` rings when something happened to a job; `inference` holds what `/v2` counts and
    has asked; `stopping` is set when the service is told
    to end.
    """

    settings: Settings
    database: Database
    heads: HeadReader
    pool: WorkerPool
    workspace: str = DEFAULT_WORKSPACE
    caller: Caller = Caller()
    in_flight: set[tuple[str, str]] = field(default_factory=set)
    turns: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    catalogs: dict[str, object] = field(default_factory=dict)
    background: set[asyncio.Task[None]] = field(default_factory=set)
    asking: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(1))
    meters: Meters = field(default_factory=Meters)
    watched: Watched = field(default_factory=Watched)
    bell: Bell = field(default_factory=Bell)
    inference: InferenceMemory = field(default_factory=InferenceMemory)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def begin_stopping(self) -> None:
        """The service is told to end: it is ready no more, claims no jobs, and streams of events end."""
        self.stopping.set()
        self.bell.ring()


def require(lab: Lab, role: Role) -> None:
    """Raises: Forbidden when the caller's role is below `role`."""
    if ROLES.index(lab.caller.role) < ROLES.index(role):
        message = f"This takes a key with the role `{role}`; yours has the role `{lab.caller.role}`."
        raise Forbidden(message, extra={"role": lab.caller.role, "needed": role})


async def in_thread(work: Callable[[], ResultT], limiter: anyio.CapacityLimiter | None = None) -> ResultT:
    """Runs blocking database work beside the event loop.

    A client that leaves waits for nothing, and does not stop it half-way: a transaction ends by itself, and its thread
    counts in `limiter` (the service's own if None) until it has. What has not begun by then is not begun.
    """
    begun = False

    def begin() -> ResultT:
        nonlocal begun
        begun = True
        return work()

    running = asyncio.ensure_future(anyio.to_thread.run_sync(begin, limiter=limiter))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        if not begun:
            running.cancel()
        raise


async def ask_heads(lab: Lab, question: Callable[[HeadReader], Head | None]) -> Head | None:
    """Asks for a head: here and now where that takes microseconds, else beside the event loop, one after the other."""
    if not lab.heads.may_wait:
        return question(lab.heads)
    return await in_thread(lambda: question(lab.heads), lab.asking)


async def look_up(lab: Lab, query: Callable[[Connection], ResultT]) -> ResultT:
    """Runs `query` on one consistent look at the database, beside the event loop."""

    def look() -> ResultT:
        with lab.database.reading() as connection:
            return query(connection)

    return await in_thread(look)
