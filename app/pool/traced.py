"""A pool with a span around each task. Wired by `app.main` where the operator asks for traces."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from app.messages import Lane, Progress, Reply, Task
from app.pool.base import Measurement, WorkerInfo, WorkerPool

if TYPE_CHECKING:  # its packages need not be installed
    from app.observability.traces import Traces


class TracedPool(WorkerPool):
    """Does as `pool` does."""

    def __init__(self, pool: WorkerPool, traces: "Traces") -> None:
        self._pool = pool
        self._traces = traces

    async def start(self) -> None:
        await self._pool.start()

    async def stop(self) -> None:
        await self._pool.stop()

    async def submit(
        self,
        task: Task,
        *,
        device: str | None = None,
        deadline_seconds: float | None = None,
        lane: Lane = "requests",
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Reply:
        with self._traces.task(type(task).__name__, {"device": device or "any", "lane": lane}):
            return await self._pool.submit(
                task, device=device, deadline_seconds=deadline_seconds, lane=lane, on_progress=on_progress
            )

    async def workers(self) -> list[WorkerInfo]:
        return await self._pool.workers()

    async def measure(self) -> dict[str, Measurement]:
        return await self._pool.measure()

    @property
    def devices(self) -> list[str]:
        return self._pool.devices

    @property
    def ready(self) -> bool:
        return self._pool.ready
