"""A pool that answers from a table, for tests of what HTTP makes of any reply; and a whole application around it."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from app.api.application import RAW_ROUTES, make_application
from app.api.edge import Edge
from app.db.engine import Database
from app.db.heads import HeadReader
from app.db.migrations import migrate
from app.messages import Built, Lane, Progress, Reply, Task
from app.pool.base import Measurement, WorkerInfo, WorkerPool
from app.services.lab import Lab
from app.settings import Settings

BUILT = Built(resolved=b'"Linear(1, 1)"', manifest="", parameter_count=2, parameter_bytes=8, inputs=["input"])


class FakePool(WorkerPool):
    """Answers each kind of task with what its table holds: a reply, an error to raise, or a function of the task."""

    def __init__(self, table: Mapping[type, object]) -> None:
        self.table = dict(table)
        self.tasks: list[Task] = []
        self.is_ready = True

    async def start(self) -> None:
        return None

    async def stop(self) -> None:
        return None

    async def submit(
        self,
        task: Task,
        *,
        device: str | None = None,
        deadline_seconds: float | None = None,
        lane: Lane = "requests",
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Reply:
        self.tasks.append(task)
        answer = self.table[type(task)]
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = await answer(task)
        return answer  # type: ignore[return-value]  # the test's own table

    async def workers(self) -> list[WorkerInfo]:
        return [WorkerInfo("worker-0", "cpu:0", "requests", "ready", 1, 0, 0, len(self.tasks))]

    async def measure(self) -> dict[str, Measurement]:
        return {}

    @property
    def devices(self) -> list[str]:
        return ["cpu:0"]

    @property
    def ready(self) -> bool:
        return self.is_ready


@asynccontextmanager
async def faked_service(
    folder: Path,
    table: Mapping[type, object],
    *,
    hosts: str = "*",
    prepare: Callable[[Lab], None] | None = None,
    raise_unhandled: bool = False,
) -> AsyncIterator[tuple[httpx.AsyncClient, Lab]]:
    """The application in this process, on SQLite in `folder`, with a fake pool."""
    settings = Settings(data_dir=folder)
    migrate(settings.resolved_database_url)
    database = Database(settings.resolved_database_url)
    heads = HeadReader(database)
    lab = Lab(settings=settings, database=database, heads=heads, pool=FakePool(table))
    if prepare is not None:
        prepare(lab)
    edge = Edge(make_application(_no_lifespan), RAW_ROUTES, hosts)
    edge.begin(lab)
    transport = httpx.ASGITransport(edge, raise_app_exceptions=raise_unhandled)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://lab.test") as client:
            yield client, lab
    finally:
        heads.close()
        database.close()


@asynccontextmanager
async def _no_lifespan(_: object) -> AsyncIterator[None]:
    yield
