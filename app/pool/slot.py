"""One place in the pool: a queue of tasks, and the line of worker processes that take them, one after the other.

Owns the rules of life and death: what is tried again, what a task that ran too long costs, when a worker is replaced.
Knows nothing of what tasks mean, nor of the other places. Used by `app.pool.local`.
"""

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from app.errors import Busy, DeadlineExceeded, Unavailable
from app.messages import Holding, Lane, Progress, Ready, Reply, Resident, ResidentKind, Retiring, Shared, Start, Task
from app.messages.withdrawals import MOST_HELD
from app.pool.base import WorkerInfo, WorkerState
from app.pool.process import WorkerProcess
from app.pool.spares import Spares
from app.settings import Settings

logger = logging.getLogger(__name__)

DEATHS_PER_TASK: dict[Lane, int] = {"requests": 2, "jobs": 1, "training": 1}  # after so many a task is not tried again
AWAKE_SECONDS = 0.0006  # most that a lone request's reply is waited for awake; longer ones gain little
ROOM_TO_WAIT_AWAKE = len(os.sched_getaffinity(0)) > 1  # on one core the worker needs the time itself
LONGEST_START_SECONDS = 180.0  # loading PyTorch from a cold disk takes a minute; longer is for ever
SLOW_START_SECONDS = 5.0  # longest wait before the next try when workers die while starting, again and again


@dataclass(slots=True, eq=False)
class _Pending:
    task: Task
    future: asyncio.Future[Reply]
    on_progress: Callable[[Progress], None] | None
    submitted_at: float
    deadline_seconds: float
    deaths: int = 0


class Slot:
    """One device and lane. A worker answers in order, so the oldest task that it holds is the one that runs."""

    def __init__(self, name: str, device: str, place: str, lane: Lane, settings: Settings, spares: Spares) -> None:
        self.name = name
        self.device = device
        self._place = place
        self.lane = lane
        self.state: WorkerState = "starting"
        self.idle_since = time.monotonic()
        self._restarts = 0
        self._tasks_done = 0
        self._shared_runs = 0
        self._tasks_shared = 0
        self._held: dict[int, _Pending] = {}  # by sequence, the oldest first: sent to the worker
        self._waiting: deque[_Pending] = deque()  # behind those; can still be taken back
        self._settings = settings
        self._spares = spares
        self._sequence = 0  # of the task that was sent last; there are no gaps
        self._head_since = 0.0  # when the first of `_held` began to run
        self._reply_seconds = 0.0  # how long the last tasks took, most of it the very last
        self._deaths_while_starting = 0
        self._careful = 0  # tasks that a worker held when it died: the next one runs each by itself
        self._killed_for: _Pending | None = None  # which task ran too long
        self._retires = False  # the worker ends by itself, and takes no more tasks
        self._started_at = time.monotonic()
        self._stopping = False
        self._process: WorkerProcess | None = None
        self._residents: dict[tuple[ResidentKind, str], Resident] = {}
        self._loads = 0
        self._evictions = 0
        self._device_bytes: int | None = None
        self._budget_bytes: int | None = None

    @property
    def queue(self) -> int:
        """Tasks that wait or run."""
        return len(self._held) + len(self._waiting)

    def info(self) -> WorkerInfo:
        return WorkerInfo(
            name=self.name,
            device=self.device,
            lane=self.lane,
            state=self.state,
            pid=self._process.pid if self._process else None,
            queue=self.queue,
            restarts=self._restarts,
            tasks_done=self._tasks_done,
            shared_runs=self._shared_runs,
            tasks_shared=self._tasks_shared,
            residents=list(self._residents.values()),
            loads=self._loads,
            evictions=self._evictions,
            budget_bytes=self._budget_bytes,
            device_bytes=self._device_bytes,
            place=self._place,
        )

    def start_beside(self) -> None:
        """Starts a worker while tasks queue already, and tries again if it cannot be started."""
        asyncio.ensure_future(self._restart())  # noqa: RUF006  # ends by itself; its failures are logged there

    async def start(self) -> None:
        """Starts a worker, which is ready in a while. Raises: OSError."""
        self.state = "starting"
        self._retires = False
        self._started_at = time.monotonic()
        process = await self._spares.take()
        if self._stopping:
            await process.wait(0)
            return
        self._process = process
        settings = self._settings.model_dump_json().encode()
        process.begin(self, Start(self.device, self._place, self.lane, settings, self._careful))

    async def run(self, task: Task, deadline_seconds: float, on_progress: Callable[[Progress], None] | None) -> Reply:
        """Puts a task into the queue and waits for its reply. Cancelling takes it back, or breaks it off."""
        if self.queue >= self._settings.queue_length:
            raise Busy(
                f"{self.queue} requests wait for {self.device}; try again in a moment.",
                extra={"retry_after_seconds": 1},
            )
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        pending = _Pending(task, future, on_progress, time.monotonic(), deadline_seconds)
        self._waiting.append(pending)
        self._send_ahead()
        try:
            if self.queue == 1:
                await self._wait_awake(pending)
            return await future
        except asyncio.CancelledError:
            self._withdraw(pending)
            raise

    async def _wait_awake(self, pending: _Pending) -> None:
        """Spares the only request there is the time that sleeping and waking take, where replies come quickly."""
        if not ROOM_TO_WAIT_AWAKE or self._reply_seconds > AWAKE_SECONDS:
            return
        await asyncio.sleep(0)  # others that came meanwhile get their turn; then nobody is made to wait
        if self.queue == 1 and pending in self._held.values() and self._process is not None:
            self._process.wait_awake(AWAKE_SECONDS)

    def sweep(self, now: float) -> None:
        """Kills a worker whose task runs too long, and answers those that have waited too long."""
        head = next(iter(self._held.values()), None)
        if head and now - self._head_since > head.deadline_seconds and not self._killed_for:
            logger.warning("killing %s: a task ran past its deadline", self.name)
            _fail(head, DeadlineExceeded(f"Ran for more than {head.deadline_seconds:g} s and was stopped."))
            self._killed_for = head
            assert self._process is not None
            self._process.kill()
        for pending in (*self._held.values(), *self._waiting):
            waited = now - pending.submitted_at
            runs = pending is head and not self._killed_for
            if not runs and waited > pending.deadline_seconds and not pending.future.done():
                _fail(
                    pending, DeadlineExceeded(f"Waited {waited:.1f} s for {self.device}, which is busy or restarting.")
                )
                self._withdraw(pending)
        if self.state == "starting" and now - self._started_at > LONGEST_START_SECONDS and self._process is not None:
            logger.warning("killing %s: it does not come up", self.name)
            self._started_at = now
            self._process.kill()

    async def stop(self, timeout_seconds: float) -> None:
        """Lets the worker finish what it holds for a while and ends it; what is left is `Unavailable`."""
        self._stopping = True
        if self._process is not None:
            self._process.close()
            await self._process.wait(timeout_seconds)
        for pending in (*self._held.values(), *self._waiting):
            _fail(pending, stopping())
        self._held.clear()
        self._waiting.clear()
        self.state = "dead"

    def _send_ahead(self) -> None:
        """Gives the worker a few tasks to go on with."""
        while (process := self._taking()) is not None and len(self._held) < MOST_HELD and self._waiting:
            pending = self._waiting.popleft()
            try:
                # Whoever comes first is sent at once, those behind it together: each sending is a system call.
                process.send(self._sequence + 1, pending.task, at_once=not self._held)
            except Exception as error:  # noqa: BLE001  # a task that cannot be written is its sender's trouble alone
                _fail(pending, error)
                continue
            if not self._held:
                self._head_since = time.monotonic()
            self._sequence += 1
            self._held[self._sequence] = pending

    def _taking(self) -> WorkerProcess | None:
        """The worker while it may be given tasks; not between the loss of its socket and the word of its death."""
        process = self._process
        if self.state != "ready" or self._retires or self._stopping or self._killed_for:
            return None
        return process if process is not None and process.is_there else None

    def _withdraw(self, pending: _Pending) -> None:
        if pending in self._waiting:
            self._waiting.remove(pending)
            return
        for sequence, held in self._held.items():
            if held is pending:
                # The deadline of a request from now on, for a task that does not heed its withdrawal.
                ran = time.monotonic() - self._head_since
                pending.deadline_seconds = min(pending.deadline_seconds, ran + self._settings.deadline_seconds)
                assert self._process is not None
                self._process.withdraw(sequence)
                return

    # --- as the owner of the process ---

    def worker_ready(self, ready: Ready) -> None:
        self.state = "ready"
        self._budget_bytes = ready.budget_bytes
        self._deaths_while_starting = 0
        self._send_ahead()

    def worker_holds(self, holding: Holding) -> None:
        for key in holding.left:
            self._residents.pop(key, None)
        came = {(resident.kind, resident.id): resident for resident in holding.came}
        self._loads += len(came.keys() - self._residents.keys())
        self._evictions += holding.evicted
        self._residents.update(came)
        self._device_bytes = holding.device_bytes

    def worker_told(self, sequence: int, progress: Progress) -> None:
        pending = self._held.get(sequence)
        if pending is not None and pending.on_progress is not None and not pending.future.done():
            asyncio.get_running_loop().call_soon(pending.on_progress, progress)  # its failures are none of the worker's

    def worker_shared(self, shared: Shared) -> None:
        self._shared_runs += 1
        self._tasks_shared += shared.requests

    def worker_answered(self, sequence: int, reply: Reply) -> None:
        pending = self._held.pop(sequence, None)
        now = time.monotonic()
        self._reply_seconds = (self._reply_seconds + now - self._head_since) / 2
        self._head_since = self.idle_since = now
        if pending is None:
            return
        if not pending.future.done():
            self._tasks_done += 1
            pending.future.set_result(reply)
        self._send_ahead()

    def worker_retires(self, retiring: Retiring) -> None:
        logger.warning("%s ends: %s", self.name, retiring.reason)
        self._retires = True

    def worker_died(self, reason: str) -> None:
        was_ready = self.state == "ready"
        self.state = "dead"
        self._residents.clear()
        self._device_bytes = None
        killed_for, self._killed_for = self._killed_for, None
        self.idle_since = time.monotonic()
        if self._stopping:
            return
        logger.warning("%s died: %s", self.name, reason)
        self._restarts += 1
        if was_ready and not self._retires and killed_for is None:
            self._blame_head(reason)
        elif not was_ready:
            self._deaths_while_starting += 1
        again = [held for held in self._held.values() if not held.future.done()]
        self._careful = len(again) if was_ready else self._careful
        self._waiting.extendleft(reversed(again))
        self._held.clear()
        self.start_beside()

    def _blame_head(self, reason: str) -> None:
        """The task that ran when the worker died is tried once more, or answered with the cause."""
        head = next(iter(self._held.values()), None)
        if head is None:
            return
        head.deaths += 1
        if head.deaths >= DEATHS_PER_TASK[self.lane]:
            again = ", and so did its successor" if head.deaths > 1 else ""
            _fail(
                head,
                Unavailable(
                    f"The worker of {self.device} died while it ran this request{again}: {reason}.",
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
        except Exception:  # whatever it is: without a worker nothing goes on here
            logger.exception("could not start a process for %s", self.name)
            self._deaths_while_starting += 1
            await asyncio.sleep(SLOW_START_SECONDS)
            await self._restart()


def stopping() -> Unavailable:
    """The answer to who comes too late."""
    return Unavailable("The service is stopping.", extra={"retry_after_seconds": 5})


def _fail(pending: _Pending, error: Exception) -> None:
    if not pending.future.done():
        pending.future.set_exception(error)
