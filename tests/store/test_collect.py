"""The collector takes what nobody refers to, leaves what is fresh or needed, and nothing dangles beside writers."""

import os
import random
import threading
import time
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from app.db import artifacts, jobs, tables
from app.db.artifacts import NewArtifact
from app.db.clock import read_clock
from app.db.engine import Database
from app.db.jobs import NewJob
from app.errors import Unavailable
from app.services.jobs import forget_ended_jobs
from app.store import collect as collect_module
from app.store.collect import Collected, collect
from app.store.store import TensorStore
from app.store.tensors import TensorBytes
from app.store.verify import Verifier
from app.store.writing import TensorWriter

NOW = timedelta(0)


@pytest.fixture
def store(database: Database) -> TensorStore:
    return TensorStore(database, chunk_bytes=64)


def tensor(data: bytes) -> TensorBytes:
    return TensorBytes("uint8", (len(data),), memoryview(data))


def save(database: Database, name: str, manifest: str) -> None:
    with database.transaction() as connection:
        artifacts.save(connection, NewArtifact("default", name, "dict", manifest, 1, 1))


def rows(database: Database) -> dict[str, int]:
    names = ("manifests", "manifest_tensors", "tensors", "tensor_chunks", "chunks")
    with database.reading() as connection:
        return {
            name: connection.execute(sa.select(sa.func.count()).select_from(tables.metadata.tables[name])).scalar_one()
            for name in names
        }


def test_what_nobody_refers_to_goes_and_what_is_shared_stays(database, store):
    shared, own = os.urandom(100), os.urandom(300)
    kept = store.put([("a", tensor(shared))])
    save(database, "kept", kept)
    store.put([("a", tensor(shared)), ("b", tensor(own))])
    collected = collect(database, NOW)
    assert collected == Collected(manifests=1, tensors=1, chunks=5, chunk_bytes=300)
    assert rows(database) == {"manifests": 1, "manifest_tensors": 1, "tensors": 1, "tensor_chunks": 2, "chunks": 2}
    assert bytes(next(store.read_many(store.manifest(kept).values()))[1].data) == shared
    assert collect(database, NOW) == Collected()


def test_what_is_fresh_stays_for_the_time_of_grace(database, store):
    store.put([("a", tensor(os.urandom(100)))])
    assert collect(database, timedelta(days=1)) == Collected()
    with database.transaction() as connection:
        for table in (tables.manifests, tables.tensors, tables.chunks):
            connection.execute(table.update().values(last_seen=sa.text("'2020-01-01T00:00:00.000000Z'")))
    assert collect(database, timedelta(days=1)).chunks == 2


def test_more_rows_than_one_transaction_takes_go_in_one_run(database, store, monkeypatch):
    monkeypatch.setattr(collect_module, "ROWS_AT_ONCE", 3)
    for number in range(5):
        manifest = store.put([(f"t{i}", tensor(os.urandom(70))) for i in range(4)])
        if number == 2:
            save(database, "kept", manifest)
    told: list[int] = []
    collected = collect(database, NOW, told=lambda so_far: told.append(so_far.chunks))
    assert (collected.manifests, collected.tensors, collected.chunks) == (4, 16, 32)
    assert told == sorted(told)
    assert len(told) > 10


def test_a_writer_whose_chunks_were_collected_is_told_to_try_again(database, store):
    writer = TensorWriter(database, chunk_bytes=64)
    writer.begin("uint8", (128,))
    writer.feed(os.urandom(64))
    writer.flush()
    assert collect(database, NOW).chunks == 1
    writer.feed(os.urandom(64))
    writer.end()
    with pytest.raises(Unavailable, match="deleted meanwhile"):
        writer.flush()
    gone = store.put([("a", tensor(os.urandom(10)))])
    collect(database, NOW)
    with pytest.raises(Unavailable):
        save(database, "x", gone)
    assert list(Verifier(database).run()) == []


def run_writers(
    database: Database, store: TensorStore, seconds: float, writers: int = 3
) -> dict[str, dict[str, bytes]]:
    """Saves and deletes artifacts of few contents: one makes again what another deletes. Returns what is left."""
    contents = [bytes([number]) * 150 for number in range(40)]
    left: dict[str, dict[str, bytes]] = {}
    errors: list[BaseException] = []
    counts = {"saved": 0, "refused": 0}
    stop = time.monotonic() + seconds

    def write(number: int) -> None:
        choose = random.Random(number)
        try:
            while time.monotonic() < stop:
                name = f"{number}-{choose.randrange(3)}"
                if name in left and choose.random() < 0.5:
                    with database.transaction() as connection:
                        artifacts.delete(connection, "default", name)
                    del left[name]
                    continue
                chosen = {f"t{i}": choose.choice(contents) for i in range(choose.randrange(1, 4))}
                try:
                    save(database, name, store.put((key, tensor(data)) for key, data in chosen.items()))
                except Unavailable:
                    counts["refused"] += 1
                    continue
                left[name] = chosen
                counts["saved"] += 1
        except BaseException as error:  # noqa: BLE001  # told by the main thread
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    collected = 0
    while any(thread.is_alive() for thread in threads):
        went = collect(database, NOW)
        collected += went.manifests + went.tensors + went.chunks
        time.sleep(0.01)
    for thread in threads:
        thread.join()
    assert errors == []
    assert counts["saved"] > 20
    assert collected > 20
    return left


def test_nothing_dangles_after_seconds_beside_writers(database, store):
    left = run_writers(database, store, seconds=5)
    assert list(Verifier(database).run()) == []
    for name, chosen in left.items():
        with database.reading() as connection:
            row = artifacts.find(connection, "default", name)
        entries = store.manifest(row.manifest)
        read = dict(store.read_many(entries.values()))
        assert {key: bytes(read[stored.digest].data) for key, stored in entries.items()} == chosen
    with database.reading() as connection:
        assert len(artifacts.list_page(connection, "default", limit=1000)) == len(left)
    collect(database, NOW)
    assert rows(database)["manifests"] <= len(left)


def test_without_its_guards_a_collector_beside_a_writer_leaves_damage(database, store, monkeypatch):
    """What the tests above hold against: a collector that trusts its first look, and no foreign keys."""
    manifest = store.put([("a", tensor(b"x" * 100))])
    seen = list(collect_module._unused(database, collect_module._TABLES[0], _soon(database)))
    save(database, "late", manifest)
    [line] = seen
    with database.transaction() as connection:
        assert (
            collect_module._take(connection, table=collect_module._TABLES[0], digests=line, oldest=_soon(database))
            == []
        )
    assert list(Verifier(database).run()) == []
    with database.engine.connect() as connection:
        raw = connection.connection.driver_connection
        off = "PRAGMA foreign_keys = OFF" if database.kind == "sqlite" else "SET session_replication_role = replica"
        raw.execute(off)
        if database.kind == "postgresql":
            raw.commit()
        connection.execute(sa.text("DELETE FROM manifests WHERE digest = :digest"), {"digest": line[0]})
        connection.commit()
        connection.invalidate()
    assert any("artifact 'late' needs it" in found for found in Verifier(database).run())


def _soon(database: Database) -> datetime:
    with database.reading() as connection:
        return read_clock(connection) + timedelta(seconds=10)


def test_what_a_job_holds_stays_for_as_long_as_the_job(database, store):
    manifest = store.put([("bytes", tensor(os.urandom(100)))])
    with database.transaction() as connection:
        number = jobs.insert(connection, NewJob("main", "forward", b"", manifests={"body": manifest})).number
    assert collect(database, NOW) == Collected()
    with database.transaction() as connection:
        jobs.cancel(connection, "main", number)
    assert collect(database, NOW) == Collected()
    assert forget_ended_jobs(database, timedelta(days=1)) == 0
    assert forget_ended_jobs(database, timedelta(0)) == 1
    assert collect(database, NOW) == Collected(manifests=1, tensors=1, chunks=2, chunk_bytes=100)
    assert list(Verifier(database).run()) == []
