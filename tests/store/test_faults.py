"""The store under concurrent writers and sudden death."""

import multiprocessing
import random
import time

import pytest
import sqlalchemy as sa

from app.db import tables
from app.db.engine import Database
from app.store.store import TensorStore
from app.store.tensors import TensorBytes

_SPAWN = multiprocessing.get_context("spawn")


def _tensors(seed: int, count: int = 150) -> list[tuple[str, TensorBytes]]:
    source = random.Random(seed)
    return [(f"t{i}", TensorBytes("uint8", (3000,), memoryview(source.randbytes(3000)))) for i in range(count)]


def _put_often(url: str, seeds: list[int]) -> None:
    database = Database(url)
    store = TensorStore(database, chunk_bytes=1000)
    for seed in seeds:
        store.put(_tensors(seed))
    database.close()


def _dangling(database: Database) -> int:
    """How many tensors lack some of their chunks, found without trusting foreign keys."""
    t, c = tables.tensors, tables.tensor_chunks
    held = sa.select(sa.func.count()).select_from(c.join(tables.chunks)).where(c.c.tensor == t.c.digest)
    needed = (t.c.byte_count + t.c.chunk_bytes - 1) // t.c.chunk_bytes
    with database.reading() as connection:
        query = sa.select(sa.func.count()).where(held.scalar_subquery() != needed)
        return connection.execute(query).scalar_one()


def test_two_processes_may_put_the_same_tensors_at_once(database: Database):
    seeds = list(range(4))
    processes = [_SPAWN.Process(target=_put_often, args=(database.url, seeds[:: 1 - 2 * (n % 2)])) for n in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    store = TensorStore(database, chunk_bytes=1000)
    for seed in seeds:
        named = store.manifest(store.put(_tensors(seed)))
        read = dict(store.read_many(named.values()))
        assert all(read[named[name].digest].data == tensor.data for name, tensor in _tensors(seed))
    assert _dangling(database) == 0


@pytest.mark.parametrize("delay_seconds", [0.0, 0.03, 0.08])
def test_a_writer_that_is_killed_leaves_nothing_dangling(database: Database, delay_seconds: float):
    process = _SPAWN.Process(target=_put_often, args=(database.url, list(range(1000))))
    process.start()
    give_up = time.monotonic() + 30
    while not _count_manifests(database) and time.monotonic() < give_up:
        time.sleep(0.005)
    time.sleep(delay_seconds)
    process.kill()
    process.join(30)
    assert process.exitcode == -9
    assert _dangling(database) == 0
    store = TensorStore(database, chunk_bytes=1000)
    with database.reading() as connection:
        manifests = connection.execute(sa.select(tables.manifests.c.digest)).scalars().all()
    assert manifests
    for digest in manifests:
        assert len(list(store.read_many(store.manifest(digest).values()))) == 150
    store.put(_tensors(5000))


def _count_manifests(database: Database) -> int:
    with database.reading() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(tables.manifests)).scalar_one()
