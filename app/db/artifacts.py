"""Rows of `artifacts`: tensors that somebody saved under a name, as one tensor, a list or a dict.

The tensors are a manifest of the store: one tensor is called `tensor` there, those of a list `0`, `1` and so on, those
of a dict by their keys. Saving again under a name replaces the row; what the old manifest held is left to the
collector.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.db.clock import read_clock
from app.db.tables import artifacts, networks

Kind = Literal["tensor", "list", "dict"]


@dataclass(frozen=True)
class NewArtifact:
    """What the caller decides about an artifact."""

    workspace: str
    name: str
    kind: Kind
    manifest: str  # digest
    tensor_count: int
    byte_count: int


@dataclass(frozen=True, kw_only=True)
class ArtifactRow(NewArtifact):
    """One artifact as stored. Times are UTC, by the database's clock."""

    created_at: datetime
    updated_at: datetime


_ROW = [artifacts.c[name] for name in ArtifactRow.__dataclass_fields__]


def save(connection: sa.Connection, artifact: NewArtifact) -> ArtifactRow:
    """Adds an artifact, or puts it in place of the one of that name. The manifest must be in the store."""
    now = read_clock(connection)  # once: the two times of a row are equal until it is changed
    values = {name: getattr(artifact, name) for name in NewArtifact.__dataclass_fields__}
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    changed = {name: value for name, value in values.items() if name not in ("workspace", "name")}
    statement = (
        make(artifacts)
        .values(**values, created_at=now, updated_at=now)
        .on_conflict_do_update(
            index_elements=[artifacts.c.workspace, artifacts.c.name],
            set_={**changed, "updated_at": now},
        )
        .returning(*_ROW)
    )
    return _row(connection.execute(statement).mappings().one())


def find(connection: sa.Connection, workspace: str, name: str, *, lock: bool = False) -> ArtifactRow | None:
    """Finds an artifact; with `lock` nobody else changes it before this transaction ends."""
    statement = sa.select(*_ROW).where(_is(workspace, name))
    row = connection.execute(statement.with_for_update() if lock else statement).mappings().one_or_none()
    return None if row is None else _row(row)


def find_beside(connection: sa.Connection, network_id: str, name: str) -> ArtifactRow | None:
    """Finds an artifact in the workspace of a network: a worker knows only the latter."""
    statement = (
        sa.select(*_ROW)
        .join(networks, networks.c.workspace == artifacts.c.workspace)
        .where(networks.c.id == network_id, artifacts.c.name == name)
    )
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else _row(row)


def list_page(
    connection: sa.Connection, workspace: str, *, after: str | None = None, limit: int = 100
) -> list[ArtifactRow]:
    """Up to `limit` artifacts in the order of their names (by code point), those after the name `after`."""
    statement = sa.select(*_ROW).where(artifacts.c.workspace == workspace).order_by(artifacts.c.name).limit(limit)
    if after is not None:
        statement = statement.where(artifacts.c.name > after)
    return [_row(row) for row in connection.execute(statement).mappings()]


def delete(connection: sa.Connection, workspace: str, name: str) -> bool:
    """Deletes an artifact; False if there is no such artifact."""
    result = connection.execute(sa.delete(artifacts).where(_is(workspace, name)).returning(artifacts.c.name))
    return result.one_or_none() is not None


def _is(workspace: str, name: str) -> sa.ColumnElement[bool]:
    return sa.and_(artifacts.c.workspace == workspace, artifacts.c.name == name)


def _row(row: sa.RowMapping) -> ArtifactRow:
    return ArtifactRow(**row)
