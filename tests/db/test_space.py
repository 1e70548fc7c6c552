"""Room in an SQLite file that deleted rows left, and how the disk gets it back."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.db.engine import Database
from app.db.space import STEP_BYTES, Room, find_room, rewrite, shrink
from app.db.tables import chunks

MIB = 2**20


def fill(database: Database, *, mebibytes: int, then_delete: int) -> None:
    """Adds chunks of 1 MiB and deletes the first so many."""
    with database.transaction() as connection:
        for number in range(mebibytes):
            row = {"digest": f"{number:064x}", "size": MIB, "last_seen": sa.func.utc_now(), "data": bytes(MIB)}
            connection.execute(sa.insert(chunks).values(row))
    with database.transaction() as connection:
        connection.execute(sa.delete(chunks).where(chunks.c.digest < f"{then_delete:064x}"))


def file_of(database: Database) -> Path:
    return Path(str(database.engine.url.database))


def whole(database: Database, count: int) -> bool:
    """The database is in order, and holds so many chunks."""
    with closing(sqlite3.connect(file_of(database))) as connection:
        assert connection.execute("SELECT COUNT(*), SUM(LENGTH(data)) FROM chunks").fetchone() == (count, count * MIB)
        return connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.fixture
def database(sqlite_url):
    opened = Database(sqlite_url)
    yield opened
    opened.close()


@pytest.fixture
def old_database(sqlite_url):
    """A file as earlier versions made it: without the map that a file is cut with."""
    path = sqlite_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA auto_vacuum = NONE")
        connection.execute("VACUUM")
    opened = Database(sqlite_url)
    yield opened
    opened.close()


def test_free_room_is_cut_off_in_steps(database):
    fill(database, mebibytes=3 * STEP_BYTES // MIB, then_delete=2 * STEP_BYTES // MIB + 1)
    before = find_room(database)
    assert before.can_shrink
    assert before.free_bytes >= 2 * STEP_BYTES
    steps = []
    given = shrink(database, told=steps.append)
    assert given == steps[-1] == before.free_bytes
    assert len(steps) == 3
    assert find_room(database) == Room(0, can_shrink=True)
    assert file_of(database).stat().st_size < STEP_BYTES + 2 * MIB
    assert whole(database, STEP_BYTES // MIB - 1)


def test_a_file_of_an_earlier_version_is_cut_when_it_is_written_anew(old_database):
    fill(old_database, mebibytes=12, then_delete=10)
    room = find_room(old_database)
    assert not room.can_shrink
    assert room.free_bytes >= 10 * MIB
    rewrite(old_database)
    assert find_room(old_database) == Room(0, can_shrink=True)
    assert file_of(old_database).stat().st_size < 4 * MIB
    assert whole(old_database, 2)


def test_writers_go_on_while_a_file_is_cut(database):
    fill(database, mebibytes=100, then_delete=99)
    stop = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        while not stop.is_set() or not written:
            with database.transaction() as connection:
                row = {"digest": f"{1000 + written:064x}", "size": 1, "last_seen": sa.func.utc_now(), "data": b"x"}
                connection.execute(sa.insert(chunks).values(row))
            written += 1

    thread = threading.Thread(target=write)
    thread.start()
    given = shrink(database)
    stop.set()
    thread.join()
    assert given >= 90 * MIB
    with database.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(chunks)).scalar_one() == written + 1


def test_postgresql_looks_after_its_room_itself(postgres_url):
    database = Database(postgres_url)
    assert find_room(database) is None
    database.close()
