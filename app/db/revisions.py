"""Rows of `revisions`: one for every change of a network's tensors, never changed afterwards.

`advance_head` is the one way a network gets a new revision, and its compare-and-swap is the only commit point of a
write: chunks, tensors and the manifest are in the store before it, and nothing refers to them until it succeeds.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from app.db.columns import database_time
from app.db.tables import checkpoints, networks, revisions


@dataclass(frozen=True)
class NewRevision:
    """A change that is to be written: who made it, how, and the manifest it ended in."""

    network_id: str
    number: int  # 1 for the first; each further one the one before plus 1
    manifest: str  # digest
    operation: str  # "create", "edit", ...
    author: str | None = None
    detail: Mapping[str, object] = field(default_factory=dict)  # JSON
    requires_grad: Mapping[str, bool] | None = None  # by name, where it is not as it was built; None: nowhere


@dataclass(frozen=True, kw_only=True)
class RevisionRow(NewRevision):
    """One revision as stored. The time is UTC, by the database's clock."""

    created_at: datetime


_ROW = [revisions.c[name] for name in RevisionRow.__dataclass_fields__]


def insert(connection: sa.Connection, revision: NewRevision) -> RevisionRow:
    """Adds a revision without moving the head: the first of a new network."""
    values = {name: getattr(revision, name) for name in NewRevision.__dataclass_fields__}
    return _row(connection.execute(sa.insert(revisions).values(**values).returning(*_ROW)).mappings().one())


def advance_head(connection: sa.Connection, network_id: str, expected: int, revision: NewRevision) -> bool:
    """Makes `revision` the head if `expected` still is; False, and nothing written, if another came first.

    False also when the network was deleted meanwhile. What the network keeps no longer goes.
    """
    kept = connection.execute(
        sa.update(networks)
        .where(networks.c.id == network_id, networks.c.head_revision == expected)
        .values(head_revision=revision.number, updated_at=database_time())
        .returning(networks.c.keep_last)
    ).one_or_none()
    if kept is None:
        return False
    insert(connection, revision)
    if kept.keep_last is not None:
        prune(connection, network_id, revision.number, kept.keep_last)
    return True


def prune(connection: sa.Connection, network_id: str, head: int, keep_last: int) -> int:
    """Forgets all but the newest `keep_last` revisions and those with a tag; returns how many.

    The caller holds the network's row, so that no tag is put on what goes.
    """
    tagged = sa.select(checkpoints.c.number).where(checkpoints.c.network_id == network_id)
    gone = connection.execute(
        sa.delete(revisions).where(
            revisions.c.network_id == network_id,
            revisions.c.number <= head - max(1, keep_last),
            revisions.c.number.not_in(tagged),
        )
    )
    return gone.rowcount


def forget(connection: sa.Connection, network_id: str, numbers: Collection[int]) -> None:
    """Forgets those of some revisions that have no tag. The caller holds the network's row, and the head is not among
    them."""
    tagged = sa.select(checkpoints.c.number).where(checkpoints.c.network_id == network_id)
    connection.execute(
        sa.delete(revisions).where(
            revisions.c.network_id == network_id, revisions.c.number.in_(numbers), revisions.c.number.not_in(tagged)
        )
    )


def find(connection: sa.Connection, network_id: str, number: int) -> RevisionRow | None:
    row = (
        connection.execute(sa.select(*_ROW).where(revisions.c.network_id == network_id, revisions.c.number == number))
        .mappings()
        .one_or_none()
    )
    return None if row is None else _row(row)


def list_page(
    connection: sa.Connection, network_id: str, *, before: int | None = None, limit: int = 100
) -> list[RevisionRow]:
    """Up to `limit` revisions, the newest first, those numbered below `before`. A page costs the same at any depth."""
    statement = (
        sa.select(*_ROW).where(revisions.c.network_id == network_id).order_by(revisions.c.number.desc()).limit(limit)
    )
    if before is not None:
        statement = statement.where(revisions.c.number < before)
    return [_row(row) for row in connection.execute(statement).mappings()]


def _row(row: sa.RowMapping) -> RevisionRow:
    return RevisionRow(**row)
