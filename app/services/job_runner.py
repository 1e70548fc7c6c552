"""Runs jobs: claims them, keeps their leases alive, ends them, and gives up for dead those of other processes.

Each service process has one. It runs as many jobs on each device as the pool has workers for jobs there, and as many
trainings besides. Between its statements a job belongs to whoever holds its lease; this file never trusts that it still
does. Wired by `app.main`, which hands over the kinds of jobs there are.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TypeVar

import anyio
import msgspec

from app.db import leases
from app.db.engine import Connection
from app.db.leases import Claimed, Lease, LeaseLost
from app.db.wakeups import listen, wake_others
from app.errors import LabError, Unavailable
from app.messages import Lane, to_failure
from app.services.idempotency import Write
from app.services.job_context import JOB_LANES, Attempt, JobContext, Kinds, is_death, is_passing, lane_of
from app.services.jobs import forget_ended_jobs
from app.services.lab import Caller, Lab, in_thread
from app.services.writes import MOST_TRIES, HeadMoved, too_contended, turn

logger = logging.getLogger(__name__)

BEATS_PER_LEASE = 3  # a lease survives two heartbeats that fail
QUIET_SECONDS = 0.05  # between two looks, however often the bell rings
FORGET_SECONDS = 600.0  # between two looks for jobs that are kept no longer
LONGEST_PAUSE_SECONDS = 30.0  # before a job is tried again that met something that was away
FINISH_TRIES = 3  # to write the end of a job, before it is done anew
THREADS = 4  # for the runner's own statements, so that requests never keep a heartbeat waiting

ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class _Running:
    claimed: Claimed
    task: asyncio.Task[None]


class JobRunner:
    """The runner of one service process."""

    def __init__(self, lab: Lab, kinds: Kinds) -> None:
        self._lab = lab
        self._kinds = kinds
        self._running: dict[str, _Running] = {}  # by token
        self._pauses: Counter[int] = Counter()  # how often a job met something that was away
        self._threads = anyio.CapacityLimiter(THREADS)
        self._claiming: asyncio.Task[None] | None = None
        self._loops: list[asyncio.Task[None]] = []  # those that go on until all jobs have ended
        self._closed_at = 0.0  # when the last job was claimed

    async def start(self) -> None:
        """Begins to claim; returns at once."""
        self._claiming = asyncio.create_task(self._claim())
        self._loops = [asyncio.create_task(loop()) for loop in (self._watch, self._listen)]

    async def stop(self, timeout_seconds: float) -> None:
        """Lets running jobs end until `timeout_seconds` after the last was claimed, and puts the others back as if they
        had not begun."""
        self._lab.begin_stopping()
        if self._claiming is not None:
            await asyncio.wait([self._claiming])
        if self._running:
            left_seconds = self._closed_at + timeout_seconds - time.monotonic()
            await asyncio.wait([one.task for one in self._running.values()], timeout=max(0.0, left_seconds))
        left = list(self._running.values())
        for one in left:
            one.task.cancel()
        for one in left:
            await asyncio.wait([one.task])
            with suppress(LeaseLost, LabError):
                await self._give_back(one.claimed.lease, "the service stopped")
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)

    # --- loops ---

    async def _claim(self) -> None:
        with self._lab.bell.listening() as ear:
            while not self._lab.stopping.is_set():
                try:
                    while rooms := self._rooms():
                        claimed = await self._in_thread(partial(self._claim_one, rooms=rooms))
                        if claimed is None:
                            break
                        self._begin(claimed)
                except LabError as error:  # the database is away: it will be back
                    logger.warning("no job can be claimed: %s", error.detail)
                except Exception:  # jobs must go on being claimed, whatever went wrong with this one
                    logger.exception("no job could be claimed, for a reason nobody foresaw")
                await ear.wait(self._lab.settings.job_poll_seconds)
        self._closed_at = time.monotonic()

    async def _watch(self) -> None:
        """Keeps leases alive, stops what has lost its own, reaps those of the dead, forgets what is old."""
        beat_seconds = self._lab.settings.job_lease_seconds / BEATS_PER_LEASE
        next_beat = next_forget = 0.0
        with self._lab.bell.listening() as ear:
            while True:
                now = time.monotonic()
                beating = now >= next_beat
                try:
                    await self._check_leases(renew=beating)
                    if beating:
                        next_beat = now + beat_seconds
                        await self._in_thread(self._reap)  # after our own leases were renewed
                    if now >= next_forget:
                        next_forget = now + FORGET_SECONDS
                        await in_thread(self._forget, self._threads)
                except LabError as error:
                    logger.warning("leases cannot be renewed: %s", error.detail)
                    await asyncio.sleep(self._lab.settings.job_poll_seconds)
                except Exception:
                    logger.exception("leases could not be renewed, for a reason nobody foresaw")
                    await asyncio.sleep(self._lab.settings.job_poll_seconds)
                await asyncio.sleep(QUIET_SECONDS)
                await ear.wait(max(0.0, min(self._lab.settings.job_poll_seconds, next_beat - time.monotonic())))

    async def _listen(self) -> None:
        await listen(self._lab.database, self._lab.bell.ring)

    # --- claiming ---

    def _rooms(self) -> dict[Lane, list[str]]:
        """The lanes in which one more job may run, each with the devices where none may. Asked in the event loop: what
        runs changes there."""
        if self._lab.stopping.is_set():
            return {}
        workers = self._lab.settings.job_workers
        rooms: dict[Lane, list[str]] = {}
        for lane in JOB_LANES:
            running = [one.claimed for one in self._running.values() if lane_of(one.claimed.job.kind) == lane]
            if len(running) < len(self._lab.pool.devices) * workers:
                at_work = Counter(claimed.device for claimed in running if claimed.device is not None)
                rooms[lane] = [device for device, count in at_work.items() if count >= workers]
        return rooms

    def _claim_one(self, connection: Connection, rooms: Mapping[Lane, list[str]]) -> Claimed | None:
        seconds = self._lab.settings.job_lease_seconds
        for lane, busy_devices in rooms.items():
            kinds = [kind for kind in self._kinds if lane_of(kind) == lane]
            claimed = leases.claim(connection, kinds=kinds, lease_seconds=seconds, busy_devices=busy_devices)
            if claimed is not None:
                wake_others(connection)
                return claimed
        return None

    def _begin(self, claimed: Claimed) -> None:
        token = claimed.lease.token
        task = asyncio.create_task(self._run(claimed), name=f"job-{claimed.job.number}")
        self._running[token] = _Running(claimed, task)
        self._lab.bell.ring()

        def ended(_: asyncio.Task[None]) -> None:
            self._running.pop(token, None)
            self._lab.bell.ring()

        task.add_done_callback(ended)

    # --- one attempt ---

    async def _run(self, claimed: Claimed) -> None:
        """Runs an attempt to its end, whatever that is."""
        caller = Caller("write", claimed.job.author)
        job = JobContext(replace(self._lab, workspace=claimed.job.workspace, caller=caller), claimed)
        reporting = asyncio.create_task(job.report_progress())
        try:
            await self._attempt(job, self._kinds[claimed.job.kind])
        except LeaseLost:
            logger.info("job %d is no longer ours", claimed.job.number)
        except LabError as error:
            await self._end_badly(claimed, error)
        except Exception:
            logger.exception("job %d failed in a way nobody foresaw", claimed.job.number)
            message = "Something went wrong inside the service. The log has more under the job's id."
            await self._end_badly(claimed, LabError(message, code="internal-error"))
        else:
            self._pauses.pop(claimed.job.number, None)
        finally:
            reporting.cancel()

    async def _attempt(self, job: JobContext, attempt: Attempt) -> None:
        """Once beside other writers; when one of them was quicker, again in its turn."""
        with suppress(HeadMoved):
            return await self._finish(job, await attempt(job))
        async with turn(job.lab, job.job.network_id or ""):
            for _ in range(MOST_TRIES):
                with suppress(HeadMoved):
                    return await self._finish(job, await attempt(job))
        raise too_contended()

    async def _finish(self, job: JobContext, write: Write) -> None:
        """Ends the job; a database that is away for a moment does not cost the work that was done."""
        await job.flush_progress()
        for tries_left in reversed(range(FINISH_TRIES)):
            try:
                await job.finish(write)
                break
            except LabError as error:
                if not is_passing(error) or not tries_left:
                    raise
            await asyncio.sleep(self._lab.settings.job_poll_seconds)

    async def _end_badly(self, claimed: Claimed, error: LabError) -> None:
        """Writes what became of a failed attempt, as long as it takes for the database to be there."""
        with suppress(LeaseLost):
            while True:
                try:
                    return await self._write_end(claimed, error)
                except LabError as away:
                    logger.warning("the end of job %d cannot be written: %s", claimed.job.number, away.detail)
                await asyncio.sleep(self._lab.settings.job_poll_seconds)

    async def _write_end(self, claimed: Claimed, error: LabError) -> None:
        number = claimed.job.number
        if is_passing(error):
            self._pauses[number] += 1
            pause = min(LONGEST_PAUSE_SECONDS, 0.25 * 2.0 ** self._pauses[number])
            await self._give_back(claimed.lease, error.detail, pause)
            return
        self._pauses.pop(number, None)
        if is_death(error):
            failure = _encode(dead(error.detail))
            work = partial(leases.bury, lease=claimed.lease, reason=error.detail, failure=failure)
        else:
            event = {"code": error.code, "detail": error.detail}
            work = partial(leases.fail, lease=claimed.lease, failure=_encode(error), event=event)
        await self._in_thread(_waking(work))

    async def _give_back(self, lease: Lease, reason: str, delay_seconds: float = 0.0) -> None:
        work = partial(leases.give_back, lease=lease, reason=reason, delay_seconds=delay_seconds)
        await self._in_thread(_waking(work))

    # --- leases ---

    async def _check_leases(self, *, renew: bool) -> None:
        tokens = list(self._running)
        if not tokens:
            return
        if renew:
            seconds = self._lab.settings.job_lease_seconds
            held = await self._in_thread(partial(leases.heartbeat, tokens=tokens, lease_seconds=seconds))
        else:
            held = await self._in_thread(partial(leases.held, tokens=tokens), reading=True)
        for token in tokens:
            running = self._running.get(token)
            if token not in held and running is not None:
                running.task.cancel()

    def _reap(self, connection: Connection) -> None:
        reason = "whoever ran it was not heard of any more"
        for reaped in leases.reap(connection, reason=reason, failure=_encode(dead(reason))):
            logger.warning("job %d was given up for dead and is %s", reaped.number, reaped.state)
            wake_others(connection)

    def _forget(self) -> None:
        forget_ended_jobs(self._lab.database, timedelta(seconds=self._lab.settings.job_result_seconds))

    async def _in_thread(self, work: Callable[[Connection], ResultT], *, reading: bool = False) -> ResultT:
        def run() -> ResultT:
            database = self._lab.database
            with database.reading() if reading else database.transaction() as connection:
                return work(connection)

        return await in_thread(run, self._threads)


def _waking(work: Callable[[Connection], object]) -> Callable[[Connection], None]:
    def run(connection: Connection) -> None:
        work(connection)
        wake_others(connection)

    return run


def dead(reason: str) -> LabError:
    """What a job ends with that workers died on."""
    message = f"Two workers ended while they ran this job, and it is not tried again; of the last: {reason}"
    return Unavailable(message, code="worker-died", extra={"retry_after_seconds": 5})


def _encode(error: LabError) -> bytes:
    return msgspec.json.encode(to_failure(error))
