"""The database's clock: the only one that leases, ages and grace periods are judged by."""

from datetime import datetime

import sqlalchemy as sa

from app.db.columns import database_time


def read_clock(connection: sa.Connection) -> datetime:
    """The time now, UTC with microseconds."""
    return connection.execute(sa.select(database_time())).scalar_one()
