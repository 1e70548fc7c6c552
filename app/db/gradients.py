"""Rows of `gradients`: for each network, the gradients that its last backward left, or several added up.

They belong to one revision and go with it. The caller holds the network's row while it saves, so that two that add up
do not lose each other, and the revision is not forgotten meanwhile.
"""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.db.columns import database_time
from app.db.tables import gradients


@dataclass(frozen=True)
class GradientsRow:
    """The gradients of one network: a manifest of tensors by the first names of their parameters. Times are UTC."""

    network_id: str
    number: int  # of the revision they belong to
    manifest: str  # digest
    passes: int  # how many were added up
    created_at: datetime
    updated_at: datetime


_ROW = [gradients.c[name] for name in GradientsRow.__dataclass_fields__]


def find(connection: sa.Connection, network_id: str) -> GradientsRow | None:
    row = connection.execute(sa.select(*_ROW).where(gradients.c.network_id == network_id)).mappings().one_or_none()
    return None if row is None else GradientsRow(**row)


def save(connection: sa.Connection, network_id: str, number: int, manifest: str, passes: int) -> None:
    """Puts gradients in place of those that were there, if any. The manifest must be in the store."""
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    changed = {"number": number, "manifest": manifest, "passes": passes}
    statement = make(gradients).values(network_id=network_id, **changed)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[gradients.c.network_id], set_={**changed, "updated_at": database_time()}
        )
    )


def delete(connection: sa.Connection, network_id: str) -> None:
    connection.execute(sa.delete(gradients).where(gradients.c.network_id == network_id))
