"""Jobs as those who ask for them see them: accept, find, list, follow, cancel, fetch the result, delete.

A request that prefers to be answered later becomes a row in its own short transaction; `app.services.job_runner` of any
process on the database takes it from there. Knows no kind of job.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import msgspec

from app.db import job_events, jobs
from app.db.engine import Connection, Database
from app.db.job_events import EventRow
from app.db.jobs import ENDED, JobRow, NewJob
from app.db.wakeups import wake_others
from app.errors import Conflict, LabError, NotFound
from app.messages import Failure, NetworkRef, from_failure
from app.pool.base import absent_device
from app.services.idempotency import Answer, Retry, Write, answer_once
from app.services.job_bytes import INLINE_BYTES, keep_bytes
from app.services.lab import Lab, in_thread, require

EVENTS_AT_ONCE = 100
FORGOTTEN_AT_ONCE = 100  # each with its events: other writers wait no longer than that takes
LARGEST_NUMBER = 2**63 - 1


@dataclass(frozen=True)
class JobRequest:
    """Work that is to be done later. `request` is what the kind's attempt finds in its context."""

    kind: str
    request: msgspec.Struct
    network: NetworkRef
    name: str  # of the network
    priority: int
    body: bytes | None = None
    manifests: Mapping[str, str] = field(default_factory=dict)
    check: Callable[[Connection], None] = lambda _: None  # in the transaction that makes the job; may refuse it


@dataclass(frozen=True)
class JobFilter:
    """Which jobs are listed; None: any."""

    state: str | None = None
    kind: str | None = None
    network: str | None = None


@dataclass(frozen=True)
class JobResult:
    """The answer of a job that succeeded: its bytes, or the manifest that holds them."""

    status: int
    headers: list[list[str]]
    body: bytes | None
    manifest: str | None


async def accept_job(lab: Lab, asked: JobRequest, retry: Retry | None, render: Callable[[JobRow], Answer]) -> Answer:
    """Puts work into the queue; `render` writes the answer that is kept for a retry.

    Raises: Forbidden for a caller who may only read, as a job is something that is kept; Conflict `absent-device`; what
    a retry may raise.
    """
    require(lab, "write")
    if asked.network.device not in lab.pool.devices:
        raise absent_device(asked.network.device, lab.pool.devices)

    async def prepare() -> Write:
        body, manifests = asked.body, dict(asked.manifests)
        if body is not None and len(body) > INLINE_BYTES:
            manifests["body"] = await keep_bytes(lab, body)
            body = None
        new = NewJob(
            workspace=lab.workspace,
            kind=asked.kind,
            request=msgspec.msgpack.encode(asked.request),
            network_id=asked.network.network_id,
            network=asked.name,
            author=lab.caller.name,
            priority=asked.priority,
            body=body,
            manifests=manifests,
        )

        def write(connection: Connection) -> Answer:
            asked.check(connection)
            row = jobs.insert(connection, new)
            wake_others(connection)
            return render(row)

        return write

    answer = await answer_once(lab, retry, prepare)
    lab.bell.ring()
    return answer


async def find_job(lab: Lab, job_id: str) -> JobRow:
    """Raises: NotFound."""

    def read() -> JobRow | None:
        with lab.database.reading() as connection:
            return jobs.find(connection, lab.workspace, number)

    number = _number(job_id)
    row = await in_thread(read)
    if row is None:
        raise _no_job(job_id)
    return row


async def list_jobs(lab: Lab, wanted: JobFilter, *, before: int | None, limit: int) -> list[JobRow]:
    """Lists up to `limit` jobs, the newest first, those numbered below `before`."""

    def read() -> list[JobRow]:
        with lab.database.reading() as connection:
            return jobs.list_page(
                connection,
                lab.workspace,
                state=wanted.state,
                kind=wanted.kind,
                network=wanted.network,
                before=before,
                limit=limit,
            )

    return await in_thread(read)


async def cancel_job(lab: Lab, job_id: str) -> JobRow:
    """Ends a job that has not ended, and gives it as it is then. Raises: NotFound."""
    number = _number(job_id)

    def cancel() -> JobRow | None:
        with lab.database.transaction() as connection:
            row = jobs.cancel(connection, lab.workspace, number)
            wake_others(connection)
            return row or jobs.find(connection, lab.workspace, number)

    row = await in_thread(cancel)
    if row is None:
        raise _no_job(job_id)
    lab.bell.ring()
    return row


async def delete_job(lab: Lab, job_id: str) -> None:
    """Forgets a job that has ended, with its result. Raises: NotFound; Conflict `not-finished`."""
    row = await find_job(lab, job_id)

    def delete() -> bool:
        with lab.database.transaction() as connection:
            return jobs.delete(connection, lab.workspace, row.number)

    if not await in_thread(delete):
        raise _not_finished(await find_job(lab, job_id))


def forget_ended_jobs(database: Database, age: timedelta) -> int:
    """Forgets jobs that ended longer than `age` ago, with their results, a few at a time; returns how many.

    What only they referred to is left to the collector.
    """
    forgotten = 0
    while True:
        with database.transaction() as connection:
            gone = jobs.delete_older(connection, age, FORGOTTEN_AT_ONCE)
        forgotten += gone
        if gone < FORGOTTEN_AT_ONCE:
            return forgotten


async def find_result(lab: Lab, job_id: str) -> JobResult:
    """What the request would have been answered with in place.

    Raises: NotFound; Conflict `not-finished`, `cancelled`; the error that the job ended with.
    """
    row = await find_job(lab, job_id)
    if row.state == "cancelled":
        raise Conflict(f"Job {job_id} was cancelled, so it has no result.", code="cancelled")
    if row.state == "failed":
        raise failure_of(row)
    if row.state != "succeeded":
        raise _not_finished(row)

    def read() -> tuple[bytes | None, str | None]:
        with lab.database.reading() as connection:
            body = jobs.read_result(connection, row.number)
            return body, None if body is not None else jobs.find_manifests(connection, row.number).get("result")

    body, manifest = await in_thread(read)
    if body is None and manifest is None:
        raise _no_job(job_id)  # deleted a moment ago
    return JobResult(row.result_status or 200, row.result_headers or [], body, manifest)


async def follow_job(lab: Lab, row: JobRow, after: int, idle_seconds: float) -> AsyncIterator[EventRow | None]:
    """Yields the events of a job numbered above `after` as they come, up to the one that ends it.

    None says that nothing came for `idle_seconds`. Ends early when the service is told to stop.
    """
    last = time.monotonic()
    with lab.bell.listening() as ear:
        while True:
            events, ended = await in_thread(partial(_read_events, lab, row.number, after))
            for event in events:
                yield event
                after, last = event.number, time.monotonic()
            if len(events) == EVENTS_AT_ONCE:
                continue
            if ended or lab.stopping.is_set():
                return
            if time.monotonic() - last >= idle_seconds:
                yield None
                last = time.monotonic()
            await ear.wait(min(lab.settings.job_poll_seconds, idle_seconds))


def _read_events(lab: Lab, number: int, after: int) -> tuple[list[EventRow], bool]:
    """The next events, and whether the job has ended (or is gone) with the last of them."""
    with lab.database.reading() as connection:
        events = job_events.list_after(connection, number, after, EVENTS_AT_ONCE)
        state = jobs.find_state(connection, number)
        return events, state is None or state in ENDED


def failure_of(row: JobRow) -> LabError:
    """The error that a job ended with."""
    assert row.failure is not None, "a job that failed says why"
    return from_failure(msgspec.json.decode(row.failure, type=Failure))


def _number(job_id: str) -> int:
    """Raises: NotFound for what is no job's id."""
    if job_id.isascii() and job_id.isdecimal() and len(job_id) <= 19 and int(job_id) <= LARGEST_NUMBER:
        return int(job_id)
    raise _no_job(job_id)


def _no_job(job_id: str) -> NotFound:
    shown = job_id if len(job_id) <= 40 else job_id[:40] + "…"
    return NotFound(f"There is no job {shown!r}.")


def _not_finished(row: JobRow) -> Conflict:
    message = f"Job {row.number} is {row.state}. Follow its events, ask again later, or cancel it."
    return Conflict(message, code="not-finished", extra={"state": row.state})
