"""Creating once: two requests, several replicas, one answer. On both databases."""

import asyncio

import pytest

from app.db import blocks
from app.db.engine import Connection, Database
from app.db.heads import HeadReader
from app.errors import Conflict, Unprocessable
from app.services.idempotency import Answer, Retry, answer_once
from app.services.lab import Lab
from app.settings import Settings
from tests.api.fake_pool import FakePool


@pytest.fixture
def lab(database: Database):
    heads = HeadReader(database)
    yield Lab(settings=Settings(), database=database, heads=heads, pool=FakePool({}))
    heads.close()


def creating(name: str, body: bytes, *, wait: asyncio.Event | None = None):
    """Steps that make a block: if they ran twice, the second would meet a taken name."""

    async def prepare():
        if wait is not None:
            await wait.wait()

        def write(connection: Connection) -> Answer:
            blocks.insert(connection, "default", name, b"{}", [])
            return Answer(201, [["location", f"/v1/blocks/{name}"]], body)

        return write

    return prepare


def test_the_second_request_is_given_the_first_answer(lab):
    async def scene() -> None:
        retry = Retry("key", "digest")
        first = await answer_once(lab, retry, creating("A", b"first"))
        second = await answer_once(lab, retry, creating("A", b"second"))
        assert first == second == Answer(201, [["location", "/v1/blocks/A"]], b"first")
        assert not lab.in_flight

    asyncio.run(scene())


def test_a_request_on_another_replica_that_ended_first_gives_its_answer(lab):
    """The second replica looked for an answer before the first one wrote it, and prepared in vain."""
    other = Lab(settings=lab.settings, database=lab.database, heads=lab.heads, pool=lab.pool)

    async def scene(name: str, other_name: str) -> None:
        retry, gate = Retry(f"key-{other_name}", "digest"), asyncio.Event()
        late = asyncio.create_task(answer_once(lab, retry, creating(name, b"late", wait=gate)))
        await asyncio.sleep(0.3)
        early = await answer_once(other, retry, creating(other_name, b"early"))
        gate.set()
        assert await late == early

    asyncio.run(scene("Same", "Same"))  # the name is taken first
    asyncio.run(scene("Late", "Early"))  # only the key is taken
    with lab.database.reading() as connection:
        assert blocks.find(connection, "default", "Late") is None


def test_a_key_that_another_request_has_is_refused(lab):
    async def scene() -> None:
        await answer_once(lab, Retry("key", "digest"), creating("A", b"x"))
        with pytest.raises(Unprocessable) as caught:
            await answer_once(lab, Retry("key", "other"), creating("B", b"x"))
        assert caught.value.code == "idempotency-key-reused"

    asyncio.run(scene())


def test_a_failure_keeps_nothing_and_frees_the_key(lab):
    async def scene() -> None:
        await answer_once(lab, None, creating("Taken", b"x"))
        with pytest.raises(Conflict):
            await answer_once(lab, Retry("key", "digest"), creating("Taken", b"x"))
        assert (await answer_once(lab, Retry("key", "other"), creating("Free", b"y"))).body == b"y"
        assert not lab.in_flight

    asyncio.run(scene())
