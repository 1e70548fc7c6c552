"""Rows of `networks`: what a network is called, what it was made from, and which revision is its head.

Every function takes a connection of `Database.transaction()` or `reading()` and commits nothing. A workspace's
names are seen only with that workspace in hand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.db.clock import read_clock
from app.db.columns import database_time
from app.db.tables import networks
from app.errors import Conflict

IDS_AT_ONCE = 500  # in one statement


@dataclass(frozen=True)
class NewNetwork:
    """What the caller decides about a network that is to be made."""

    id: str  # a UUID as text
    workspace: str
    name: str
    original: bytes  # JSON of the architecture, as sent
    resolved: bytes  # JSON of the architecture that needs no library
    dtype: str
    device: str
    seed: int | None
    labels: Mapping[str, str]
    inputs: list[str]
    parameter_count: int
    parameter_bytes: int
    head_revision: int = 1
    layout: bytes | None = None  # JSON of its modules, names and ties; None for networks of the first format
    keep_last: int | None = None  # how many revisions are kept, None: all
    batch_size: int | None = None  # requests that may share a run, None: each runs alone
    batch_wait_ms: float | None = None  # how long the first of them waits for others


@dataclass(frozen=True, kw_only=True)
class NetworkRow(NewNetwork):
    """One network as stored. Times are UTC, by the database's clock."""

    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class NetworkSummary:
    """One line of a list of networks: all of a row but its architecture, which may be megabytes."""

    id: str
    workspace: str
    name: str
    dtype: str
    device: str
    seed: int | None
    labels: Mapping[str, str]
    inputs: list[str]
    parameter_count: int
    parameter_bytes: int
    head_revision: int
    keep_last: int | None
    batch_size: int | None
    batch_wait_ms: float | None
    created_at: datetime
    updated_at: datetime


_ROW = [networks.c[field] for field in NetworkRow.__dataclass_fields__]
_SUMMARY = [networks.c[field] for field in NetworkSummary.__dataclass_fields__]


def insert(connection: sa.Connection, network: NewNetwork) -> NetworkRow:
    """Adds a network; its first revision is the caller's next statement. Raises Conflict (`name-taken`)."""
    now = read_clock(connection)  # once: the two times of a row are equal until it is changed
    values = {field: getattr(network, field) for field in NewNetwork.__dataclass_fields__}
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = (
        make(networks)
        .values(**values, created_at=now, updated_at=now)
        .on_conflict_do_nothing(index_elements=[networks.c.workspace, networks.c.name])
        .returning(*_ROW)
    )
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        raise name_taken(network.name)
    return _row(row)


def find(connection: sa.Connection, workspace: str, name: str, *, lock: bool = False) -> NetworkRow | None:
    """Finds a network; with `lock` nobody else changes it before this transaction ends."""
    statement = sa.select(*_ROW).where(networks.c.workspace == workspace, networks.c.name == name)
    row = connection.execute(statement.with_for_update() if lock else statement).mappings().one_or_none()
    return None if row is None else _row(row)


def find_by_id(connection: sa.Connection, network_id: str, *, lock: bool = False) -> NetworkRow | None:
    """Finds a network whatever it is called; with `lock` nobody else changes it before this transaction ends."""
    statement = sa.select(*_ROW).where(networks.c.id == network_id)
    row = connection.execute(statement.with_for_update() if lock else statement).mappings().one_or_none()
    return None if row is None else _row(row)


def find_resolved(connection: sa.Connection, network_id: str) -> bytes | None:
    """The resolved architecture alone: JSON. It never changes while the network lives."""
    value = connection.execute(sa.select(networks.c.resolved).where(networks.c.id == network_id)).scalar_one_or_none()
    return None if value is None else bytes(value)


def find_layout(connection: sa.Connection, network_id: str) -> tuple[bytes | None, bytes] | None:
    """The layout (None for a network of the first format) and the resolved architecture; they never change."""
    row = connection.execute(
        sa.select(networks.c.layout, networks.c.resolved).where(networks.c.id == network_id)
    ).one_or_none()
    return None if row is None else (None if row[0] is None else bytes(row[0]), bytes(row[1]))


def placed_bytes(connection: sa.Connection) -> dict[str, int]:
    """The bytes of parameters on each device, in all workspaces."""
    total = sa.func.sum(networks.c.parameter_bytes)
    rows = connection.execute(sa.select(networks.c.device, total).group_by(networks.c.device))
    return {device: int(byte_count) for device, byte_count in rows}


def names_of(connection: sa.Connection, workspace: str, ids: Sequence[str]) -> dict[str, str]:
    """The names of those of `ids` that are in the workspace, by id."""
    names = {}
    for start in range(0, len(ids), IDS_AT_ONCE):
        wanted = networks.c.id.in_(ids[start : start + IDS_AT_ONCE])
        statement = sa.select(networks.c.id, networks.c.name).where(networks.c.workspace == workspace, wanted)
        names.update({row.id: row.name for row in connection.execute(statement)})
    return names


def list_page(
    connection: sa.Connection, workspace: str, *, after: str | None = None, limit: int = 100
) -> list[NetworkSummary]:
    """Up to `limit` networks in the order of their names (by code point), those after the name `after`.

    The cost does not grow with the page's depth. A next page starts after the last name of this one.
    """
    statement = sa.select(*_SUMMARY).where(networks.c.workspace == workspace).order_by(networks.c.name).limit(limit)
    if after is not None:
        statement = statement.where(networks.c.name > after)
    return [NetworkSummary(**row) for row in connection.execute(statement).mappings()]


def update(connection: sa.Connection, workspace: str, name: str, /, **changes: Any) -> NetworkRow | None:
    """Changes columns (`name`, `labels`, `device`, ...) of one network; None if there is no such network.

    Raises Conflict (`name-taken`) for a name that another network has; the transaction is lost then.
    """
    statement = (
        sa.update(networks)
        .where(networks.c.workspace == workspace, networks.c.name == name)
        .values(**changes, updated_at=database_time())
        .returning(*_ROW)
    )
    try:
        row = connection.execute(statement).mappings().one_or_none()
    except sa.exc.IntegrityError:
        raise name_taken(str(changes.get("name"))) from None
    return None if row is None else _row(row)


def delete(connection: sa.Connection, workspace: str, name: str) -> bool:
    """Deletes a network and its revisions; False if there is no such network. Tensors are left to the collector."""
    result = connection.execute(
        sa.delete(networks).where(networks.c.workspace == workspace, networks.c.name == name).returning(networks.c.id)
    )
    return result.one_or_none() is not None


def name_taken(name: str) -> Conflict:
    return Conflict(f"A network called '{name}' exists already; choose another name.", code="name-taken")


def _row(row: sa.RowMapping) -> NetworkRow:
    return NetworkRow(**row)
