"""Who runs a job: claims, heartbeats, fences, and what becomes of jobs whose runner died.

A claim gives a random token, and every later statement of that attempt names it: `WHERE number = ... AND state =
'running' AND lease_token = ...`. Whoever has lost the lease changes no row, learns it from that, and rolls back; so an
attempt that was given up for dead can do nothing more. Only the database's clock counts. Called by the services that
run jobs.
"""

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from app.db import job_events
from app.db.columns import database_time, database_time_after
from app.db.jobs import ROW, JobRow, keep_manifests, row_of
from app.db.tables import jobs, networks

DEATHS_PER_JOB = 2  # of workers or services, without a checkpoint between them


@dataclass(frozen=True)
class Lease:
    """The right to run one attempt of a job."""

    number: int
    token: str


@dataclass(frozen=True)
class Claimed:
    """A job that is the caller's to run until the lease ends, unless a heartbeat moves that end."""

    job: JobRow
    lease: Lease
    device: str | None  # of its network
    request: bytes
    checkpoint: bytes | None  # what an earlier attempt left to go on from


@dataclass(frozen=True)
class Reaped:
    """A job whose runner is gone."""

    number: int
    state: str  # "queued" again, or "failed"


class LeaseLost(Exception):
    """The job was cancelled, reaped or deleted: nothing of this attempt may be kept."""


def claim(
    connection: sa.Connection, *, kinds: Collection[str], lease_seconds: float, busy_devices: Collection[str] = ()
) -> Claimed | None:
    """Takes the most urgent job that waits, the oldest among equals; None if there is none.

    Jobs whose network is on one of `busy_devices` are passed over.
    """
    candidate = (
        sa.select(jobs.c.number)
        .outerjoin(networks, networks.c.id == jobs.c.network_id)
        .where(
            jobs.c.state == "queued",
            jobs.c.kind.in_(kinds),
            jobs.c.not_before <= database_time(),
            sa.or_(networks.c.device.is_(None), networks.c.device.not_in(busy_devices)),
        )
        .order_by(jobs.c.priority, jobs.c.number)
        .limit(1)
        .with_for_update(of=jobs, skip_locked=True)
    )
    token = secrets.token_hex(16)
    device = sa.select(networks.c.device).where(networks.c.id == jobs.c.network_id).scalar_subquery()
    statement = (
        sa.update(jobs)
        .where(jobs.c.number == candidate.scalar_subquery())
        .values(
            state="running",
            attempts=jobs.c.attempts + 1,
            lease_token=token,
            lease_until=database_time_after(lease_seconds),
            started_at=database_time(),
            last_event=jobs.c.last_event + 1,
        )
        .returning(*ROW, jobs.c.request, jobs.c.checkpoint, device.label("device"))
    )
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        return None
    job = row_of(row)
    _tell(connection, job, {"state": "running", "attempts": job.attempts})
    checkpoint = None if row["checkpoint"] is None else bytes(row["checkpoint"])
    return Claimed(job, Lease(job.number, token), row["device"], bytes(row["request"]), checkpoint)


def heartbeat(connection: sa.Connection, tokens: Sequence[str], lease_seconds: float) -> set[str]:
    """Moves the end of leases; returns those that are still held. One that ran out but was not reaped is held."""
    statement = (
        sa.update(jobs)
        .where(jobs.c.state == "running", jobs.c.lease_token.in_(tokens))
        .values(lease_until=database_time_after(lease_seconds))
        .returning(jobs.c.lease_token)
    )
    return set(connection.execute(statement).scalars())


def held(connection: sa.Connection, tokens: Sequence[str]) -> set[str]:
    """Those of the leases that are still held."""
    statement = sa.select(jobs.c.lease_token).where(jobs.c.state == "running", jobs.c.lease_token.in_(tokens))
    return set(connection.execute(statement).scalars())


def finish(connection: sa.Connection, lease: Lease) -> JobRow:
    """Ends a job well. The first statement of the transaction that makes its result. Raises: LeaseLost."""
    return _end(connection, lease, {"state": "succeeded"}, {"state": "succeeded"})


def keep_result(
    connection: sa.Connection,
    number: int,
    *,
    status: int,
    headers: list[list[str]],
    body: bytes | None,
    manifest: str | None,
) -> None:
    """Keeps the answer of a job that `finish` ended in this transaction: its bytes, or the manifest that has them."""
    connection.execute(
        sa.update(jobs).where(jobs.c.number == number).values(result_status=status, result_headers=headers, result=body)
    )
    if manifest is not None:
        keep_manifests(connection, number, {"result": manifest})


def fail(connection: sa.Connection, lease: Lease, failure: bytes, event: Mapping[str, object]) -> JobRow:
    """Ends a job with an error; `event` is what followers are told of it. Raises: LeaseLost."""
    return _end(connection, lease, {"state": "failed", "failure": failure}, {"state": "failed", **event})


def report(connection: sa.Connection, lease: Lease, progress: Mapping[str, object]) -> None:
    """Tells how far a job has come. Raises: LeaseLost."""
    row = _fenced(connection, lease, {"progress": progress, "last_event": jobs.c.last_event + 1})
    job_events.insert(connection, row.number, row.last_event, "progress", progress)


def checkpoint(
    connection: sa.Connection, lease: Lease, note: bytes, manifests: Mapping[str, str], lease_seconds: float
) -> None:
    """Keeps where the next attempt goes on. First in the transaction of what was done so far. Raises: LeaseLost.

    What died before has not died in vain, so deaths are counted anew.
    """
    row = _fenced(
        connection,
        lease,
        {"checkpoint": note, "deaths": 0, "lease_until": database_time_after(lease_seconds)},
    )
    keep_manifests(connection, row.number, manifests)


def find_checkpoint(connection: sa.Connection, lease: Lease) -> bytes | None:
    """The note of the newest checkpoint, whoever has the job by now."""
    note = connection.execute(sa.select(jobs.c.checkpoint).where(jobs.c.number == lease.number)).scalar_one_or_none()
    return None if note is None else bytes(note)


def hold(connection: sa.Connection, lease: Lease) -> None:
    """Makes sure that this attempt still has the job, until the transaction ends. Raises: LeaseLost."""
    _fenced(connection, lease, {"lease_token": lease.token})


def give_back(connection: sa.Connection, lease: Lease, *, reason: str, delay_seconds: float = 0.0) -> JobRow:
    """Puts a job back into the queue as if this attempt had not been. Raises: LeaseLost."""
    row = _fenced(
        connection,
        lease,
        {
            "state": "queued",
            "attempts": jobs.c.attempts - 1,
            "lease_token": None,
            "lease_until": None,
            "not_before": database_time_after(delay_seconds),
            "last_event": jobs.c.last_event + 1,
        },
    )
    _tell(connection, row, {"state": "queued", "reason": reason})
    return row


def bury(connection: sa.Connection, lease: Lease, *, reason: str, failure: bytes) -> JobRow:
    """Tells that a worker died on a job: it is tried again, or ends with `failure` if that was one too many.

    Raises: LeaseLost.
    """
    row = _fenced(connection, lease, _after_death(failure))
    _tell(connection, row, {"state": row.state, "reason": reason})
    return row


def reap(connection: sa.Connection, *, reason: str, failure: bytes) -> list[Reaped]:
    """The same for all jobs whose runner did not renew its lease: in one statement, so that no two do it twice."""
    statement = (
        sa.update(jobs)
        .where(jobs.c.state == "running", jobs.c.lease_until < database_time())
        .values(**_after_death(failure))
        .returning(*ROW)
    )
    found = [row_of(row) for row in connection.execute(statement).mappings()]
    for job in found:
        _tell(connection, job, {"state": job.state, "reason": reason})
    return [Reaped(job.number, job.state) for job in found]


def _after_death(failure: bytes) -> dict[str, Any]:
    """What one more death makes of a running job."""
    last = jobs.c.deaths + 1 >= DEATHS_PER_JOB
    return {
        "state": sa.case((last, "failed"), else_="queued"),
        "deaths": jobs.c.deaths + 1,
        "failure": sa.case((last, sa.literal(failure, sa.LargeBinary)), else_=sa.null()),
        "finished_at": sa.case((last, database_time()), else_=sa.null()),
        "lease_token": None,
        "lease_until": None,
        "last_event": jobs.c.last_event + 1,
    }


def _end(connection: sa.Connection, lease: Lease, values: dict[str, Any], event: Mapping[str, object]) -> JobRow:
    row = _fenced(
        connection,
        lease,
        {
            **values,
            "lease_token": None,
            "lease_until": None,
            "finished_at": database_time(),
            "last_event": jobs.c.last_event + 1,
        },
    )
    _tell(connection, row, event)
    return row


def _fenced(connection: sa.Connection, lease: Lease, values: dict[str, Any]) -> JobRow:
    """Changes the job only if this attempt still has it."""
    statement = (
        sa.update(jobs)
        .where(jobs.c.number == lease.number, jobs.c.state == "running", jobs.c.lease_token == lease.token)
        .values(**values)
        .returning(*ROW)
    )
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        raise LeaseLost
    return row_of(row)


def _tell(connection: sa.Connection, job: JobRow, data: Mapping[str, object]) -> None:
    job_events.insert(connection, job.number, job.last_event, "state", data)
