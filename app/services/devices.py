"""The devices that the pool has, and what is on them.

A worker that is busy or starting still has a line here: what the pool knows from outside is told at once, what only
the worker knows (memory, residents) is left out when it does not answer soon.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass

from app.db import networks
from app.errors import LabError
from app.messages import ReportStatus, Status
from app.pool.base import WorkerInfo, expect
from app.services.lab import Lab, in_thread
from app.services.utilization import utilization_of

PATIENCE_SECONDS = 2.0


@dataclass(frozen=True)
class LoadedNetwork:
    """A network that is on a device now, at which revision, and how many bytes it takes."""

    name: str
    revision: int
    byte_count: int


@dataclass(frozen=True)
class DeviceReport:
    """One device: its worker as the pool sees it, how many tasks wait or run on it, jobs too, and the worker's own
    report, if it gave one in time."""

    worker: WorkerInfo
    queue: int
    status: Status | None
    networks: list[LoadedNetwork]
    utilization: float | None


async def report_devices(lab: Lab) -> list[DeviceReport]:
    """Reports every device, in the pool's order, within a few seconds whatever the workers do."""
    everybody = lab.pool.workers()
    workers = [worker for worker in everybody if worker.lane == "requests"]
    statuses = await asyncio.gather(*(_ask(lab, worker) for worker in workers))
    queues = Counter[str]()
    for worker in everybody:
        queues[worker.device] += worker.queue
    return await in_thread(
        lambda: [
            _report(lab, worker, queues[worker.device], status)
            for worker, status in zip(workers, statuses, strict=True)
        ]
    )


async def _ask(lab: Lab, worker: WorkerInfo) -> Status | None:
    if worker.state != "ready":
        return None
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return expect(await lab.pool.submit(ReportStatus(), device=worker.device), Status)
    except (TimeoutError, LabError):
        return None


def _report(lab: Lab, worker: WorkerInfo, queue: int, status: Status | None) -> DeviceReport:
    loaded = []
    if status is not None and status.residents:
        with lab.database.reading() as connection:
            for resident in status.residents:
                row = networks.find_by_id(connection, resident.network_id)
                if row is not None and row.workspace == lab.workspace:
                    loaded.append(LoadedNetwork(row.name, resident.revision, resident.bytes))
    return DeviceReport(worker, queue, status, loaded, utilization_of(worker.device))
