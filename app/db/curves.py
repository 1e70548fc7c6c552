"""Rows of `curves`: for each training job, how its loss went so far, in the words of training. They go with the job."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.db.tables import curves


def save(connection: sa.Connection, job: int, data: bytes) -> None:
    """Puts a curve in place of the one that was there."""
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = make(curves).values(job=job, data=data)
    connection.execute(statement.on_conflict_do_update(index_elements=[curves.c.job], set_={"data": data}))


def find(connection: sa.Connection, job: int) -> bytes | None:
    value = connection.execute(sa.select(curves.c.data).where(curves.c.job == job)).scalar_one_or_none()
    return None if value is None else bytes(value)
