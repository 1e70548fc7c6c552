"""The devices that the pool has, and what is on them.

Nobody who works is asked: workers tell what they hold whenever it changes, and devices are measured from outside. So
the answer is there at once, whatever the workers are doing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from app.db import networks
from app.messages import Resident
from app.pool.base import Measurement, WorkerInfo
from app.services.lab import Lab, look_up


@dataclass(frozen=True)
class ResidentNetwork:
    """A network that is on a device now, at which revision, and how many bytes it takes."""

    name: str
    revision: int
    byte_count: int


@dataclass(frozen=True)
class DeviceReport:
    """One device: the worker that serves its requests, how many tasks wait or run on it, jobs too, and what is there.

    `resident_bytes` counts all that its workers keep, of every workspace; `budget_bytes` is what they may.
    """

    worker: WorkerInfo
    queue: int
    measured: Measurement
    networks: list[ResidentNetwork]
    resident_bytes: int
    budget_bytes: int | None


async def report_devices(lab: Lab) -> list[DeviceReport]:
    """Reports every device, in the pool's order."""
    workers = lab.pool.workers()
    measured = await lab.pool.measure()
    ids = [resident.id for worker in workers for resident in worker.residents if resident.kind == "network"]
    names = await look_up(lab, lambda connection: networks.names_of(connection, lab.workspace, ids)) if ids else {}
    by_device: dict[str, list[WorkerInfo]] = {device: [] for device in lab.pool.devices}
    for worker in workers:
        by_device[worker.device].append(worker)
    return [_report(there, measured.get(device, Measurement()), names) for device, there in by_device.items()]


def _report(workers: Sequence[WorkerInfo], measured: Measurement, names: dict[str, str]) -> DeviceReport:
    first = next(worker for worker in workers if worker.lane == "requests")
    there: dict[tuple[str, str], Resident] = {}
    for worker in workers:
        there |= {(resident.kind, resident.id): resident for resident in worker.residents}
    budgets = [worker.budget_bytes for worker in workers if worker.budget_bytes is not None]
    return DeviceReport(
        worker=first,
        queue=sum(worker.queue for worker in workers),
        measured=measured,
        networks=[
            ResidentNetwork(names[resident.id], resident.revision, resident.bytes)
            for resident in there.values()
            if resident.kind == "network" and resident.id in names
        ],
        resident_bytes=sum(resident.bytes for worker in workers for resident in worker.residents),
        budget_bytes=sum(budgets) if budgets else None,
    )
