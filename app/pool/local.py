"""The pool on this machine: one spawned process per device, watched, replaced when it dies.

Owns the rules of life and death: which worker gets a task, what is tried again, when a worker is killed. Knows
nothing of what tasks mean. Wired by `app.main`, called by `app.services` through `WorkerPool`.
"""

import asyncio
import itertools
import logging
import time
from collections import deque
from dataclasses import dataclass

from app.errors import Busy, Conflict, DeadlineExceeded, LabError, Unavailable
from app.messages import Failure, Reply, Task, from_failure
from app.pool.base import WorkerInfo, WorkerPool, WorkerState
from app.pool.devices import chosen_devices
from app.pool.process import WorkerProcess
from app.settings import Settings

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 0.1  # how often deadlines are looked at
SENT_AHEAD = 16  # tasks a worker holds at once; those behind them can still be withdrawn
DEATHS_PER_TASK = 2  # a task that this many workers died on is not tried again
SLOW_START_SECONDS = 5.0  # wait before the next try when a worker dies while starting, again and again


@dataclass(slots=True)
class _Pending:
    task: Task
    future: asyncio.Future[Reply]
    submitted_at: float
    deadline_seconds: float
    deaths: int = 0


class _Slot:
    """One device and the line of processes that own it, one after the other."""

    def __init__(self, name: str, device: str, settings: Settings) -> None:
        self.name = name
        self.device = device
        self.state: WorkerState = "starting"
        self.restarts = 0
        self.tasks_done = 0
        self.pending: dict[int, _Pending] = {}  # oldest first; the first one runs
        self._waiting: deque[int] = deque()  # those of `pending` that the worker does not hold yet
        self._held = 0  # how many it holds
        self._settings = settings
        self._sequences = itertools.count(1)
        self._head_since = 0.0  # when the first of `pending` began to run
        self._deaths_while_starting = 0
        self._kill_reason: LabError | None = None
        self._stopping = False
        self._process: WorkerProcess | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self) -> None:
        self.state = "starting"
        process = WorkerProcess(on_ready=self._ready, on_reply=self._reply, on_death=self._death)
        self._process = process
        await process.start(self.device, self._settings)

    def submit(self, task: Task, deadline_seconds: float) -> asyncio.Future[Reply]:
        if len(self.pending) >= self._settings.queue_length:
            raise Busy(
                f"{len(self.pending)} requests wait for {self.device}; try again in a moment.",
                extra={"retry_after_seconds": 1},
            )
        pending = _Pending(task, asyncio.get_running_loop().create_future(), time.monotonic(), deadline_seconds)
        sequence = next(self._sequences)
        if not self.pending:
            self._head_since = pending.submitted_at
        self.pending[sequence] = pending
        self._waiting.append(sequence)
        self._send_ahead()
        return pending.future

    def _send_ahead(self) -> None:
        """Gives the worker a few tasks to go on with; what nobody waits for any more is dropped instead."""
        while self.state == "ready" and self._held < SENT_AHEAD and self._waiting:
            sequence = self._waiting.popleft()
            pending = self.pending[sequence]
            if pending.future.done():
                del self.pending[sequence]
                continue
            assert self._process is not None
            self._process.send(sequence, pending.task)
            self._held += 1

    def sweep(self, now: float) -> None:
        """Kills a worker whose task runs too long, and answers those that have waited too long."""
        self._drop_answered()
        for position, pending in enumerate(self.pending.values()):
            waited = now - pending.submitted_at
            if pending.future.done() or waited <= pending.deadline_seconds:
                continue
            if self.state != "ready" or position > 0:
                _fail(
                    pending, DeadlineExceeded(f"Waited {waited:.1f} s for {self.device}, which is busy or restarting.")
                )
        head = next(iter(self.pending.values()), None)
        if head and self.state == "ready" and now - self._head_since > head.deadline_seconds and not self._kill_reason:
            self._kill_reason = DeadlineExceeded(f"Ran for more than {head.deadline_seconds:g} s and was stopped.")
            logger.warning("killing %s (pid %s): a task ran past its deadline", self.name, self.pid)
            assert self._process is not None
            self._process.kill()

    async def stop(self, timeout_seconds: float) -> None:
        self._stopping = True
        if self._process is not None:
            self._process.close()
            await self._process.wait(timeout_seconds)
        for pending in self.pending.values():
            _fail(pending, Unavailable("The service is stopping.", extra={"retry_after_seconds": 5}))
        self.pending.clear()
        self._waiting.clear()
        self.state = "dead"

    def _drop_answered(self) -> None:
        """Makes room in the queue: tasks that nobody waits for and that no worker holds are gone."""
        answered = [sequence for sequence in self._waiting if self.pending[sequence].future.done()]
        if answered:
            for sequence in answered:
                del self.pending[sequence]
            self._waiting = deque(sequence for sequence in self._waiting if sequence in self.pending)

    # --- called by the process ---

    def _ready(self) -> None:
        self.state = "ready"
        self._deaths_while_starting = 0
        self._head_since = time.monotonic()
        self._send_ahead()

    def _reply(self, sequence: int, reply: Reply) -> None:
        pending = self.pending.pop(sequence, None)
        self._head_since = time.monotonic()
        if pending is None:
            return
        self._held -= 1
        self.tasks_done += 1
        if not pending.future.done():
            pending.future.set_result(reply)
        self._send_ahead()

    def _death(self, reason: str) -> None:
        was_ready = self.state == "ready"
        self.state = "dead"
        killed_for, self._kill_reason = self._kill_reason, None
        if self._stopping:
            return
        logger.warning("%s (pid %s) died: %s", self.name, self.pid, reason)
        self.restarts += 1
        if was_ready:
            self._blame_head(killed_for, reason)
        else:
            self._deaths_while_starting += 1
        self._held = 0
        self._waiting = deque(self.pending)
        asyncio.ensure_future(self._restart())  # noqa: RUF006  # ends by itself; its failures are logged there

    def _blame_head(self, killed_for: LabError | None, reason: str) -> None:
        """The task that ran when the worker died is tried once more, or answered with the cause."""
        sequence, head = next(iter(self.pending.items()), (0, None))
        if head is None:
            return
        head.deaths += 1
        if killed_for is None and head.deaths < DEATHS_PER_TASK and not head.future.done():
            return
        del self.pending[sequence]
        _fail(
            head,
            killed_for
            or Unavailable(
                f"The worker of {self.device} died while it ran this request, and so did its successor: {reason}.",
                code="worker-died",
                extra={"retry_after_seconds": 5},
            ),
        )

    async def _restart(self) -> None:
        if self._deaths_while_starting > 1:
            await asyncio.sleep(min(SLOW_START_SECONDS, 0.2 * 2**self._deaths_while_starting))
        if self._stopping:
            return
        try:
            await self.start()
        except OSError:
            logger.exception("could not start a process for %s", self.name)
            self._deaths_while_starting += 1
            await asyncio.sleep(SLOW_START_SECONDS)
            await self._restart()


class LocalPool(WorkerPool):
    """Spawned processes on this machine, one per device."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        names = chosen_devices(settings.devices)
        self._slots = {name: _Slot(f"worker-{index}", name, settings) for index, name in enumerate(names)}
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        for slot in self._slots.values():
            await slot.start()
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        await asyncio.gather(*(slot.stop(self._settings.drain_seconds) for slot in self._slots.values()))

    async def submit(self, task: Task, *, device: str | None = None, deadline_seconds: float | None = None) -> Reply:
        slot = self._least_busy() if device is None else self._slots.get(device)
        if slot is None:
            present = ", ".join(self._slots)
            raise Conflict(
                f"There is no device {device} here (any more); present: {present}. Move the network to one of them.",
                code="absent-device",
                extra={"devices": list(self._slots)},
            )
        reply = await slot.submit(task, deadline_seconds or self._settings.deadline_seconds)
        if isinstance(reply, Failure):
            raise from_failure(reply)
        return reply

    def workers(self) -> list[WorkerInfo]:
        return [
            WorkerInfo(
                name=slot.name,
                device=slot.device,
                state=slot.state,
                pid=slot.pid,
                queue=len(slot.pending),
                restarts=slot.restarts,
                tasks_done=slot.tasks_done,
            )
            for slot in self._slots.values()
        ]

    @property
    def devices(self) -> list[str]:
        return list(self._slots)

    @property
    def ready(self) -> bool:
        return any(slot.state == "ready" for slot in self._slots.values())

    def _least_busy(self) -> _Slot:
        return min(self._slots.values(), key=lambda slot: (slot.state != "ready", len(slot.pending)))

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            for slot in self._slots.values():
                slot.sweep(now)


def _fail(pending: _Pending, error: LabError) -> None:
    if not pending.future.done():
        pending.future.set_exception(error)
