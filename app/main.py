"""Where everything is built and wired: `create_app(settings)` gives the ASGI application.

`app` is the one that the environment's settings make, for `uvicorn app.main:app`.

At the start of its life: the tables are brought up to date, the database opened, the workers started. At the end:
running work finishes, workers end, connections close."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

import anyio.to_thread
from fastapi import FastAPI

from app.api.application import RAW_ROUTES, make_application
from app.api.edge import Edge
from app.api.job_kinds import KINDS
from app.api.traced import TracedEdge
from app.db.engine import Database
from app.db.heads import HeadReader
from app.db.migrations import migrate
from app.observability.logs import configure_logging
from app.pool.base import WorkerPool
from app.pool.local import LocalPool
from app.pool.traced import TracedPool
from app.services.idempotency import keep_forgetting
from app.services.job_runner import JobRunner
from app.services.lab import Lab
from app.services.uploads import remove_abandoned
from app.settings import Settings

if TYPE_CHECKING:
    from app.observability.traces import Traces

logger = logging.getLogger(__name__)

THREADS = 200  # for what waits for the database: where all writers wait for one lock, readers still go on


def create_app(settings: Settings) -> Edge:
    """Makes the whole application. Nothing is opened or started before its lifespan begins.

    Raises: ModuleNotFoundError where traces or a cluster are asked for and the extra `otel` or `ray` is not installed.
    """
    traces: Traces | None = import_module("app.observability.traces").Traces() if settings.traces else None
    make_pool: Callable[[], WorkerPool] = partial(
        import_module("app.pool.ray").RayPool if settings.pool == "ray" else LocalPool, settings
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        pool = make_pool()
        async with running_lab(settings, TracedPool(pool, traces) if traces else pool) as lab:
            edge.begin(lab)
            try:
                yield
            finally:
                edge.end()
        if traces:
            await anyio.to_thread.run_sync(traces.close)

    make_edge = partial(TracedEdge, traces=traces) if traces else Edge
    edge = make_edge(make_application(lifespan), RAW_ROUTES, settings.allowed_hosts, access_log=settings.access_log)
    return edge


@asynccontextmanager
async def running_lab(settings: Settings, pool: WorkerPool) -> AsyncIterator[Lab]:
    """Opens the database and starts the workers; ends both in turn, whatever happened between."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    url = settings.resolved_database_url
    await anyio.to_thread.run_sync(migrate, url)
    await anyio.to_thread.run_sync(remove_abandoned, settings.spool_dir)
    database = Database(url)
    heads = HeadReader(database)
    try:
        await pool.start()
        logger.info("started", extra={"devices": ", ".join(pool.devices), "database": database.kind})
        lab = Lab(settings=settings, database=database, heads=heads, pool=pool)
        runner = JobRunner(lab, KINDS)
        await runner.start()
        try:
            async with beside(keep_forgetting(database)):
                yield lab
        finally:
            await runner.stop(settings.drain_seconds)
    finally:
        await pool.stop()
        heads.close()
        database.close()
        logger.info("stopped")


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, NoReturn]) -> AsyncIterator[None]:
    """Lets `work` run as long as the block does."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def __getattr__(name: str) -> Edge:
    """Makes `app` when a server asks for it by name, so that importing this module reads no environment."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    settings = Settings()
    configure_logging(settings.log_level)
    app = create_app(settings)
    globals()["app"] = app
    return app
