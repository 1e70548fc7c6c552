"""Rows of `blocks`: the library of named blocks of each workspace.

A definition is kept as the bytes that were sent. Whether it makes sense, and whether its uses exist, was checked
before it came here. Networks hold resolved copies, so nothing refers to these rows.
"""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.db.clock import read_clock
from app.db.columns import database_time
from app.db.tables import blocks
from app.errors import Conflict


@dataclass(frozen=True)
class BlockRow:
    """One named block. Times are UTC, by the database's clock."""

    workspace: str
    name: str
    definition: bytes  # JSON
    uses: list[str]  # names of the library blocks that it uses itself
    created_at: datetime
    updated_at: datetime


_ROW = [blocks.c[name] for name in BlockRow.__dataclass_fields__]


def insert(connection: sa.Connection, workspace: str, name: str, definition: bytes, uses: list[str]) -> BlockRow:
    """Adds a block. Raises Conflict (`name-taken`)."""
    now = read_clock(connection)  # once: the two times of a row are equal until it is changed
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = (
        make(blocks)
        .values(workspace=workspace, name=name, definition=definition, uses=uses, created_at=now, updated_at=now)
        .on_conflict_do_nothing(index_elements=[blocks.c.workspace, blocks.c.name])
        .returning(*_ROW)
    )
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        raise Conflict(f"A block called '{name}' exists already; choose another name or PUT it.", code="name-taken")
    return _row(row)


def find(connection: sa.Connection, workspace: str, name: str) -> BlockRow | None:
    """Finds a block."""
    row = connection.execute(sa.select(*_ROW).where(_is(workspace, name))).mappings().one_or_none()
    return None if row is None else _row(row)


def lock_library(connection: sa.Connection, workspace: str) -> None:
    """Lets nobody else change the workspace's library before this transaction ends: which block may go, and which may
    use which, depends on all of them. On SQLite there is never more than one who writes."""
    if connection.dialect.name == "postgresql":
        of_library = sa.func.pg_advisory_xact_lock(sa.func.hashtext("blocks"), sa.func.hashtext(workspace))
        connection.execute(sa.select(of_library))


def list_page(
    connection: sa.Connection, workspace: str, *, after: str | None = None, limit: int = 100
) -> list[BlockRow]:
    """Up to `limit` blocks in the order of their names (by code point), those after the name `after`."""
    statement = sa.select(*_ROW).where(blocks.c.workspace == workspace).order_by(blocks.c.name).limit(limit)
    if after is not None:
        statement = statement.where(blocks.c.name > after)
    return [_row(row) for row in connection.execute(statement).mappings()]


def update(connection: sa.Connection, workspace: str, name: str, definition: bytes, uses: list[str]) -> BlockRow | None:
    """Replaces a block's definition; None if there is no such block."""
    row = (
        connection.execute(
            sa.update(blocks)
            .where(_is(workspace, name))
            .values(definition=definition, uses=uses, updated_at=database_time())
            .returning(*_ROW)
        )
        .mappings()
        .one_or_none()
    )
    return None if row is None else _row(row)


def delete(connection: sa.Connection, workspace: str, name: str) -> bool:
    """Deletes a block; False if there is no such block."""
    result = connection.execute(sa.delete(blocks).where(_is(workspace, name)).returning(blocks.c.name))
    return result.one_or_none() is not None


def _is(workspace: str, name: str) -> sa.ColumnElement[bool]:
    return sa.and_(blocks.c.workspace == workspace, blocks.c.name == name)


def _row(row: sa.RowMapping) -> BlockRow:
    return BlockRow(**row)
