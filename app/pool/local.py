"""The pool on this machine: spawned processes, one for the requests of each device, others for its jobs.

Decides which place a task goes to; what happens there is `slot.py`'s business. Knows nothing of what tasks mean. Wired
by `app.main`, called by `app.services` through `WorkerPool`.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from app.messages import Failure, Lane, Progress, Reply, Task, from_failure
from app.pool.base import Measurement, WorkerInfo, WorkerPool, absent_device
from app.pool.devices import chosen_devices
from app.pool.hardware import measure
from app.pool.slot import Slot, stopping
from app.pool.spares import Spares
from app.settings import Settings

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 0.1  # how often deadlines are looked at


class LocalPool(WorkerPool):
    """Spawned processes on this machine."""

    def __init__(self, settings: Settings, *, places: Mapping[str, str] | None = None) -> None:
        """`places` tells what PyTorch calls the devices here, where that is not their name."""
        self._settings = settings
        names = chosen_devices(settings.devices)
        self._places = {name: _place_of(name) for name in names} | dict(places or {})
        self._spares = Spares(settings.spare_workers)
        self._slots = {
            name: Slot(f"worker-{index}", name, self._places[name], "requests", settings, self._spares)
            for index, name in enumerate(names)
        }
        self._job_slots: dict[str, list[Slot]] = {name: [] for name in names}
        self._sweeper: asyncio.Task[None] | None = None
        self._stopping = False
        self._ending: set[asyncio.Task[None]] = set()  # idle workers on their way out

    async def start(self) -> None:
        for slot in self._slots.values():
            await slot.start()
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        self._stopping = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        ends = (slot.stop(self._settings.drain_seconds) for slot in self._all())
        await asyncio.gather(*ends, *self._ending, self._spares.stop())

    async def submit(
        self,
        task: Task,
        *,
        device: str | None = None,
        deadline_seconds: float | None = None,
        lane: Lane = "requests",
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Reply:
        if self._stopping:
            raise stopping()
        if device is not None and device not in self._slots:
            raise absent_device(device, self._slots)
        if lane != "requests":
            slot = self._job_slot(device, lane)
        else:
            slot = self._least_busy() if device is None else self._slots[device]
        reply = await slot.run(task, deadline_seconds or self._settings.deadline_seconds, on_progress)
        if isinstance(reply, Failure):
            raise from_failure(reply)
        return reply

    async def workers(self) -> list[WorkerInfo]:
        return self._infos()

    def _infos(self) -> list[WorkerInfo]:
        return [slot.info() for slot in self._all()]

    async def measure(self) -> dict[str, Measurement]:
        return await asyncio.to_thread(measure, self._infos())

    @property
    def devices(self) -> list[str]:
        return list(self._slots)

    @property
    def ready(self) -> bool:
        return any(slot.state == "ready" for slot in self._slots.values())

    def _all(self) -> list[Slot]:
        return [slot for name, first in self._slots.items() for slot in (first, *self._job_slots[name])]

    def _least_busy(self) -> Slot:
        return min(self._slots.values(), key=lambda slot: (slot.state != "ready", slot.queue))

    def _job_slot(self, device: str | None, lane: Lane) -> Slot:
        """A place for a job: one without work, else a new one where there may be more, else the shortest queue.

        A new one starts while the job queues there, so that no other job takes it for one without work.
        """
        names = list(self._slots) if device is None else [device]
        there = {name: [slot for slot in self._job_slots[name] if slot.lane == lane] for name in names}
        shortest = min((slot for slots in there.values() for slot in slots), key=lambda slot: slot.queue, default=None)
        if shortest is not None and shortest.queue == 0:
            return shortest
        name = min(names, key=lambda name: len(there[name]))
        if len(there[name]) >= self._settings.job_workers:
            assert shortest is not None, "there may be at least one"
            return shortest
        numbers = {slot.name for slot in there[name]}
        first = self._slots[name].name
        free = next(n for n in range(len(numbers) + 1) if f"{first}-{lane}-{n}" not in numbers)
        slot = Slot(f"{first}-{lane}-{free}", name, self._places[name], lane, self._settings, self._spares)
        self._job_slots[name].append(slot)
        slot.start_beside()
        return slot

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            for slot in self._all():
                with _going_on():
                    slot.sweep(now)
            with _going_on():
                if not any(slot.state == "starting" for slot in self._all()):
                    await self._spares.fill(now)
            with _going_on():
                self._end_idle(now)

    def _end_idle(self, now: float) -> None:
        for slots in self._job_slots.values():
            for slot in [slot for slot in slots if self._is_idle(slot, now)]:
                slots.remove(slot)
                ending = asyncio.create_task(slot.stop(self._settings.drain_seconds))
                self._ending.add(ending)
                ending.add_done_callback(self._ending.discard)

    def _is_idle(self, slot: Slot, now: float) -> bool:
        return slot.queue == 0 and now - slot.idle_since > self._settings.job_idle_seconds


@contextmanager
def _going_on() -> Iterator[None]:
    """Deadlines are kept whatever goes wrong."""
    try:
        yield
    except Exception:
        logger.exception("a look at the workers failed in a way nobody foresaw")


def _place_of(device: str) -> str:
    """What PyTorch calls a device of this machine: it knows one CPU alone."""
    return "cpu" if device.startswith("cpu:") else device
