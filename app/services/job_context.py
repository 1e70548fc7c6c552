"""What one attempt of a job is given: its request, its network, a way to workers, and a fence around what it keeps.

A kind of job is an async function from this context to a `Write`, which makes the result inside the transaction that
ends the job:

    async def attempt(job: JobContext) -> Write: ...

It may be run again from the start, after the death of a worker or a service, by any process; so it has no effect of
its own but through `checkpoint` and the `Write`. When the job is cancelled, or the attempt given up for dead, the
function is cancelled at its next `await`. Made by `app.services.job_runner`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import msgspec

from app.db import jobs, leases
from app.db.engine import Connection
from app.db.jobs import JobRow
from app.db.leases import Claimed, LeaseLost
from app.db.wakeups import wake_others
from app.errors import Busy, LabError, NotFound, StorageFull, Unavailable
from app.messages import Lane, NetworkRef, Progress, Reply, Task
from app.services.idempotency import Answer, Write
from app.services.job_bytes import INLINE_BYTES, keep_bytes, read_bytes
from app.services.lab import Lab, ask_heads, in_thread

logger = logging.getLogger(__name__)

JOB_LANES: tuple[Lane, ...] = ("jobs", "training")
PROGRESS_SECONDS = 0.5  # between two reports of one job that are written

RequestT = TypeVar("RequestT", bound=msgspec.Struct)


@dataclass(frozen=True)
class StoredAnswer(Answer):
    """An answer whose body is in the store."""

    manifest: str = ""


class JobContext:
    """One attempt. `lab` is that of the job's workspace."""

    def __init__(self, lab: Lab, claimed: Claimed) -> None:
        self.lab = lab
        self.job: JobRow = claimed.job
        self.resume: bytes | None = claimed.checkpoint  # the note of the newest checkpoint, None: from the start
        self._lease = claimed.lease
        self._request = claimed.request
        self._progress: dict[str, object] | None = None  # what is not told yet
        self._news = asyncio.Event()
        self._reporting = asyncio.Lock()  # a report that is on its way comes before the end of the job

    def request(self, kind: type[RequestT]) -> RequestT:
        """What was asked for, in the words of the job's kind."""
        return msgspec.msgpack.decode(self._request, type=kind)

    async def body(self) -> bytes:
        """The body that came with the request, byte for byte."""

        def read() -> tuple[bytes | None, str | None]:
            with self.lab.database.reading() as connection:
                inline = jobs.read_body(connection, self.job.number)
                found = None if inline is not None else jobs.find_manifests(connection, self.job.number).get("body")
                return inline, found

        inline, manifest = await in_thread(read)
        if inline is not None:
            return inline
        return b"" if manifest is None else await read_bytes(self.lab, manifest)

    async def manifests(self) -> dict[str, str]:
        """Digests of what the job holds in the store, by role."""

        def read() -> dict[str, str]:
            with self.lab.database.reading() as connection:
                return jobs.find_manifests(connection, self.job.number)

        return await in_thread(read)

    async def network(self) -> NetworkRef:
        """The job's network at its head, whatever it is called by now. Raises: NotFound when it was deleted."""
        head = await ask_heads(self.lab, lambda heads: heads.find_by_id(self.job.network_id or ""))
        if head is None:
            raise NotFound(f"The network {self.job.network!r} was deleted before the job was done.")
        return NetworkRef(head.network_id, head.revision, head.manifest, head.dtype, head.device)

    async def submit(
        self,
        task: Task,
        *,
        device: str | None = None,
        deadline_seconds: float | None = None,
        on_progress: Callable[[Progress], Awaitable[None]] | None = None,
    ) -> Reply:
        """Runs a task on a worker, in the lane of the job's kind (None: the setting's deadline for jobs).

        `on_progress` is awaited for one message of the task after the other, and for all of them before the reply is
        given; what it raises withdraws the task. Without it they are told as the job's progress.

        Raises: what the pool raises.
        """
        arrived: asyncio.Queue[Progress | None] = asyncio.Queue()
        reply = asyncio.ensure_future(
            self.lab.pool.submit(
                task,
                device=device,
                deadline_seconds=deadline_seconds or self.lab.settings.job_deadline_seconds,
                lane=lane_of(self.job.kind),
                on_progress=arrived.put_nowait,
            )
        )
        reply.add_done_callback(lambda _: arrived.put_nowait(None))
        try:
            while (message := await arrived.get()) is not None:
                await (on_progress or self._pass_on)(message)
            return await reply
        finally:
            reply.cancel()

    async def _pass_on(self, message: Progress) -> None:
        self.progress(message.fraction, **msgspec.json.decode(message.detail, type=dict[str, object]))

    def progress(self, fraction: float | None = None, **detail: object) -> None:
        """Tells how far the job has come: `fraction` from 0 to 1 where it is known, and JSON values in its own words.

        Cheap: of what is told in quick succession only the newest is written and sent to followers.
        """
        self._progress = {"fraction": fraction, **detail}
        self._news.set()

    async def checkpoint(
        self, write: Callable[[Connection], object], *, note: bytes, manifests: Mapping[str, str] | None = None
    ) -> None:
        """Keeps a part of the work for good: runs `write` in a transaction whose first statement is the fence.

        The next attempt finds `note`, which is like no note before it, in `resume`, and what `manifests`
        (role -> digest) put in place of earlier ones. While the database is away it is tried again, as long as the
        lease is ours: the work goes on meanwhile.

        Raises: LeaseLost, which the caller lets pass; what `write` raises, and then nothing is kept.
        """

        def keep(*, again: bool) -> None:
            with self.lab.database.transaction() as connection:
                if again and leases.find_checkpoint(connection, self._lease) == note:
                    return  # kept, though nobody could say so
                seconds = self.lab.settings.job_lease_seconds
                leases.checkpoint(connection, self._lease, note, manifests or {}, seconds)
                write(connection)

        again = False
        while True:
            try:
                await in_thread(partial(keep, again=again))
                break
            except LabError as error:
                if not is_passing(error):
                    raise
                logger.warning("a checkpoint of job %d is tried again: %s", self.job.number, error.detail)
            again = True
            await asyncio.sleep(self.lab.settings.job_poll_seconds)
        self.resume = note

    async def record(self, write: Callable[[Connection], None]) -> None:
        """Writes something that is shown while the job runs; the next attempt does not go on from it, and a database
        that is away or full loses it.

        Raises: LeaseLost, which the caller lets pass.
        """

        def keep() -> None:
            with self.lab.database.transaction() as connection:
                leases.hold(connection, self._lease)
                write(connection)

        with suppress(Unavailable, Busy, StorageFull):
            await in_thread(keep)

    async def keep(self, answer: Answer) -> Answer:
        """Puts a large body of the answer into the store ahead of the transaction that ends the job."""
        if len(answer.body) <= INLINE_BYTES:
            return answer
        manifest = await keep_bytes(self.lab, answer.body)
        return StoredAnswer(answer.status, answer.headers, b"", manifest)

    # --- for the runner ---

    async def report_progress(self) -> None:
        """Writes what is told, now and then, until it is cancelled or the lease is lost."""
        with suppress(LeaseLost):
            while True:
                await self._news.wait()
                await self.flush_progress()
                await asyncio.sleep(PROGRESS_SECONDS)

    async def flush_progress(self) -> None:
        """Writes what is not told yet. A database that is away loses one report. Raises: LeaseLost."""
        async with self._reporting:
            await self._write_progress()

    async def _write_progress(self) -> None:
        self._news.clear()
        progress, self._progress = self._progress, None
        if progress is None:
            return

        def report() -> None:
            with self.lab.database.transaction() as connection:
                leases.report(connection, self._lease, progress)
                wake_others(connection)

        with suppress(Unavailable, Busy, StorageFull):
            await in_thread(report)
            self.lab.bell.ring()

    async def finish(self, write: Write) -> None:
        """Ends the job with what `write` makes. Raises: LeaseLost; what `write` raises, and then nothing is kept."""

        def end() -> None:
            with self.lab.database.transaction() as connection:
                leases.finish(connection, self._lease)
                answer = write(connection)
                manifest = answer.manifest if isinstance(answer, StoredAnswer) else None
                leases.keep_result(
                    connection,
                    self.job.number,
                    status=answer.status,
                    headers=answer.headers,
                    body=None if manifest else answer.body,
                    manifest=manifest,
                )
                wake_others(connection)

        await in_thread(end)
        self.lab.bell.ring()


Attempt = Callable[[JobContext], Awaitable[Write]]
Kinds = Mapping[str, Attempt]


def lane_of(kind: str) -> Lane:
    """Where jobs of a kind run: a training may take days, and no other job waits behind it."""
    return "training" if kind == "train" else "jobs"


def is_death(error: LabError) -> bool:
    """True for what counts against a job as the death of a worker."""
    return isinstance(error, Unavailable) and error.code in ("worker-died", "device-failed")


def is_passing(error: LabError) -> bool:
    """True for what may well be over in a moment and says nothing of the job: a database or a worker that is away."""
    return isinstance(error, Unavailable | Busy) and not is_death(error)
