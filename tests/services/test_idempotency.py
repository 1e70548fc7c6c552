"""Creating once: two requests, several replicas, one answer. On both databases."""

import asyncio
import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app.db import blocks
from app.db.clock import read_clock
from app.db.engine import Connection, Database
from app.db.heads import HeadReader
from app.db.tables import idempotency as kept
from app.errors import Conflict, Unavailable, Unprocessable
from app.services import idempotency
from app.services.idempotency import KEPT, Answer, Retry, answer_once, forget_old_answers, keep_forgetting
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


def keep(database: Database, key: str, age: timedelta) -> None:
    with database.transaction() as connection:
        connection.execute(
            sa.insert(kept).values(
                workspace="default",
                key=key,
                request_digest="d",
                status=201,
                headers=[],
                body=b"",
                created_at=read_clock(connection) - age,
            )
        )


def keys(database: Database) -> set[str]:
    with database.reading() as connection:
        return set(connection.execute(sa.select(kept.c.key)).scalars())


def test_old_answers_are_forgotten_a_few_at_a_time(database, monkeypatch):
    monkeypatch.setattr(idempotency, "FORGOTTEN_AT_ONCE", 2)
    for number in range(5):
        keep(database, f"old{number}", KEPT + timedelta(hours=1))
    keep(database, "young", KEPT - timedelta(hours=1))
    assert forget_old_answers(database) == 5
    assert keys(database) == {"young"}


def test_old_answers_go_while_the_service_runs_also_after_the_database_was_away(database):
    looked_thrice = threading.Event()

    class Away:
        """The database, away at the first look."""

        def __init__(self) -> None:
            self.looks = 0

        def transaction(self):
            self.looks += 1
            if self.looks == 1:
                raise Unavailable("away")
            if self.looks == 3:
                looked_thrice.set()
            return database.transaction()

    async def scene() -> None:
        keep(database, "old", KEPT + timedelta(hours=1))
        forgetting = asyncio.create_task(keep_forgetting(Away(), every_seconds=0.01))
        assert await asyncio.to_thread(looked_thrice.wait, 30)
        forgetting.cancel()
        assert keys(database) == set()

    asyncio.run(scene())
