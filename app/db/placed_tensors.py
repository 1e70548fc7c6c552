"""Rows of `placed_tensors`: tensors that live on a device under a name of their own.

What a tensor holds is a manifest of the store with one entry, `tensor`, so that it survives its device's worker. A
tensor never changes; deleting it leaves what it held to the collector.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.db.clock import read_clock
from app.db.tables import networks, placed_tensors
from app.errors import Conflict

IDS_AT_ONCE = 500  # in one statement


@dataclass(frozen=True)
class NewPlacedTensor:
    """What the caller decides about a tensor."""

    id: str  # a UUID as text
    workspace: str
    name: str
    manifest: str  # digest
    device: str
    dtype: str
    shape: list[int]
    byte_count: int


@dataclass(frozen=True, kw_only=True)
class PlacedTensorRow(NewPlacedTensor):
    """One tensor as stored. The time is UTC, by the database's clock."""

    created_at: datetime


_ROW = [placed_tensors.c[name] for name in PlacedTensorRow.__dataclass_fields__]


def insert(connection: sa.Connection, tensor: NewPlacedTensor) -> PlacedTensorRow:
    """Adds a tensor. The manifest must be in the store. Raises Conflict (`name-taken`)."""
    values = {name: getattr(tensor, name) for name in NewPlacedTensor.__dataclass_fields__}
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = (
        make(placed_tensors)
        .values(**values, created_at=read_clock(connection))
        .on_conflict_do_nothing(index_elements=[placed_tensors.c.workspace, placed_tensors.c.name])
        .returning(*_ROW)
    )
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        raise name_taken(tensor.name)
    return _row(row)


def find(connection: sa.Connection, workspace: str, name: str) -> PlacedTensorRow | None:
    row = connection.execute(sa.select(*_ROW).where(_is(workspace, name))).mappings().one_or_none()
    return None if row is None else _row(row)


def find_beside(connection: sa.Connection, network_id: str, name: str) -> PlacedTensorRow | None:
    """Finds a tensor in the workspace of a network: a worker knows only the latter."""
    statement = (
        sa.select(*_ROW)
        .join(networks, networks.c.workspace == placed_tensors.c.workspace)
        .where(networks.c.id == network_id, placed_tensors.c.name == name)
    )
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else _row(row)


def list_page(
    connection: sa.Connection, workspace: str, *, after: str | None = None, limit: int = 100
) -> list[PlacedTensorRow]:
    """Up to `limit` tensors in the order of their names (by code point), those after the name `after`."""
    statement = (
        sa.select(*_ROW).where(placed_tensors.c.workspace == workspace).order_by(placed_tensors.c.name).limit(limit)
    )
    if after is not None:
        statement = statement.where(placed_tensors.c.name > after)
    return [_row(row) for row in connection.execute(statement).mappings()]


def delete(connection: sa.Connection, workspace: str, name: str) -> PlacedTensorRow | None:
    """Deletes a tensor and tells what it was; None if there is no such tensor."""
    statement = sa.delete(placed_tensors).where(_is(workspace, name)).returning(*_ROW)
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else _row(row)


def placed_bytes(connection: sa.Connection) -> dict[str, int]:
    """The bytes of tensors on each device, in all workspaces."""
    total = sa.func.sum(placed_tensors.c.byte_count)
    rows = connection.execute(sa.select(placed_tensors.c.device, total).group_by(placed_tensors.c.device))
    return {device: int(byte_count) for device, byte_count in rows}


def names_of(connection: sa.Connection, workspace: str, ids: Sequence[str]) -> dict[str, str]:
    """The names of those of `ids` that are in the workspace, by id."""
    names = {}
    for start in range(0, len(ids), IDS_AT_ONCE):
        wanted = placed_tensors.c.id.in_(ids[start : start + IDS_AT_ONCE])
        statement = sa.select(placed_tensors.c.id, placed_tensors.c.name)
        rows = connection.execute(statement.where(placed_tensors.c.workspace == workspace, wanted))
        names.update({row.id: row.name for row in rows})
    return names


def name_taken(name: str) -> Conflict:
    return Conflict(f"A tensor called '{name}' exists already; choose another name.", code="name-taken")


def _is(workspace: str, name: str) -> sa.ColumnElement[bool]:
    return sa.and_(placed_tensors.c.workspace == workspace, placed_tensors.c.name == name)


def _row(row: sa.RowMapping) -> PlacedTensorRow:
    return PlacedTensorRow(**row)
