"""The checker names every kind of damage, and nothing else, in SQLite and PostgreSQL."""

import os
import random
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.db import artifacts, jobs
from app.db.artifacts import NewArtifact
from app.db.engine import Database
from app.db.jobs import NewJob
from app.errors import Damaged
from app.store.collect import collect
from app.store.store import TensorStore
from app.store.tensors import TensorBytes
from app.store.verify import Verifier

CHUNK = 64


@pytest.fixture
def store(database: Database) -> TensorStore:
    return TensorStore(database, chunk_bytes=CHUNK)


def keep(database: Database, store: TensorStore, name: str, tensors: int = 4, size: int = 300) -> str:
    """Saves an artifact of random tensors and returns its manifest."""
    data = {f"t{number}": os.urandom(size) for number in range(tensors)}
    manifest = store.put((key, TensorBytes("uint8", (size,), memoryview(value))) for key, value in data.items())
    with database.transaction() as connection:
        artifacts.save(connection, NewArtifact("default", name, "dict", manifest, tensors, tensors * size))
    return manifest


def check(database: Database, **options: int) -> list[str]:
    return list(Verifier(database, **options).run())


def damage(database: Database, statement: str, **values: object) -> None:
    """Runs a statement that foreign keys would forbid."""
    with database.engine.connect() as connection:
        raw = connection.connection.driver_connection
        if database.kind == "sqlite":
            raw.execute("PRAGMA foreign_keys = OFF")
        else:
            raw.execute("SET session_replication_role = replica")
            raw.commit()
        connection.execute(sa.text(statement), values)
        connection.commit()
        connection.invalidate()


def one(database: Database, statement: str, *values: object) -> bytes:
    with database.reading() as connection:
        return bytes(connection.execute(sa.text(statement)).first()[0])


def test_an_undamaged_store_has_nothing_to_tell(database, store):
    assert check(database) == []
    for number in range(5):
        keep(database, store, f"a{number}")
    store.put(
        [("empty", TensorBytes("float32", (0,), memoryview(b""))), ("one", TensorBytes("bool", (), memoryview(b"\1")))]
    )
    store.put([])
    verifier = Verifier(database)
    assert list(verifier.run()) == []
    assert verifier.checked.done == verifier.checked.total
    assert verifier.checked.total["tensors"] == 22
    assert verifier.checked.total["chunks"] == 101
    assert check(database, sample=10) == []


def test_every_flipped_byte_of_a_chunk_is_named_with_those_who_use_it(database, store):
    manifest = keep(database, store, "mine", tensors=1, size=3 * CHUNK)
    keep(database, store, "other")
    chosen = store.manifest(manifest)["t0"].digest
    with database.reading() as connection:
        found = connection.execute(
            sa.text(
                "SELECT c.digest, c.data FROM tensor_chunks t JOIN chunks c ON c.digest = t.chunk WHERE t.tensor = :t"
            ),
            {"t": bytes.fromhex(chosen)},
        ).all()
    for digest, data in found:
        for position in random.Random(0).sample(range(CHUNK), 5):
            flipped = bytearray(data)
            flipped[position] ^= 1 << random.randrange(8)
            update = "UPDATE chunks SET data = :data WHERE digest = :digest"
            damage(database, update, data=bytes(flipped), digest=bytes(digest))
            lines = check(database)
            assert len(lines) == 1
            assert bytes(digest).hex() in lines[0]
            assert "'mine' (t0)" in lines[0]
            with pytest.raises(Damaged):
                list(store.read_many(store.manifest(manifest).values()))
            damage(database, update, data=bytes(data), digest=bytes(digest))
    assert check(database) == []


def test_missing_chunks_tensors_and_manifests_are_named(database, store):
    manifest = keep(database, store, "mine")
    chunk = one(database, "SELECT chunk FROM tensor_chunks LIMIT 1")
    damage(database, "DELETE FROM chunks WHERE digest = :digest", digest=chunk)
    [line] = check(database)
    assert line.startswith(f"chunk {chunk.hex()} is missing; used by artifact 'mine'")
    assert check(database, sample=1) == [line]
    tensor = one(database, "SELECT tensor FROM manifest_tensors LIMIT 1")
    damage(database, "DELETE FROM tensors WHERE digest = :digest", digest=tensor)
    assert any(f"tensor {tensor.hex()} is missing" in line for line in check(database))
    damage(database, "DELETE FROM manifests WHERE digest = :digest", digest=bytes.fromhex(manifest))
    assert any(f"manifest {manifest} is missing: artifact 'mine'" in line for line in check(database))


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("UPDATE tensors SET shape = '[30, 10]'", "tensor"),
        ("UPDATE tensors SET shape = '['", "tensor"),
        ("UPDATE tensors SET dtype = 'int8'", "tensor"),
        ("UPDATE tensors SET dtype = 'int9'", "tensor"),
        ("UPDATE tensors SET byte_count = 299", "tensor"),
        ("UPDATE tensors SET chunk_bytes = 65", "tensor"),
        ("DELETE FROM tensor_chunks WHERE position = 1", "tensor"),
        ("UPDATE tensor_chunks SET position = 9 WHERE position = 4", "tensor"),
        ("UPDATE manifest_tensors SET name = 'x' WHERE position = 0", "manifest"),
        ("DELETE FROM manifest_tensors", "manifest"),
        ("UPDATE chunks SET size = 65", "chunk"),
    ],
)
def test_whatever_else_is_changed_is_named(database, store, statement, kind):
    keep(database, store, "mine", tensors=1)
    damage(database, statement)
    lines = check(database)
    assert lines
    assert any(line.startswith(kind) for line in lines)


def edited(store: TensorStore, manifest: str, *places: int) -> str:
    """The manifest with a byte of `t0` changed at each place, one edit after the other."""
    for place in places:
        patch = store.open_patch(store.manifest(manifest)["t0"])
        patch.fetch([(place, place + 1)])
        patch.buffer[place] ^= 255
        manifest = store.derive(manifest, [(["t0"], patch)])
    return manifest


def test_damage_in_a_tensor_that_keeps_only_what_differs_is_named(database, store):
    size = 100 * CHUNK
    manifest = keep(database, store, "whole", tensors=1, size=size)
    changed = edited(store, manifest, 10 * CHUNK)
    with database.transaction() as connection:
        artifacts.save(connection, NewArtifact("default", "edited", "dict", changed, 1, size))
    assert check(database) == []

    def hurt(tensor: str, position: int) -> str:
        values = {"tensor": bytes.fromhex(tensor), "position": position}
        with database.reading() as connection:
            statement = "SELECT chunk FROM tensor_chunks WHERE tensor = :tensor AND position = :position"
            chunk = bytes(connection.execute(sa.text(statement), values).scalar_one())
            data = bytes(
                connection.execute(sa.text("SELECT data FROM chunks WHERE digest = :c"), {"c": chunk}).scalar_one()
            )
        update = "UPDATE chunks SET data = :data WHERE digest = :digest"
        damage(database, update, data=bytes([data[0] ^ 1]) + data[1:], digest=chunk)
        [line] = check(database)
        damage(database, update, data=data, digest=chunk)
        return line

    whole, overlay = store.manifest(manifest)["t0"].digest, store.manifest(changed)["t0"].digest
    line = hurt(whole, 5)
    assert "artifact 'whole'" in line
    assert "artifact 'edited'" in line
    assert "artifact 'edited'" not in hurt(whole, 10)
    assert "artifact 'whole'" not in hurt(overlay, 10)
    damage(database, "DELETE FROM tensor_chunks WHERE tensor = :tensor", tensor=bytes.fromhex(overlay))
    [line] = check(database)
    assert line.startswith(f"tensor {overlay}: ")
    damage(database, "DELETE FROM tensors WHERE digest = :tensor", tensor=bytes.fromhex(whole))
    assert any(f"tensor {whole} is missing: tensor {overlay} has chunks of it" in line for line in check(database))


def test_an_edit_that_is_taken_back_leaves_nothing_behind_for_ever(database, store):
    manifest = keep(database, store, "a", tensors=1, size=100 * CHUNK)
    assert edited(store, manifest, 70, 70) == manifest
    assert edited(store, manifest, 70, 3000, 3000, 70) == manifest
    assert check(database) == []
    with database.transaction() as connection:
        artifacts.delete(connection, "default", "a")
    collect(database, timedelta(0))
    with database.reading() as connection:
        assert connection.execute(sa.text("SELECT COUNT(*) FROM tensors")).scalar_one() == 0
        assert connection.execute(sa.text("SELECT COUNT(*) FROM chunks")).scalar_one() == 0


def test_a_sample_finds_much_damage_with_few_looks(database, store):
    keep(database, store, "mine", tensors=40, size=CHUNK)
    damage(database, "UPDATE chunks SET data = data || data")
    verifier = Verifier(database, sample=7)
    assert len([line for line in verifier.run() if line.startswith("chunk ")]) == 7
    assert verifier.checked.done["chunks"] == 7


def test_bytes_flipped_in_the_database_file_itself_are_named(sqlite_files, tmp_path):
    url = sqlite_files.fresh()
    database = Database(url)
    store = TensorStore(database)
    keep(database, store, "mine", tensors=3, size=400_000)
    database.close()
    path = url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        data = bytes(connection.execute("SELECT data FROM chunks").fetchone()[0])
    connection.close()
    content = bytearray(Path(path).read_bytes())
    place = content.index(data[10_000:10_100])
    content[place + 50] ^= 4
    Path(path).write_bytes(content)
    damaged = Database(url)
    lines = check(damaged)
    assert len(lines) == 1
    assert "bytes are not as stored; used by artifact 'mine'" in lines[0]
    damaged.close()


def test_what_a_job_misses_is_named_with_the_job(database, store):
    manifest = store.put([("bytes", TensorBytes("uint8", (100,), memoryview(os.urandom(100))))])
    with database.transaction() as connection:
        number = jobs.insert(connection, NewJob("main", "forward", b"", manifests={"body": manifest})).number
    assert check(database) == []
    chunk = one(database, "SELECT digest FROM chunks LIMIT 1")
    damage(database, "DELETE FROM chunks WHERE digest = :digest", digest=chunk)
    assert any(line == f"chunk {chunk.hex()} is missing; used by job {number} (bytes)" for line in check(database))
    damage(database, "DELETE FROM manifests WHERE digest = :digest", digest=bytes.fromhex(manifest))
    assert f"manifest {manifest} is missing: job {number} needs it as 'body'" in check(database)
    damage(database, "DELETE FROM jobs")
    assert f"job {number} is missing: event 1 is one of its own" in check(database)
