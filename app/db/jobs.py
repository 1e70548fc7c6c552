"""Rows of `jobs` as those who ask for work see them: enqueue, look, list, cancel, delete.

A job goes from `queued` to `running` and ends `succeeded`, `failed` or `cancelled`; what moves it between is in
`app.db.leases`. Every change of its state is an event of `app.db.job_events`, written in the same transaction. What it
needs of the store (a large body or result, a checkpoint) is named in `job_manifests`, which keeps the collector off.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import sqlalchemy as sa

from app.db import job_events
from app.db.clock import read_clock
from app.db.columns import database_time
from app.db.tables import job_manifests, jobs

State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
ENDED: tuple[State, ...] = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class NewJob:
    """What the caller decides about a job."""

    workspace: str
    kind: str
    request: bytes  # in the words of its kind
    network_id: str | None = None
    network: str | None = None  # its name
    author: str | None = None
    priority: int = 3  # 0 is most urgent
    body: bytes | None = None  # of the request, where it is small; else the manifest "body"
    manifests: Mapping[str, str] = field(default_factory=dict)  # role -> digest


@dataclass(frozen=True)
class JobRow:
    """One job without its bytes. Times are UTC, by the database's clock."""

    number: int
    workspace: str
    kind: str
    network_id: str | None
    network: str | None
    author: str | None
    priority: int
    state: State
    attempts: int  # how often it began to run; one that was given back unharmed does not count
    deaths: int  # of workers and services it ran on, since its last checkpoint
    progress: dict[str, object] | None
    last_event: int
    result_status: int | None
    result_headers: list[list[str]] | None
    failure: bytes | None  # JSON
    created_at: datetime
    started_at: datetime | None  # the newest attempt
    finished_at: datetime | None


ROW = [jobs.c[name] for name in JobRow.__dataclass_fields__]


def insert(connection: sa.Connection, job: NewJob) -> JobRow:
    """Puts a job into the queue. Its manifests must be in the store."""
    values = {name: getattr(job, name) for name in NewJob.__dataclass_fields__ if name != "manifests"}
    statement = (
        sa.insert(jobs)
        .values(**values, state="queued", attempts=0, deaths=0, not_before=database_time(), last_event=1)
        .returning(*ROW)
    )
    row = row_of(connection.execute(statement).mappings().one())
    keep_manifests(connection, row.number, job.manifests)
    job_events.insert(connection, row.number, 1, "state", {"state": "queued"})
    return row


def find(connection: sa.Connection, workspace: str, number: int) -> JobRow | None:
    statement = sa.select(*ROW).where(jobs.c.workspace == workspace, jobs.c.number == number)
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else row_of(row)


def list_page(
    connection: sa.Connection,
    workspace: str,
    *,
    state: str | None = None,
    kind: str | None = None,
    network: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[JobRow]:
    """Up to `limit` jobs, the newest first, those numbered below `before`. A page costs the same at any depth."""
    statement = sa.select(*ROW).where(jobs.c.workspace == workspace).order_by(jobs.c.number.desc()).limit(limit)
    for column, wanted in ((jobs.c.state, state), (jobs.c.kind, kind), (jobs.c.network, network)):
        if wanted is not None:
            statement = statement.where(column == wanted)
    if before is not None:
        statement = statement.where(jobs.c.number < before)
    return [row_of(row) for row in connection.execute(statement).mappings()]


def find_state(connection: sa.Connection, number: int) -> State | None:
    return connection.execute(sa.select(jobs.c.state).where(jobs.c.number == number)).scalar_one_or_none()


def find_unfinished(connection: sa.Connection, network_id: str, kind: str) -> int | None:
    """The number of a job of that kind that waits or runs on a network; None if there is none."""
    statement = sa.select(jobs.c.number).where(
        jobs.c.network_id == network_id, jobs.c.kind == kind, jobs.c.state.in_(("queued", "running"))
    )
    return connection.execute(statement.order_by(jobs.c.number).limit(1)).scalar_one_or_none()


def find_newest(connection: sa.Connection, network_id: str, kind: str) -> JobRow | None:
    """The newest job of that kind on a network, whatever became of it."""
    statement = sa.select(*ROW).where(jobs.c.network_id == network_id, jobs.c.kind == kind)
    row = connection.execute(statement.order_by(jobs.c.number.desc()).limit(1)).mappings().one_or_none()
    return None if row is None else row_of(row)


def find_begun(connection: sa.Connection, network_id: str, kind: str) -> int | None:
    """The number of a job of that kind that runs on a network, or waits to go on from a checkpoint."""
    begun = sa.or_(jobs.c.state == "running", sa.and_(jobs.c.state == "queued", jobs.c.checkpoint.is_not(None)))
    statement = sa.select(jobs.c.number).where(jobs.c.network_id == network_id, jobs.c.kind == kind, begun)
    return connection.execute(statement.limit(1)).scalar_one_or_none()


def drop_manifests(connection: sa.Connection, number: int, roles: Collection[str]) -> None:
    """Lets the collector have what the job held in these roles."""
    connection.execute(sa.delete(job_manifests).where(job_manifests.c.job == number, job_manifests.c.role.in_(roles)))


def read_body(connection: sa.Connection, number: int) -> bytes | None:
    """The request's body where it is kept in the row."""
    value = connection.execute(sa.select(jobs.c.body).where(jobs.c.number == number)).scalar_one_or_none()
    return None if value is None else bytes(value)


def read_result(connection: sa.Connection, number: int) -> bytes | None:
    """The result's bytes where they are kept in the row."""
    value = connection.execute(sa.select(jobs.c.result).where(jobs.c.number == number)).scalar_one_or_none()
    return None if value is None else bytes(value)


def find_manifests(connection: sa.Connection, number: int) -> dict[str, str]:
    """Digests of the manifests that a job needs, by role."""
    rows = connection.execute(
        sa.select(job_manifests.c.role, job_manifests.c.manifest).where(job_manifests.c.job == number)
    )
    return {row.role: row.manifest for row in rows}


def keep_manifests(connection: sa.Connection, number: int, manifests: Mapping[str, str]) -> None:
    """Puts manifests in place of those that the job had in the same roles."""
    if manifests:
        roles = list(manifests)
        connection.execute(
            sa.delete(job_manifests).where(job_manifests.c.job == number, job_manifests.c.role.in_(roles))
        )
        connection.execute(
            sa.insert(job_manifests),
            [{"job": number, "role": role, "manifest": digest} for role, digest in manifests.items()],
        )


def cancel(connection: sa.Connection, workspace: str, number: int) -> JobRow | None:
    """Ends a job that has not ended: whoever runs it finds its lease gone. None: there is none, or it has ended."""
    statement = (
        sa.update(jobs)
        .where(jobs.c.workspace == workspace, jobs.c.number == number, jobs.c.state.in_(("queued", "running")))
        .values(
            state="cancelled",
            lease_token=None,
            lease_until=None,
            finished_at=database_time(),
            last_event=jobs.c.last_event + 1,
        )
        .returning(*ROW)
    )
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        return None
    job_events.insert(connection, row["number"], row["last_event"], "state", {"state": "cancelled"})
    return row_of(row)


def delete(connection: sa.Connection, workspace: str, number: int) -> bool:
    """Deletes a job that has ended, with its events; False if there is none. What it kept is left to the collector."""
    statement = (
        sa.delete(jobs)
        .where(jobs.c.workspace == workspace, jobs.c.number == number, jobs.c.state.in_(ENDED))
        .returning(jobs.c.number)
    )
    return connection.execute(statement).one_or_none() is not None


def delete_older(connection: sa.Connection, age: timedelta, limit: int = 100) -> int:
    """Deletes up to `limit` jobs that ended longer than `age` ago, by the database's clock; returns how many."""
    oldest = read_clock(connection) - age
    numbers = sa.select(jobs.c.number).where(jobs.c.finished_at < oldest).limit(limit)
    return connection.execute(sa.delete(jobs).where(jobs.c.number.in_(numbers))).rowcount


def row_of(row: sa.RowMapping) -> JobRow:
    values = {name: row[name] for name in JobRow.__dataclass_fields__}
    if values["failure"] is not None:
        values["failure"] = bytes(values["failure"])
    return JobRow(**values)
