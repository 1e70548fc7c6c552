"""Rows of `keys`: who may use the service, as what, and in which workspace.

A key's secret is never kept, only its SHA-256. Rows are added, and marked once when a key is revoked; none is changed
otherwise and none is ever deleted, so how many there are and how many are revoked tells every state of the table
apart (`count`). Called by `app.services.keys` and `app.services.access`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args

import sqlalchemy as sa

from app.db.clock import read_clock
from app.db.columns import database_time
from app.db.tables import keys

Role = Literal["read", "write", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)  # each may do what those before it may


@dataclass(frozen=True)
class NewKey:
    """What the caller decides about a key. `digest` is the SHA-256 of its secret, 32 bytes."""

    id: str
    digest: bytes
    workspace: str
    role: Role
    name: str | None = None
    requests_per_second: float | None = None  # None: the setting's
    body_bytes: int | None = None  # None: the setting's


@dataclass(frozen=True, kw_only=True)
class KeyRow(NewKey):
    """One key as stored. Times are UTC, by the database's clock."""

    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


_ROW = [keys.c[name] for name in KeyRow.__dataclass_fields__]


def insert(connection: sa.Connection, key: NewKey, lifetime: timedelta | None) -> KeyRow:
    """Adds a key that holds for `lifetime` from now on (None: until it is revoked)."""
    values = {name: getattr(key, name) for name in NewKey.__dataclass_fields__}
    expires_at = None if lifetime is None else read_clock(connection) + lifetime
    statement = sa.insert(keys).values(**values, expires_at=expires_at).returning(*_ROW)
    return KeyRow(**connection.execute(statement).mappings().one())


def list_all(connection: sa.Connection) -> list[KeyRow]:
    """Every key that was ever made, oldest first."""
    rows = connection.execute(sa.select(*_ROW).order_by(keys.c.created_at, keys.c.id)).mappings()
    return [KeyRow(**row) for row in rows]


def revoke(connection: sa.Connection, key_id: str) -> KeyRow | None:
    """Ends a key, if it has not ended before; None if there is no such key."""
    statement = sa.update(keys).where(keys.c.id == key_id, keys.c.revoked_at.is_(None))
    connection.execute(statement.values(revoked_at=database_time()))
    row = connection.execute(sa.select(*_ROW).where(keys.c.id == key_id)).mappings().one_or_none()
    return None if row is None else KeyRow(**row)


def lock(connection: sa.Connection) -> None:
    """Keeps others from making keys until this transaction ends; on SQLite every transaction does."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("LOCK TABLE keys IN SHARE ROW EXCLUSIVE MODE"))


def count(connection: sa.Connection) -> tuple[int, int]:
    """How many keys were ever made, and how many of them are revoked."""
    made, revoked = connection.execute(sa.select(sa.func.count(), sa.func.count(keys.c.revoked_at))).one()
    return made, revoked
