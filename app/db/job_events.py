"""Rows of `job_events`: what became of a job, in the order it did, for those who follow it.

The number of an event is what a client resumes by. Changes of state stay as long as the job; of reports on progress
only the newest ones do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import sqlalchemy as sa

from app.db.columns import database_time
from app.db.tables import job_events

EventType = Literal["state", "progress"]

PROGRESS_KEPT = 1_000  # of one job
_PRUNE_EVERY = 100


@dataclass(frozen=True)
class EventRow:
    """One event. The time is UTC, by the database's clock."""

    number: int
    type: EventType
    data: dict[str, object]
    created_at: datetime


_ROW = [job_events.c[name] for name in EventRow.__dataclass_fields__]


def insert(connection: sa.Connection, job: int, number: int, event_type: EventType, data: Mapping[str, object]) -> None:
    """Adds an event; the caller has counted `jobs.last_event` up to `number` in the same transaction."""
    connection.execute(
        sa.insert(job_events).values(job=job, number=number, type=event_type, data=data, created_at=database_time())
    )
    if event_type == "progress" and number % _PRUNE_EVERY == 0:
        connection.execute(
            sa.delete(job_events).where(
                job_events.c.job == job,
                job_events.c.type == "progress",
                job_events.c.number <= number - PROGRESS_KEPT,
            )
        )


def list_after(connection: sa.Connection, job: int, after: int, limit: int = 100) -> list[EventRow]:
    """Up to `limit` events of a job, in order, those numbered above `after`."""
    statement = (
        sa.select(*_ROW)
        .where(job_events.c.job == job, job_events.c.number > after)
        .order_by(job_events.c.number)
        .limit(limit)
    )
    return [EventRow(**row) for row in connection.execute(statement).mappings()]
