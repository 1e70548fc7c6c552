"""The reader of heads never answers with what was before the last commit, whoever committed it."""

import multiprocessing
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.db import heads as heads_module
from app.db import networks, revisions
from app.db.engine import Database
from app.db.heads import Head, HeadReader
from app.db.sqlite import LOOK_SECONDS
from app.errors import Unavailable
from tests.databases import PostgresqlServer, SqliteFiles, database_name
from tests.db.rows import MANIFEST, OTHER_MANIFEST, add_network, next_revision


@pytest.fixture
def heads(database: Database) -> Iterator[HeadReader]:
    reader = HeadReader(database)
    yield reader
    reader.close()


def _advance(url: str, name: str, times: int) -> None:
    database = Database(url)
    for _ in range(times):
        with database.transaction() as connection:
            row = networks.find(connection, "main", name)
            assert row is not None
            revision = next_revision(row, row.head_revision + 1)
            assert revisions.advance_head(connection, row.id, row.head_revision, revision)
    database.close()


def test_a_head_names_revision_manifest_dtype_and_device(database: Database, heads: HeadReader):
    with database.transaction() as connection:
        row = add_network(connection)
    assert heads.find("main", "net") == Head(row.id, 1, MANIFEST, "float32", "cpu:0")
    assert heads.find("other", "net") is None
    assert heads.find("main", "nobody") is None


def test_commits_of_this_process_are_seen_at_once(database: Database, heads: HeadReader):
    with database.transaction() as connection:
        row = add_network(connection)
    for number in range(2, 30):
        with database.transaction() as connection:
            assert revisions.advance_head(connection, row.id, number - 1, next_revision(row, number))
        head = heads.find("main", "net")
        assert head is not None
        assert head.revision == number
        assert heads.find("main", "net") == head
    with database.transaction() as connection:
        networks.update(connection, "main", "net", device="cpu:1")
    head = heads.find("main", "net")
    assert head is not None
    assert head.device == "cpu:1"
    with database.transaction() as connection:
        networks.delete(connection, "main", "net")
    assert heads.find("main", "net") is None


def test_commits_of_another_process_are_seen_at_once(database: Database, heads: HeadReader):
    with database.transaction() as connection:
        add_network(connection)
    assert heads.find("main", "net") is not None
    process = multiprocessing.get_context("spawn").Process(target=_advance, args=(database.url, "net", 5))
    process.start()
    process.join(60)
    head = heads.find("main", "net")
    assert head is not None
    assert (head.revision, head.manifest) == (6, OTHER_MANIFEST)


def test_what_is_not_committed_is_not_seen(database: Database, heads: HeadReader):
    with database.transaction() as connection:
        row = add_network(connection)
    with database.transaction() as connection:
        revisions.advance_head(connection, row.id, 1, next_revision(row, 2))
        head = heads.find("main", "net")
        assert head is not None
        assert head.revision == 1


def test_old_revisions_are_found_by_number(database: Database, heads: HeadReader):
    with database.transaction() as connection:
        row = add_network(connection)
        revisions.advance_head(connection, row.id, 1, next_revision(row, 2))
    first, second = heads.find_revision(row.id, 1), heads.find_revision(row.id, 2)
    assert first is not None
    assert second is not None
    assert (first.revision, first.manifest) == (1, MANIFEST)
    assert (second.revision, second.manifest) == (2, OTHER_MANIFEST)
    assert heads.find_revision(row.id, 3) is None


def test_many_threads_never_see_a_head_go_back(database: Database, heads: HeadReader):
    with database.transaction() as connection:
        add_network(connection)
    done = threading.Event()
    failures: list[str] = []

    def watch() -> None:
        last = 0
        while not done.is_set():
            head = heads.find("main", "net")
            if head is None or head.revision < last:
                failures.append(f"{head} after {last}")
                return
            last = head.revision

    threads = [threading.Thread(target=watch) for _ in range(3)]
    for thread in threads:
        thread.start()
    _advance(database.url, "net", 40)
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    head = heads.find("main", "net")
    assert head is not None
    assert head.revision == 41


def test_an_unchanged_sqlite_head_costs_microseconds(sqlite_url: str):
    database = Database(sqlite_url)
    reader = HeadReader(database)
    with database.transaction() as connection:
        add_network(connection)
    reader.find("main", "net")
    best = min(_seconds_per_find(reader) for _ in range(5))
    reader.close()
    database.close()
    assert best < 50e-6  # 3 to 5 µs on a quiet machine


def _seconds_per_find(reader: HeadReader) -> float:
    start = time.thread_time()
    for _ in range(1000):
        reader.find("main", "net")
    return (time.thread_time() - start) / 1000


def test_a_lost_connection_is_made_again(postgresql_server: PostgresqlServer, postgres_url: str):
    database = Database(postgres_url)
    reader = HeadReader(database)
    with database.transaction() as connection:
        add_network(connection)
    assert reader.find("main", "net") is not None
    name = database_name(postgres_url)
    postgresql_server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    assert reader.find("main", "net") is not None
    reader.close()
    database.close()


def test_heads_of_a_database_that_is_away_are_unavailable():
    database = Database("postgresql://nobody@127.0.0.1:1/none")
    reader = HeadReader(database)
    for _ in range(2):
        with pytest.raises(Unavailable):
            reader.find("main", "net")
    database.close()


def test_a_sqlite_file_that_took_the_place_of_another_is_noticed(sqlite_files: SqliteFiles):
    url, another = sqlite_files.fresh(), sqlite_files.fresh()
    database = Database(url)
    reader = HeadReader(database)
    with database.transaction() as connection:
        add_network(connection)
    assert reader.find("main", "net") is not None
    place = Path(url.removeprefix("sqlite:///"))
    for ending in ("-wal", "-shm"):
        place.with_name(place.name + ending).unlink(missing_ok=True)
    Path(another.removeprefix("sqlite:///")).replace(place)
    time.sleep(LOOK_SECONDS)
    assert reader.find("main", "net") is None
    reader.close()
    database.close()


def test_of_those_who_wait_for_a_locked_table_only_the_first_waits_long(postgres_url: str, monkeypatch):
    monkeypatch.setattr(heads_module, "LOCK_SECONDS", 0.5)
    database = Database(postgres_url)
    reader = HeadReader(database)
    with database.transaction() as connection:
        connection.execute(sa.text("LOCK TABLE networks IN ACCESS EXCLUSIVE MODE"))
        began = time.monotonic()
        for _ in range(10):
            with pytest.raises(Unavailable):
                reader.find("main", "net")
        assert time.monotonic() - began < 3.0  # and not ten times as long as one
    time.sleep(heads_module.PAUSE_SECONDS)
    assert reader.find("main", "net") is None
    reader.close()
    database.close()
