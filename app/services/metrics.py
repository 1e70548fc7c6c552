"""Figures that are read when somebody asks: workers, devices, jobs, what is stored. Of the whole service.

Nobody is kept waiting for them: workers have told the pool already, devices are measured from outside. What the
database holds is counted once in a while; where it is away, its figures are left out and the others told.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from app.db.figures import Figures, read_figures
from app.errors import LabError
from app.observability.meters import Reading
from app.pool.base import Measurement, WorkerInfo
from app.services.lab import Lab, look_up

COUNTED_FOR_SECONDS = 30.0
JOB_STATES = ("queued", "running", "succeeded", "failed", "cancelled")


async def read_all(lab: Lab) -> list[Reading]:
    """Every reading, at once."""
    watched = lab.watched
    if watched.figures is None or time.monotonic() - watched.counted_at > COUNTED_FOR_SECONDS:
        try:
            watched.figures = await look_up(lab, read_figures)
        except LabError:
            watched.figures = None
        watched.counted_at = time.monotonic()
    readings = [*_of_workers(await lab.pool.workers()), *_of_devices(await lab.pool.measure())]
    return readings if watched.figures is None else [*readings, *_of_database(watched.figures)]


def _of_workers(workers: Sequence[WorkerInfo]) -> Iterable[Reading]:
    def each(value: Callable[[WorkerInfo], float]) -> list[tuple[Sequence[str], float]]:
        return [((worker.name, worker.device, worker.lane), value(worker)) for worker in workers]

    gauge = partial(Reading, kind="gauge", labels=("worker", "device", "lane"))
    counter = partial(Reading, kind="counter", labels=("worker", "device", "lane"))
    yield gauge(
        "model_lab_worker_ready", "1 while the worker answers.", values=each(lambda worker: worker.state == "ready")
    )
    yield gauge(
        "model_lab_queue", "Tasks that wait for the worker or run in it.", values=each(lambda worker: worker.queue)
    )
    yield counter(
        "model_lab_tasks_total", "Tasks that the worker answered.", values=each(lambda worker: worker.tasks_done)
    )
    yield counter(
        "model_lab_shared_runs_total",
        "How often several requests went through a network together.",
        values=each(lambda worker: worker.shared_runs),
    )
    yield counter(
        "model_lab_tasks_shared_total",
        "Tasks that were answered from such a run.",
        values=each(lambda worker: worker.tasks_shared),
    )
    yield counter(
        "model_lab_worker_restarts_total",
        "How often the worker was replaced.",
        values=each(lambda worker: worker.restarts),
    )
    yield gauge(
        "model_lab_residents",
        "Networks and tensors that it keeps on its device.",
        values=each(lambda worker: len(worker.residents)),
    )
    yield gauge(
        "model_lab_resident_bytes",
        "What those take.",
        values=each(lambda worker: sum(resident.bytes for resident in worker.residents)),
    )
    yield gauge(
        "model_lab_resident_budget_bytes",
        "What those may take.",
        values=each(lambda worker: worker.budget_bytes or 0),
    )
    yield counter(
        "model_lab_loads_total", "How often a network or tensor came there.", values=each(lambda worker: worker.loads)
    )
    yield counter(
        "model_lab_evictions_total",
        "How often one left to make room for others.",
        values=each(lambda worker: worker.evictions),
    )


def _of_devices(measured: Mapping[str, Measurement]) -> Iterable[Reading]:
    def each(value: Callable[[Measurement], float | None]) -> list[tuple[Sequence[str], float]]:
        found = [(device, value(measurement)) for device, measurement in measured.items()]
        return [((device,), number) for device, number in found if number is not None]

    gauge = partial(Reading, kind="gauge", labels=("device",))
    yield gauge(
        "model_lab_device_busy",
        "Share of time that the device was busy lately.",
        values=each(lambda there: there.utilization),
    )
    yield gauge(
        "model_lab_device_memory_total_bytes", "The device's memory.", values=each(lambda there: there.total_bytes)
    )
    yield gauge(
        "model_lab_device_memory_used_bytes",
        "How much of it is in use, by anybody.",
        values=each(lambda there: there.used_bytes),
    )
    yield gauge(
        "model_lab_device_memory_worker_bytes",
        "How much of it the workers have taken.",
        values=each(lambda there: there.worker_bytes),
    )
    yield gauge(
        "model_lab_device_celsius", "The GPU's temperature.", values=each(lambda there: there.temperature_celsius)
    )
    yield gauge("model_lab_device_watts", "The GPU's power draw.", values=each(lambda there: there.power_watts))


def _of_database(figures: Figures) -> Iterable[Reading]:
    states = [((state,), figures.jobs.get(state, 0)) for state in JOB_STATES]
    gauge = partial(Reading, kind="gauge", labels=())
    yield Reading("model_lab_jobs", "Jobs that are kept, by their state.", "gauge", ("state",), states)
    yield gauge("model_lab_networks", "Networks.", values=[((), figures.networks)])
    yield gauge("model_lab_chunks", "Chunks of tensors that are stored.", values=[((), figures.chunks)])
    yield gauge("model_lab_database_bytes", "Size of the database.", values=[((), figures.database_bytes)])
