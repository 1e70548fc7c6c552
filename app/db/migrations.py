"""Bringing a database to the tables this version knows, and telling whether it is there already.

Called at start by `app.main` and `app.cli`. Several processes may start at once: each takes the same lock first (an
advisory lock on PostgreSQL, the write lock on SQLite), the first does the work, and the others find it done. All
steps are one transaction. The scripts lie in the folder `alembic` beside the package `app`.
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import app
from app.db.engine import Database

SCRIPTS = Path(app.__file__).resolve().parent.parent / "alembic"
_LOCK = 0x6D6F64656C6C6162  # "modellab"


def migrate(url: str) -> None:
    """Brings the database behind `url` up to date; does nothing where it is. Safe to call from many processes."""
    _run(url, "head", up=True)


def downgrade(url: str, target: str = "base") -> None:
    """Takes the database back to revision `target`; what only later tables held is lost."""
    _run(url, target, up=False)


def is_current(database: Database) -> bool:
    """True if the database has exactly the tables that this version knows. Raises Unavailable."""
    with database.reading() as connection:
        heads = MigrationContext.configure(connection).get_current_heads()
    return set(heads) == set(ScriptDirectory.from_config(_config()).get_heads())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    return config


def _run(url: str, target: str, *, up: bool) -> None:
    database = Database(url, pool_size=1)
    try:
        with database.transaction() as connection:
            if database.kind == "postgresql":
                connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
                connection.execute(sa.text("SET LOCAL lock_timeout = 0"))
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            config = _config()
            config.attributes["connection"] = connection
            (command.upgrade if up else command.downgrade)(config, target)
    finally:
        database.close()
