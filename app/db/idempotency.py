"""Rows of `idempotency`: the answer that was given to a request with an `Idempotency-Key`.

The row is written in the same transaction as what the request made, so either both are there or neither is. The
caller compares request digests and decides what a difference means.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.db.tables import idempotency


@dataclass(frozen=True)
class NewAnswer:
    """An answer that is to be kept under `key`."""

    workspace: str
    key: str
    request_digest: str  # of method, path and body
    status: int
    headers: list[list[str]]  # [[name, value], ...]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class AnswerRow(NewAnswer):
    """One answer as kept. The time is UTC, by the database's clock."""

    created_at: datetime


_ROW = [idempotency.c[name] for name in AnswerRow.__dataclass_fields__]


def insert(connection: sa.Connection, answer: NewAnswer) -> bool:
    """Keeps an answer; False if the key has one already (then the caller rolls back and gives that one).

    On PostgreSQL it waits for a transaction that is writing the same key.
    """
    values = {name: getattr(answer, name) for name in NewAnswer.__dataclass_fields__}
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = make(idempotency).values(**values).on_conflict_do_nothing().returning(idempotency.c.key)
    return connection.execute(statement).one_or_none() is not None


def find(connection: sa.Connection, workspace: str, key: str) -> AnswerRow | None:
    row = (
        connection.execute(sa.select(*_ROW).where(idempotency.c.workspace == workspace, idempotency.c.key == key))
        .mappings()
        .one_or_none()
    )
    return None if row is None else _row(row)


def delete_older(connection: sa.Connection, age: timedelta, now: datetime, *, limit: int) -> int:
    """Forgets up to `limit` answers older than `age`, counted back from `now`; returns how many."""
    key = sa.tuple_(idempotency.c.workspace, idempotency.c.key)
    old = sa.select(idempotency.c.workspace, idempotency.c.key).where(idempotency.c.created_at < now - age).limit(limit)
    return connection.execute(sa.delete(idempotency).where(key.in_(old))).rowcount


def _row(row: sa.RowMapping) -> AnswerRow:
    return AnswerRow(**row)
