"""The devices that the pool has, and what is on them.

Nobody who works is asked: workers tell what they hold whenever it changes, and devices are measured from outside. So
the answer is there at once, whatever the workers are doing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from app.db import networks, placed_tensors
from app.db.engine import Connection
from app.messages import Resident, ResidentKind
from app.pool.base import Measurement, WorkerInfo
from app.services.lab import Lab, look_up

Names = dict[ResidentKind, dict[str, str]]  # of residents, by id


@dataclass(frozen=True)
class ResidentNetwork:
    """A network that is on a device now, at which revision, and how many bytes it takes."""

    name: str
    revision: int
    byte_count: int


@dataclass(frozen=True)
class ResidentTensor:
    """A tensor that is on a device now, and how many bytes it takes."""

    name: str
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
    tensors: list[ResidentTensor]
    resident_bytes: int
    budget_bytes: int | None


async def report_devices(lab: Lab) -> list[DeviceReport]:
    """Reports every device, in the pool's order."""
    workers = await lab.pool.workers()
    measured = await lab.pool.measure()
    names = await look_up(lab, partial(_names, workspace=lab.workspace, workers=workers))
    by_device: dict[str, list[WorkerInfo]] = {device: [] for device in lab.pool.devices}
    for worker in workers:
        by_device[worker.device].append(worker)
    return [_report(there, measured.get(device, Measurement()), names) for device, there in by_device.items()]


def _names(connection: Connection, workspace: str, workers: Sequence[WorkerInfo]) -> Names:
    """The names of the residents that are in the workspace."""
    ids: dict[ResidentKind, list[str]] = {"network": [], "tensor": []}
    for worker in workers:
        for resident in worker.residents:
            ids[resident.kind].append(resident.id)
    return {
        "network": networks.names_of(connection, workspace, ids["network"]),
        "tensor": placed_tensors.names_of(connection, workspace, ids["tensor"]),
    }


def _report(workers: Sequence[WorkerInfo], measured: Measurement, names: Names) -> DeviceReport:
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
            ResidentNetwork(names["network"][resident.id], resident.revision, resident.bytes)
            for resident in there.values()
            if resident.kind == "network" and resident.id in names["network"]
        ],
        tensors=[
            ResidentTensor(names["tensor"][resident.id], resident.bytes)
            for resident in there.values()
            if resident.kind == "tensor" and resident.id in names["tensor"]
        ],
        resident_bytes=sum(resident.bytes for worker in workers for resident in worker.residents),
        budget_bytes=sum(budgets) if budgets else None,
    )
