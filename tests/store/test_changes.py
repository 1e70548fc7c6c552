"""Tensors made from others: what changed is written, what did not is shared, and nothing else is read."""

import os
import random
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app.db import networks, revisions, tables
from app.db.engine import Database
from app.db.migrations import downgrade, migrate
from app.errors import Damaged, NotFound
from app.store import chunks, manifests
from app.store.collect import collect
from app.store.store import TensorStore
from app.store.tensors import StoredTensor, TensorBytes
from app.store.verify import Verifier
from tests.db.rows import new_network


@pytest.fixture
def store(database: Database) -> TensorStore:
    return TensorStore(database, chunk_bytes=64)


def put(store: TensorStore, **tensors: bytes) -> tuple[str, dict[str, StoredTensor]]:
    manifest = store.put((name, TensorBytes("uint8", (len(data),), memoryview(data))) for name, data in tensors.items())
    return manifest, store.manifest(manifest)


def read(store: TensorStore, stored: StoredTensor) -> bytes:
    buffer = bytearray(stored.byte_count)
    store.read_into(stored.digest, memoryview(buffer))
    return bytes(buffer)


def count(database: Database, table: sa.Table) -> int:
    with database.reading() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def test_a_patch_changes_its_bytes_and_keeps_all_others(store: TensorStore, database: Database):
    before = os.urandom(1000)
    manifest, named = put(store, a=before, b=b"other")
    chunk_count = count(database, tables.chunks)
    patch = store.open_patch(named["a"])
    patch.fetch([(130, 131)])
    patch.buffer[130] ^= 255
    derived = store.derive(manifest, [(["a"], patch)])
    expected = before[:130] + bytes([before[130] ^ 255]) + before[131:]
    after = store.manifest(derived)
    assert read(store, after["a"]) == expected
    assert after["b"] == named["b"]
    assert list(after) == ["a", "b"]
    assert read(store, named["a"]) == before
    assert count(database, tables.chunks) == chunk_count + 1
    assert derived == put(store, a=expected, b=b"other")[0]


def test_a_patch_reads_the_chunks_it_fetches_and_no_others(store: TensorStore, monkeypatch: pytest.MonkeyPatch):
    _, named = put(store, a=os.urandom(1000))
    read_positions: list[int] = []
    original = chunks.read_of_range

    def watched(connection, tensor, first, stop):
        for row in original(connection, tensor, first, stop):
            read_positions.append(row[1])
            yield row

    monkeypatch.setattr(chunks, "read_of_range", watched)
    patch = store.open_patch(named["a"])
    patch.fetch([(0, 1), (63, 65), (640, 641), (990, 1000)])
    patch.fetch([(5, 70)])
    assert read_positions == [0, 1, 10, 15]


def test_names_that_share_a_tensor_are_changed_together(store: TensorStore):
    manifest, named = put(store, a=b"x" * 100, b=b"y" * 100, c=b"x" * 100)
    patch = store.open_patch(named["a"])
    patch.fetch([(0, 100)])
    patch.buffer[:3] = b"new"
    after = store.manifest(store.derive(manifest, [(["a", "c"], patch)]))
    assert after["a"] == after["c"]
    assert read(store, after["a"]) == b"new" + b"x" * 97
    assert after["b"] == named["b"]


def test_whole_tensors_replace_others_with_other_shapes_too(store: TensorStore):
    manifest, named = put(store, a=b"x" * 100, b=b"y" * 100)
    new = TensorBytes("int16", (2, 3), memoryview(b"abcdefghijkl"))
    after = store.manifest(store.derive(manifest, [(["b"], new)]))
    assert (after["b"].dtype, after["b"].shape) == ("int16", (2, 3))
    assert read(store, after["b"]) == b"abcdefghijkl"
    assert after["a"] == named["a"]


def test_a_patch_that_changes_nothing_gives_the_same_manifest(store: TensorStore):
    manifest, named = put(store, a=os.urandom(300), empty=b"")
    patch = store.open_patch(named["a"])
    patch.fetch([(0, 300)])
    nothing = store.open_patch(named["empty"])
    nothing.fetch([])
    assert store.derive(manifest, [(["a"], patch), (["empty"], nothing)]) == manifest


def test_deriving_from_what_is_not_there_says_so(store: TensorStore):
    manifest, _ = put(store, a=b"x")
    with pytest.raises(NotFound):
        store.derive("00" * 32, [])
    with pytest.raises(KeyError):
        store.derive(manifest, [(["b"], TensorBytes("uint8", (1,), memoryview(b"y")))])
    with pytest.raises(Damaged):
        store.open_patch(StoredTensor("00" * 32, "uint8", (1,), 1))


def test_what_differs_between_two_tensors_is_known_chunk_by_chunk(store: TensorStore):
    before = os.urandom(1000)
    after = bytearray(before)
    after[64] ^= 1
    after[999] ^= 1
    _, old = put(store, a=before, b=before[:10])
    _, new = put(store, a=bytes(after), b=before[:11])
    assert store.changed_ranges(old["a"], new["a"]) == [(64, 128), (960, 1000)]
    assert store.changed_ranges(old["a"], old["a"]) == []
    assert store.changed_ranges(old["b"], new["b"]) == [(0, 11)]
    buffer = bytearray(before)
    store.read_change_into(old["a"], new["a"], memoryview(buffer))
    assert buffer == after


@pytest.mark.parametrize("damage", ["flip", "lose"])
def test_damage_is_met_when_a_patch_reads_it(store: TensorStore, database: Database, damage: str):
    data = os.urandom(1000)
    _, named = put(store, a=data)
    with database.transaction() as connection:
        if damage == "flip":
            first = sa.select(tables.tensor_chunks.c.chunk).where(tables.tensor_chunks.c.position == 3)
            connection.execute(
                sa.update(tables.chunks).where(tables.chunks.c.digest == first.scalar_subquery()).values(data=b"z" * 64)
            )
        else:
            connection.execute(sa.delete(tables.tensor_chunks).where(tables.tensor_chunks.c.position == 3))
    patch = store.open_patch(named["a"])
    patch.fetch([(0, 10)])
    with pytest.raises(Damaged):
        patch.fetch([(200, 201)])


# --- large tensors keep only what differs from one that is stored in full ---


@pytest.fixture
def overlays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "OVERLAY_FROM_CHUNKS", 16)


def own_chunks(database: Database, stored: StoredTensor) -> int:
    table = tables.tensor_chunks
    with database.reading() as connection:
        query = sa.select(sa.func.count()).select_from(table).where(table.c.tensor == stored.digest)
        return connection.execute(query).scalar_one()


def change(store: TensorStore, manifest: str, places: list[int], source: random.Random) -> tuple[str, bytes]:
    stored = store.manifest(manifest)["a"]
    patch = store.open_patch(stored)
    for place in places:
        patch.fetch([(place, place + 1)])
        patch.buffer[place] = source.randrange(256)
    content = bytearray(read(store, stored))
    for place in places:
        content[place] = patch.buffer[place]
    return store.derive(manifest, [(["a"], patch)]), bytes(content)


@pytest.mark.usefixtures("overlays")
def test_a_small_change_of_a_large_tensor_writes_a_few_rows(store: TensorStore, database: Database):
    source = random.Random(1)
    manifest, named = put(store, a=source.randbytes(64 * 40))
    first, _ = change(store, manifest, [0], source)
    second, content = change(store, first, [64 * 30], source)
    after = store.manifest(second)["a"]
    assert own_chunks(database, named["a"]) == 40
    assert own_chunks(database, store.manifest(first)["a"]) == 1
    assert own_chunks(database, after) == 2
    assert read(store, after) == content
    assert store.read_range(after.digest, 60, 64 * 31) == content[60 : 64 * 31]
    assert put(store, a=content)[0] == second
    many, content = change(store, second, list(range(0, 64 * 40, 64 * 4)), source)
    assert own_chunks(database, store.manifest(many)["a"]) == 40
    assert read(store, store.manifest(many)["a"]) == content


@pytest.mark.usefixtures("overlays")
@pytest.mark.parametrize("seed", range(3))
def test_any_row_of_changes_reads_as_it_was_made(store: TensorStore, database: Database, seed: int):
    source = random.Random(seed)
    manifest, _ = put(store, a=source.randbytes(64 * 40 + 7))
    made = []
    for _ in range(12):
        places = [source.randrange(64 * 40 + 7) for _ in range(source.choice([1, 1, 2, 9]))]
        manifest, content = change(store, manifest, places, source)
        made.append((manifest, content))
    for manifest, content in made:
        stored = store.manifest(manifest)["a"]
        assert read(store, stored) == content
        ((_, whole),) = store.read_many([stored])
        assert whole.data == content
    (old, before), (new, after) = made[3], made[9]
    ranges = store.changed_ranges(store.manifest(old)["a"], store.manifest(new)["a"])
    differing = {place // 64 for place in range(len(before)) if before[place] != after[place]}
    assert [start // 64 for start, _ in ranges] == sorted(differing)
    assert list(Verifier(database).run()) == []


@pytest.mark.usefixtures("overlays")
def test_a_base_stays_while_something_is_made_from_it(store: TensorStore, database: Database):
    source = random.Random(3)
    manifest, named = put(store, a=source.randbytes(64 * 40))
    derived, content = change(store, manifest, [5], source)
    with database.transaction() as connection:
        row = networks.insert(connection, new_network())
        revisions.insert(connection, revisions.NewRevision(row.id, 1, derived, "edit"))
    collect(database, timedelta(0))
    assert read(store, store.manifest(derived)["a"]) == content
    assert read(store, named["a"])
    with database.transaction() as connection:
        networks.delete(connection, "main", "net")
    collect(database, timedelta(0))
    assert count(database, tables.tensors) == count(database, tables.chunks) == 0


@pytest.mark.usefixtures("overlays")
def test_going_back_to_the_format_before_writes_tensors_in_full(store: TensorStore, database: Database):
    source = random.Random(4)
    manifest, _ = put(store, a=source.randbytes(64 * 40))
    derived, content = change(store, manifest, [5], source)
    stored = store.manifest(derived)["a"]
    downgrade(database.url, "0003")
    assert own_chunks(database, stored) == 40
    migrate(database.url)
    assert read(store, stored) == content
