"""The store: what is put is what is read, each content once, and damage is named."""

import os
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.db import tables
from app.db.engine import Database
from app.errors import Damaged, NotFound
from app.store import store as store_module
from app.store.store import TensorStore
from app.store.tensors import StoredTensor, TensorBytes, byte_count
from app.tensors.dtypes import DTYPES


@pytest.fixture
def store(database: Database) -> TensorStore:
    return TensorStore(database, chunk_bytes=64)


def _random(dtype: str, *shape: int) -> TensorBytes:
    return TensorBytes(dtype, shape, memoryview(os.urandom(byte_count(dtype, shape))))


def _count(database: Database, table: sa.Table) -> int:
    with database.reading() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def _read(store: TensorStore, manifest: str) -> dict[str, TensorBytes]:
    named = store.manifest(manifest)
    read = dict(store.read_many(named.values()))
    return {name: read[stored.digest] for name, stored in named.items()}


def _same(left: dict[str, TensorBytes], right: dict[str, TensorBytes]) -> bool:
    def plain(tensors: dict[str, TensorBytes]) -> list[tuple[str, str, tuple[int, ...], bytes]]:
        return [(name, t.dtype, t.shape, bytes(t.data)) for name, t in tensors.items()]

    return plain(left) == plain(right)


def test_every_dtype_comes_back_byte_for_byte_in_the_order_put(store: TensorStore):
    tensors = {f"z.{name}": _random(name, 3, 5) for name in reversed(DTYPES)}
    assert _same(_read(store, store.put(tensors.items())), tensors)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (16,), (17,), (15,), (4, 4, 4), (1000,)])
def test_scalars_empty_tensors_and_chunk_boundaries_come_back(store: TensorStore, shape: tuple[int, ...]):
    tensors = {"a": _random("float32", *shape), "b": _random("int8", 2)}
    manifest = store.put(tensors.items())
    assert _same(_read(store, manifest), tensors)
    stored = store.manifest(manifest)["a"]
    buffer = bytearray(stored.byte_count)
    store.read_into(stored.digest, memoryview(buffer))
    assert bytes(buffer) == tensors["a"].data


def test_nothing_at_all_can_be_put(store: TensorStore):
    assert store.manifest(store.put([])) == {}


def test_putting_again_changes_nothing_and_gives_the_same_digest(store: TensorStore, database: Database):
    tensors = {"a": _random("float32", 100), "b": _random("int64", 7)}
    first = store.put(tensors.items())
    counts = [_count(database, table) for table in tables.metadata.sorted_tables]
    assert store.put(tensors.items()) == first
    assert [_count(database, table) for table in tables.metadata.sorted_tables] == counts


def test_putting_again_marks_chunks_as_seen_now(store: TensorStore, database: Database):
    tensors = [("a", _random("float32", 100))]
    store.put(tensors)
    with database.reading() as connection:
        before = connection.execute(sa.select(sa.func.min(tables.chunks.c.last_seen))).scalar_one()
    store.put(tensors)
    with database.reading() as connection:
        assert connection.execute(sa.select(sa.func.min(tables.chunks.c.last_seen))).scalar_one() > before


def test_equal_tensors_and_equal_chunks_are_stored_once(store: TensorStore, database: Database):
    zeros = TensorBytes("float32", (160,), memoryview(bytes(640)))
    store.put([("a", zeros), ("b", zeros), ("c", TensorBytes("float32", (16, 10), zeros.data))])
    assert _count(database, tables.chunks) == 1
    assert _count(database, tables.tensors) == 2  # one content, two shapes


def test_name_order_dtype_and_shape_all_tell_manifests_apart(store: TensorStore):
    four, other = memoryview(b"abcd"), memoryview(b"efgh")
    a, b = TensorBytes("int8", (4,), four), TensorBytes("int8", (4,), other)
    manifests = [
        store.put([("x", a), ("y", b)]),
        store.put([("y", b), ("x", a)]),
        store.put([("x", b), ("y", a)]),
        store.put([("x", a)]),
        store.put([("x", TensorBytes("uint8", (4,), four))]),
        store.put([("x", TensorBytes("int8", (2, 2), four))]),
        store.put([("x", TensorBytes("float32", (), four))]),
    ]
    assert len(set(manifests)) == len(manifests)


def test_a_name_given_twice_is_refused(store: TensorStore):
    with pytest.raises(ValueError, match="'a'"):
        store.put([("a", _random("int8", 1)), ("a", _random("int8", 1))])


def test_bytes_that_do_not_fit_the_shape_are_refused():
    with pytest.raises(ValueError, match="8 bytes"):
        TensorBytes("float32", (2,), memoryview(b"123"))


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (0, 1), (63, 65), (64, 128), (0, 400), (399, 400), (100, 300)])
def test_a_range_reads_the_bytes_it_names(store: TensorStore, start: int, stop: int):
    tensor = _random("float32", 100)
    stored = store.manifest(store.put([("a", tensor)]))["a"]
    assert store.read_range(stored.digest, start, stop) == bytes(tensor.data[start:stop])


def test_a_range_outside_the_tensor_is_refused(store: TensorStore):
    stored = store.manifest(store.put([("a", _random("float32", 100))]))["a"]
    for start, stop in ((0, 401), (-1, 3), (5, 4)):
        with pytest.raises(ValueError, match="400"):
            store.read_range(stored.digest, start, stop)


def test_a_range_reads_only_the_chunks_it_touches(store: TensorStore, database: Database):
    tensor = _random("float32", 100)
    stored = store.manifest(store.put([("a", tensor)]))["a"]
    _spoil_chunk(database, stored, position=5)
    assert store.read_range(stored.digest, 0, 320) == bytes(tensor.data[:320])
    with pytest.raises(Damaged):
        store.read_range(stored.digest, 0, 321)


def test_tensors_put_with_chunks_of_another_size_are_read(database: Database):
    tensors = {"a": _random("float32", 1000), "b": _random("float32", 3)}
    manifest = TensorStore(database, chunk_bytes=100).put(tensors.items())
    assert _same(_read(TensorStore(database), manifest), tensors)


def test_large_and_small_tensors_are_read_in_parts(store: TensorStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store_module, "READ_BYTES", 200)
    monkeypatch.setattr(store_module, "TRANSACTION_BYTES", 300)
    tensors = {f"t{size}": _random("int8", size) for size in (1, 500, 64, 0, 199, 200, 201, 1000, 3)}
    tensors["again"] = tensors["t500"]
    assert _same(_read(store, store.put(tensors.items())), tensors)


def test_a_network_of_a_thousand_layers_is_read_with_few_queries(database: Database):
    store = TensorStore(database)
    tensors = {f"l{number}": _random("float32", 8, 4) for number in range(2000)}
    named = store.manifest(store.put(tensors.items()))
    queries = 0
    real = store_module.chunks.fetch_where_in

    def counting(*arguments: object) -> Iterator[object]:
        nonlocal queries
        queries += 1
        return real(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module.chunks, "fetch_where_in", counting)
        read = dict(store.read_many(named.values()))
    assert queries == 1
    assert all(bytes(read[named[name].digest].data) == tensor.data for name, tensor in tensors.items())


def test_an_unknown_manifest_is_not_found_and_an_unknown_tensor_damage(store: TensorStore):
    with pytest.raises(NotFound, match="00ff"):
        store.manifest("00ff" * 16)
    with pytest.raises(Damaged, match="00ff"):
        store.read_into("00ff" * 16, memoryview(bytearray(4)))


def _spoil_chunk(database: Database, stored: StoredTensor, position: int) -> str:
    parts, chunks = tables.tensor_chunks, tables.chunks
    with database.transaction() as connection:
        chunk = connection.execute(
            sa.select(parts.c.chunk).where(parts.c.tensor == stored.digest, parts.c.position == position)
        ).scalar_one()
        where = chunks.c.digest == chunk
        data = bytearray(connection.execute(sa.select(chunks.c.data).where(where)).scalar_one())
        data[3] ^= 4
        connection.execute(sa.update(chunks).where(where).values(data=bytes(data)))
    return chunk


def test_a_flipped_bit_is_damage_that_names_the_chunk_and_the_tensor(store: TensorStore, database: Database):
    stored = store.manifest(store.put([("a", _random("float32", 100)), ("b", _random("int8", 9))]))
    chunk = _spoil_chunk(database, stored["a"], position=2)
    with pytest.raises(Damaged) as caught:
        store.read_into(stored["a"].digest, memoryview(bytearray(400)))
    assert chunk in caught.value.detail
    assert stored["a"].digest in caught.value.detail
    store.read_into(stored["b"].digest, memoryview(bytearray(9)))


@pytest.mark.parametrize(
    "harm",
    [
        sa.update(tables.tensors).values(dtype="int32"),
        sa.update(tables.tensors).values(shape=[4, 25]),
        sa.delete(tables.tensor_chunks).where(tables.tensor_chunks.c.position == 6),
        sa.delete(tables.tensor_chunks),
    ],
)
def test_changed_rows_are_damage(store: TensorStore, database: Database, harm: sa.UpdateBase):
    stored = store.manifest(store.put([("a", _random("float32", 100))]))["a"]
    with database.transaction() as connection:
        connection.execute(harm)
    with pytest.raises(Damaged, match=stored.digest):
        store.read_into(stored.digest, memoryview(bytearray(400)))


def test_a_changed_manifest_is_damage(store: TensorStore, database: Database):
    manifest = store.put([("a", _random("int8", 1)), ("b", _random("int8", 2))])
    with database.transaction() as connection:
        connection.execute(
            sa.update(tables.manifest_tensors).where(tables.manifest_tensors.c.position == 1).values(name="c")
        )
    with pytest.raises(Damaged, match=manifest):
        store.manifest(manifest)


names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=8)
shapes = st.lists(st.integers(0, 9), max_size=4).map(tuple)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(names, st.tuples(st.sampled_from(sorted(DTYPES)), shapes), max_size=6), st.integers(1, 100))
def test_whatever_is_put_is_read(database: Database, wanted: dict[str, tuple[str, tuple[int, ...]]], chunk: int):
    store = TensorStore(database, chunk_bytes=chunk)
    tensors = {name: _random(dtype, *shape) for name, (dtype, shape) in wanted.items()}
    assert _same(_read(store, store.put(tensors.items())), tensors)
