"""Bringing a database to the tables this version knows, and telling whether it is there already.

Called at start by `app.main` and `app.cli`. Several processes may start at once: each takes the same lock first (an
advisory lock on PostgreSQL, the write lock on SQLite), the first does the work, and the others find it done. All
steps are one transaction. The scripts lie in the folder `alembic` beside the package `app`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import app
from app.db.engine import Database

SCRIPTS = Path(app.__file__).resolve().parent.parent / "alembic"
_LOCK = 0x6D6F64656C6C6162  # "modellab"


Told = Callable[[str, float], None]


def migrate(url: str, told: Told = lambda _words, _share: None) -> None:
    """Brings the database behind `url` up to date; does nothing where it is. Safe to call from many processes.

    `told` hears of each step that was done: in words, and which share of all that is.
    """
    _run(url, "head", up=True, told=told)


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


def _run(url: str, target: str, *, up: bool, told: Told = lambda _words, _share: None) -> None:
    database = Database(url, pool_size=1, may_create=True)
    try:
        with database.transaction() as connection:
            if database.kind == "postgresql":
                connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
                connection.execute(sa.text("SET LOCAL lock_timeout = 0"))
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            config = _config()
            config.attributes["connection"] = connection
            config.attributes["on_version_apply"] = _telling(connection, config, told)
            (command.upgrade if up else command.downgrade)(config, target)
    finally:
        database.close()


def _telling(connection: sa.Connection, config: Config, told: Told) -> Callable[..., None]:
    """What Alembic calls after each step."""
    scripts = ScriptDirectory.from_config(config)
    there = MigrationContext.configure(connection).get_current_revision()
    waiting = len(list(scripts.iterate_revisions("head", there or "base")))
    done = 0

    def tell(*, step: Any, **_: object) -> None:
        nonlocal done
        done += 1
        told(str(step.up_revision.doc), done / max(done, waiting))

    return tell
