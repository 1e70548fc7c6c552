"""Transactions, what concurrent writers see, and what the database's troubles are called."""

import multiprocessing
import os
import sqlite3
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.db import networks
from app.db.engine import Database, normalise_url, ping
from app.db.heads import HeadReader
from app.db.migrations import migrate
from app.db.sqlite import BUSY_SECONDS, PAGE_BYTES
from app.db.tables import networks as networks_table
from app.errors import Damaged, StorageFull, Unavailable
from tests.databases import PostgresqlServer, SqliteFiles, database_name
from tests.db.rows import add_network, new_network


def _count_up(url: str, times: int) -> None:
    database = Database(url)
    for _ in range(times):
        with database.transaction() as connection:
            statement = sa.select(networks_table.c.parameter_count).where(networks_table.c.name == "counter")
            if database.kind == "postgresql":
                statement = statement.with_for_update()
            count = connection.execute(statement).scalar_one()
            connection.execute(
                sa.update(networks_table).where(networks_table.c.name == "counter").values(parameter_count=count + 1)
            )
    database.close()


def test_250_concurrent_reads_then_writes_end_at_250(database: Database):
    with database.transaction() as connection:
        networks.insert(connection, new_network("counter", parameter_count=0))
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count_up, args=(database.url, 100)) for _ in range(2)]
    threads = [threading.Thread(target=_count_up, args=(database.url, 10)) for _ in range(5)]
    for runner in [*processes, *threads]:
        runner.start()
    for runner in [*processes, *threads]:
        runner.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    with database.reading() as connection:
        counter = networks.find(connection, "main", "counter")
    assert counter is not None
    assert counter.parameter_count == 250


def test_an_error_undoes_the_whole_transaction(database: Database):
    def write_and_fail() -> None:
        with database.transaction() as connection:
            networks.insert(connection, new_network())
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        write_and_fail()
    with database.reading() as connection:
        assert networks.find(connection, "main", "net") is None


def test_reading_refuses_to_write_and_the_connection_writes_again_afterwards(database: Database):
    for _ in range(3):
        with pytest.raises(sa.exc.DBAPIError), database.reading() as connection:
            networks.insert(connection, new_network())
        with database.transaction() as connection:
            networks.insert(connection, new_network())
            assert networks.delete(connection, "main", "net")


def test_reading_sees_one_moment(database: Database):
    with database.reading() as reader:
        assert networks.find(reader, "main", "net") is None
        with database.transaction() as writer:
            networks.insert(writer, new_network())
        assert networks.find(reader, "main", "net") is None
    with database.reading() as reader:
        assert networks.find(reader, "main", "net") is not None


def test_sqlite_runs_with_the_settings_that_durability_and_speed_need(sqlite_url: str):
    database = Database(sqlite_url)
    with database.transaction() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "page_size")
        }
    database.close()
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "page_size": PAGE_BYTES}


def test_a_transaction_waits_for_the_disk_unless_it_is_told_not_to(database: Database):
    setting = "PRAGMA synchronous" if database.kind == "sqlite" else "SHOW synchronous_commit"
    waits, waits_not = (2, 1) if database.kind == "sqlite" else ("on", "off")

    def found(connection: sa.Connection) -> object:
        return connection.exec_driver_sql(setting).scalar_one()

    for _ in range(2):  # on one connection, one after the other
        with database.transaction(durable=False) as connection:
            assert found(connection) == waits_not
        with database.transaction() as connection:
            assert found(connection) == waits
    assert database.retrying(found, durable=False) == waits_not
    assert database.retrying(found) == waits


def test_a_new_connection_does_not_wait_for_a_writer(database: Database, database_url: str):
    other = Database(database_url)
    with database.transaction() as connection:
        networks.insert(connection, new_network())
        begun = time.monotonic()
        with other.reading() as reader:
            assert networks.find(reader, "main", "net") is None
        assert time.monotonic() - begun < BUSY_SECONDS / 2
    other.close()


def test_urls_of_both_databases_are_taken_and_others_refused(tmp_path: Path):
    assert normalise_url("postgresql://u@h/d").drivername == "postgresql+psycopg"
    assert normalise_url("postgresql+psycopg://u@h/d").drivername == "postgresql+psycopg"
    assert normalise_url(f"sqlite:///{tmp_path}/x").drivername == "sqlite"
    for wrong in ("sqlite://", "sqlite:///:memory:", "mysql://u@h/d", "postgresql+asyncpg://u@h/d", "nonsense"):
        with pytest.raises(ValueError, match=r"."):
            normalise_url(wrong)


def test_the_folder_of_a_sqlite_file_is_made(tmp_path: Path):
    database = Database(f"sqlite:///{tmp_path}/a/b/lab.sqlite", may_create=True)
    ping(database)
    database.close()
    assert (tmp_path / "a/b/lab.sqlite").exists()


def test_a_sqlite_file_that_is_not_there_is_unavailable_and_none_is_made(tmp_path: Path):
    database = Database(f"sqlite:///{tmp_path}/lab.sqlite")
    with pytest.raises(Unavailable):
        ping(database)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_to_a_sqlite_file_that_was_removed(sqlite_files: SqliteFiles):
    """Whoever has it open could go on writing to it, and nobody would ever find that again."""
    url = sqlite_files.fresh()
    database = Database(url)
    with database.transaction() as connection:
        networks.insert(connection, new_network("before"))
    place = Path(url.removeprefix("sqlite:///"))
    away = place.rename(place.with_suffix(".away"))
    with pytest.raises(Unavailable), database.transaction():
        pytest.fail("it began")
    away.rename(place)
    with database.transaction() as connection:
        assert networks.find(connection, "main", "before") is not None
    database.close()


def test_a_sqlite_file_that_took_the_place_of_another_is_the_one_that_is_used(sqlite_files: SqliteFiles):
    url, another = sqlite_files.fresh(), sqlite_files.fresh()
    database, restored = Database(url), Database(another)
    ping(database)
    with restored.transaction() as connection:
        networks.insert(connection, new_network("restored"))
    restored.close()
    place = Path(url.removeprefix("sqlite:///"))
    for ending in ("-wal", "-shm"):
        place.with_name(place.name + ending).unlink(missing_ok=True)
    Path(another.removeprefix("sqlite:///")).replace(place)
    with database.reading() as connection:
        assert networks.find(connection, "main", "restored") is not None
    database.close()


def test_a_database_that_is_away_is_unavailable_and_heals(postgresql_server: PostgresqlServer, postgres_url: str):
    database = Database(postgres_url)
    ping(database)
    name = database_name(postgres_url)
    postgresql_server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    postgresql_server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    with pytest.raises(Unavailable):
        ping(database)
    postgresql_server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    ping(database)
    database.close()


def test_a_connection_that_breaks_in_a_transaction_is_unavailable(postgresql_server: PostgresqlServer, postgres_url):
    database = Database(postgres_url)

    def lose_it() -> None:
        with database.transaction() as connection:
            pid = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
            postgresql_server.execute(f"SELECT pg_terminate_backend({pid})")
            connection.execute(sa.text("SELECT 1"))

    with pytest.raises(Unavailable) as caught:
        lose_it()
    assert caught.value.extra["retry_after_seconds"] > 0
    ping(database)
    database.close()


def test_a_server_that_only_reads_is_unavailable_and_looked_for_anew(
    postgresql_server: PostgresqlServer, postgres_url: str
):
    """As after a failover, when connections lead to what is a standby now."""
    name = database_name(postgres_url)
    postgresql_server.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    database = Database(postgres_url)

    def write() -> None:
        with database.transaction() as connection:
            networks.insert(connection, new_network())

    with pytest.raises(Unavailable):
        write()
    postgresql_server.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = off')
    write()  # on a new connection: the one before goes on to read only
    database.close()


def test_no_server_at_all_is_unavailable():
    database = Database("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(Unavailable):
        ping(database)
    database.close()


def test_a_file_that_is_no_database_is_damaged(tmp_path: Path):
    (tmp_path / "x").write_bytes(b"this is not a database at all" * 100)
    database = Database(f"sqlite:///{tmp_path}/x")
    with pytest.raises(Damaged):
        ping(database)
    database.close()


def test_a_full_disk_is_storage_full_and_reading_goes_on(sqlite_url: str):
    database = Database(sqlite_url, pool_size=1)

    def fill_up() -> None:
        with database.transaction() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
            for number in range(100):
                networks.insert(connection, new_network(f"n{number}", original=b"x" * 100_000))

    with pytest.raises(StorageFull):
        fill_up()
    with database.reading() as connection:
        assert networks.list_page(connection, "main") == []
    database.close()


def test_a_writer_that_waits_too_long_is_told_to_come_back(sqlite_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("app.db.sqlite.BUSY_SECONDS", 0.1)
    database = Database(sqlite_url)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable), database.transaction():
        pass
    other.execute("ROLLBACK")
    other.close()
    with database.transaction():
        pass
    database.close()


def test_a_transaction_that_a_deadlock_ends_is_run_again(postgres_url: str):
    database = Database(postgres_url)
    with database.transaction() as connection:
        for name in ("a", "b"):
            networks.insert(connection, new_network(name, parameter_count=0))
    both_hold_one = threading.Barrier(2)
    runs: list[str] = []

    def add_to(first: str, second: str) -> None:
        def action(connection: sa.Connection) -> None:
            runs.append(first)
            for name in (first, second):
                table = networks_table
                connection.execute(
                    sa.update(table).where(table.c.name == name).values(parameter_count=table.c.parameter_count + 1)
                )
                if name == first and runs.count(first) == 1:
                    both_hold_one.wait(10)

        database.retrying(action)

    threads = [threading.Thread(target=add_to, args=pair) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    with database.reading() as connection:
        assert [row.parameter_count for row in networks.list_page(connection, "main")] == [2, 2]
    assert len(runs) >= 3  # two, and one again for each deadlock
    database.close()


def test_text_is_text_on_a_server_that_knows_no_encoding(postgresql_server: PostgresqlServer):
    name = f"ascii_{os.getpid()}"
    postgresql_server.execute(
        f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    )
    url = postgresql_server.url_of(name)
    try:
        migrate(url)
        database = Database(url)
        heads = HeadReader(database)
        with database.transaction() as connection:
            row = add_network(connection)
            assert networks.update(connection, row.workspace, row.name, labels={"å": "ß"})
        with database.reading() as connection:
            found = networks.find(connection, row.workspace, row.name)
        assert found is not None
        assert found.labels == {"å": "ß"}
        head = heads.find(row.workspace, row.name)
        assert head is not None
        assert head.network_id == row.id
        heads.close()
        database.close()
    finally:
        postgresql_server.drop(url)
