"""Rows of `checkpoints`: tags on revisions. A revision with a tag is kept, however many come after it.

A tag belongs to one network and names one revision; putting it again moves it. The caller holds the network's row
while it puts a tag, so that the revision is not forgotten meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app.db.columns import database_time
from app.db.tables import checkpoints


@dataclass(frozen=True)
class CheckpointRow:
    """One tag. The time it was put is UTC, by the database's clock."""

    network_id: str
    tag: str
    number: int  # of the revision
    author: str | None
    created_at: datetime


_ROW = [checkpoints.c[name] for name in CheckpointRow.__dataclass_fields__]


def put(connection: sa.Connection, network_id: str, tag: str, number: int, author: str | None) -> CheckpointRow:
    """Puts a tag on a revision that is there, away from the one it was on."""
    connection.execute(sa.delete(checkpoints).where(_is(network_id, tag)))
    statement = (
        sa.insert(checkpoints)
        .values(network_id=network_id, tag=tag, number=number, author=author, created_at=database_time())
        .returning(*_ROW)
    )
    return CheckpointRow(**connection.execute(statement).mappings().one())


def find(connection: sa.Connection, network_id: str, tag: str) -> CheckpointRow | None:
    row = connection.execute(sa.select(*_ROW).where(_is(network_id, tag))).mappings().one_or_none()
    return None if row is None else CheckpointRow(**row)


def list_page(
    connection: sa.Connection, network_id: str, *, after: str | None = None, limit: int = 100
) -> list[CheckpointRow]:
    """Up to `limit` tags of a network in their order (by code point), those after the tag `after`."""
    statement = sa.select(*_ROW).where(checkpoints.c.network_id == network_id).order_by(checkpoints.c.tag).limit(limit)
    if after is not None:
        statement = statement.where(checkpoints.c.tag > after)
    return [CheckpointRow(**row) for row in connection.execute(statement).mappings()]


def tags_of(connection: sa.Connection, network_id: str, numbers: Sequence[int]) -> dict[int, list[str]]:
    """The tags on each of some revisions; revisions without one are left out."""
    tags: dict[int, list[str]] = {}
    query = (
        sa.select(checkpoints.c.number, checkpoints.c.tag)
        .where(checkpoints.c.network_id == network_id, checkpoints.c.number.in_(numbers))
        .order_by(checkpoints.c.tag)
    )
    for number, tag in connection.execute(query):
        tags.setdefault(number, []).append(tag)
    return tags


def delete(connection: sa.Connection, network_id: str, tag: str) -> bool:
    """Takes a tag away; False if there is no such tag."""
    result = connection.execute(sa.delete(checkpoints).where(_is(network_id, tag)).returning(checkpoints.c.tag))
    return result.one_or_none() is not None


def _is(network_id: str, tag: str) -> sa.ColumnElement[bool]:
    return sa.and_(checkpoints.c.network_id == network_id, checkpoints.c.tag == tag)
