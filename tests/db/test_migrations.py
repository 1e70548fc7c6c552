"""Migrations: up, down, from many processes at once, from anywhere, and in step with the tables."""

import multiprocessing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from app.db.engine import Database
from app.db.migrations import downgrade, is_current, migrate
from app.db.tables import metadata


def _tables(database: Database) -> set[str]:
    return set(sa.inspect(database.engine).get_table_names())


def test_migrating_makes_every_table_and_going_back_removes_them(empty_database_url: str):
    database = Database(empty_database_url)
    assert not is_current(database)
    migrate(empty_database_url)
    assert is_current(database)
    assert _tables(database) == set(metadata.tables) | {"alembic_version"}
    migrate(empty_database_url)
    downgrade(empty_database_url)
    assert not is_current(database)
    assert _tables(database) == {"alembic_version"}
    migrate(empty_database_url)
    assert is_current(database)
    database.close()


def test_each_step_is_told_and_the_last_one_is_all_of_it(sqlite_files):
    url = sqlite_files.fresh(migrated=False)
    told: list[tuple[str, float]] = []
    migrate(url, lambda words, share: told.append((words, share)))
    assert [share for _, share in told] == [number / len(told) for number in range(1, len(told) + 1)]
    assert len(told) >= 7
    assert all(words for words, _ in told)
    migrate(url, lambda *_: pytest.fail("there was nothing to do"))


def test_migrations_and_tables_say_the_same(database: Database):
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_several_processes_may_migrate_at_once(empty_database_url: str):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=migrate, args=(empty_database_url,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    database = Database(empty_database_url)
    assert is_current(database)
    database.close()


def test_migrating_works_from_any_folder(empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    migrate(empty_database_url)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_migration_leaves_nothing_behind(empty_database_url: str, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("half way")

    monkeypatch.setattr("alembic.operations.base.Operations.create_index", fail)
    database = Database(empty_database_url)
    with pytest.raises(RuntimeError):
        migrate(empty_database_url)
    assert _tables(database) == set()
    database.close()


def test_postgresql_keeps_chunks_uncompressed(postgres_url: str):
    database = Database(postgres_url)
    with database.reading() as connection:
        storage = connection.execute(
            sa.text("SELECT attstorage FROM pg_attribute WHERE attrelid = 'chunks'::regclass AND attname = 'data'")
        ).scalar_one()
    assert storage in ("e", b"e")
    database.close()
