"""Runs the migrations: on the connection that `app.db.migrations` hands over, or, from the `alembic` command, on the
database that the settings name. The caller's transaction holds all steps, so a failed one leaves nothing behind.
"""

import sqlalchemy as sa
from alembic import context

from app.db.engine import Database
from app.db.tables import metadata
from app.settings import Settings


def run(connection: sa.Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        transactional_ddl=True,
        compare_type=True,
        on_version_apply=context.config.attributes.get("on_version_apply"),
    )
    with context.begin_transaction():
        context.run_migrations()


handed_over = context.config.attributes.get("connection")
if handed_over is not None:
    run(handed_over)
elif context.is_offline_mode():
    raise SystemExit("SQL scripts without a database (--sql) are not supported")
else:
    database = Database(Settings().resolved_database_url, pool_size=1)
    with database.transaction() as connection:
        run(connection)
