"""How much is in the database, counted cheaply: for whoever watches over the service. All workspaces together."""

from dataclasses import dataclass

import sqlalchemy as sa

from app.db.tables import chunks, jobs, networks


@dataclass(frozen=True)
class Figures:
    """Counts of rows, the size of the whole database in bytes, and jobs by their state."""

    networks: int
    chunks: int
    database_bytes: int
    jobs: dict[str, int]


def read_figures(connection: sa.Connection) -> Figures:
    """Reads indexes alone: chunks are counted by one of theirs, whose pages hold no data."""
    by_state = sa.select(jobs.c.state, sa.func.count()).group_by(jobs.c.state)
    return Figures(
        networks=_count(connection, networks.c.name),
        chunks=_count(connection, chunks.c.last_seen),
        database_bytes=_size(connection),
        jobs={state: count for state, count in connection.execute(by_state)},  # noqa: C416  # rows are no pairs to mypy
    )


def _count(connection: sa.Connection, column: sa.Column[object]) -> int:
    return connection.execute(sa.select(sa.func.count(column))).scalar_one()


def _size(connection: sa.Connection) -> int:
    if connection.dialect.name == "postgresql":
        query = sa.select(sa.func.pg_database_size(sa.func.current_database()))
        return int(connection.execute(query).scalar_one())
    pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    return int(pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one())
