"""Who is let in: keys are read when they may have changed, and cost next to nothing when they have not."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from app.db.engine import Database
from app.db.heads import HeadReader
from app.db.stamps import MOMENT_SECONDS
from app.errors import Busy, Conflict, NotFound, Unauthorized, Unavailable
from app.services.access import Access
from app.services.keys import KeyRequest, draw_key, keep_key, list_keys, read_key, revoke_key
from app.services.lab import Lab
from app.settings import Settings
from tests.api.fake_pool import FakePool

READ = KeyRequest(role="read")


@pytest.fixture
def lab(database: Database) -> Iterator[Lab]:
    heads = HeadReader(database)
    yield Lab(settings=Settings(data_dir=Path("none")), database=database, heads=heads, pool=FakePool({}))
    heads.close()


@pytest.fixture
def access(lab: Lab) -> Iterator[Access]:
    made = Access(lab)
    yield made
    made.close()


def make(database: Database, request: KeyRequest = READ, **more: object) -> tuple[str, str]:
    """A new key as it is sent, and its id."""
    request = replace(request, **more)
    key, new = draw_key(request)
    return key, keep_key(database, new, request.lifetime).id


def admit(access: Access, key: str | None) -> Lab:
    return asyncio.run(access.admit(key))


def soon(database: Database) -> None:
    """Waits as long as a commit may go unseen: no time on SQLite."""
    if database.kind == "postgresql":
        time.sleep(MOMENT_SECONDS)


def test_everybody_is_let_in_until_a_key_is_made_and_nobody_without_one_afterwards(lab: Lab, access: Access):
    assert admit(access, None) is lab
    assert admit(access, "anything") is lab
    key, key_id = make(lab.database, workspace="team", name="ada")
    soon(lab.database)
    found = admit(access, key)
    assert (found.workspace, found.caller.role, found.caller.name) == ("team", "read", "ada")
    assert admit(access, key) is found
    with pytest.raises(Unauthorized):
        admit(access, None)
    revoke_key(lab.database, key_id)
    soon(lab.database)
    for text in (None, key):
        with pytest.raises(Unauthorized):
            admit(access, text)


def test_keys_that_were_not_given_out_are_refused(lab: Lab, access: Access):
    key, key_id = make(lab.database)
    other, _ = make(lab.database)
    secret = key.rpartition(f"{key_id}_")[2]
    flipped = ("B" if secret[0] == "A" else "A") + secret[1:]
    assert admit(access, key).caller.name == key_id
    for text in (
        "",
        "lab_",
        "lab__",
        f"lab_{key_id}_",
        f"lab_{key_id}_{flipped}",
        f"lab_{key_id}_{secret} ",
        key[4:],
        key.upper(),
        f"lab_{key_id}_{other[-43:]}",
        f"lab_{key_id}_é",
        "lab_000000000000_" + secret,
        "x" * 100_000,
    ):
        with pytest.raises(Unauthorized):
            admit(access, text)


def test_a_key_holds_until_it_expires(lab: Lab, access: Access):
    short, _ = make(lab.database, lifetime=timedelta(seconds=1))
    long, _ = make(lab.database, lifetime=timedelta(days=1))
    admit(access, short)
    time.sleep(1.1)
    with pytest.raises(Unauthorized, match="expired"):
        admit(access, short)
    admit(access, long)


def test_a_key_that_is_used_too_often_is_told_when_to_come_back(lab: Lab, access: Access):
    slow, _ = make(lab.database, requests_per_second=0.25)
    fast, _ = make(lab.database, requests_per_second=5)
    free, _ = make(lab.database)

    async def scene() -> None:
        await access.admit(slow)
        with pytest.raises(Busy) as caught:
            await access.admit(slow)
        assert caught.value.code == "too-many-requests"
        assert caught.value.extra["retry_after_seconds"] == 4
        for _ in range(5):
            await access.admit(fast)
        with pytest.raises(Busy):
            await access.admit(fast)
        await asyncio.sleep(0.25)
        await access.admit(fast)
        for _ in range(100):
            await access.admit(free)

    asyncio.run(scene())


def test_the_setting_limits_keys_that_do_not_say_otherwise(lab: Lab):
    settings = Settings(data_dir=Path("none"), key_requests_per_second=0.5, key_body_bytes=1000)
    access = Access(replace(lab, settings=settings))
    usual, _ = make(lab.database)
    other, _ = make(lab.database, requests_per_second=100, body_bytes=5)
    assert admit(access, usual).caller.body_bytes == 1000
    with pytest.raises(Busy):
        admit(access, usual)
    assert admit(access, other).caller.body_bytes == 5
    admit(access, other)
    access.close()


def test_what_was_used_up_is_not_given_back_when_the_keys_are_read_again(lab: Lab, access: Access):
    slow, _ = make(lab.database, requests_per_second=0.01)
    admit(access, slow)
    make(lab.database)
    soon(lab.database)
    with pytest.raises(Busy):
        admit(access, slow)


def test_many_requests_at_once_read_the_keys_once(lab: Lab, access: Access, monkeypatch: pytest.MonkeyPatch):
    key, _ = make(lab.database)
    readings = []
    real = access._read_rows
    monkeypatch.setattr(access, "_read_rows", lambda: (readings.append(1), real())[1])

    async def scene() -> None:
        found = await asyncio.gather(*(access.admit(key) for _ in range(200)))
        assert {lab.caller.role for lab in found} == {"read"}

    asyncio.run(scene())
    assert len(readings) <= 2  # a second one where the moment changed meanwhile


def test_only_one_of_many_makes_the_first_key(lab: Lab):
    make_first = [draw_key(READ)[1] for _ in range(2)]
    keep_key(lab.database, make_first[0], None, only_first=True)
    with pytest.raises(Conflict):
        keep_key(lab.database, make_first[1], None, only_first=True)
    assert [row.id for row in list_keys(lab.database)] == [make_first[0].id]


def test_a_secret_is_kept_nowhere(lab: Lab):
    key, key_id = make(lab.database)
    [row] = list_keys(lab.database)
    presented = read_key(key)
    assert presented is not None
    assert row.digest == presented.digest
    assert key.rpartition("_")[2] not in repr(row)
    assert len(key.removeprefix(f"lab_{key_id}_")) == 43


def test_revoking_twice_keeps_the_first_time_and_an_unknown_id_is_told(lab: Lab):
    _, key_id = make(lab.database)
    first = revoke_key(lab.database, key_id)
    assert revoke_key(lab.database, key_id) == first
    with pytest.raises(NotFound):
        revoke_key(lab.database, "nobody")


def test_nobody_is_let_in_while_the_database_is_away():
    database = Database("postgresql://nobody@127.0.0.1:1/none")
    access = Access(Lab(Settings(data_dir=Path("none")), database, HeadReader(database), FakePool({})))
    for _ in range(2):
        with pytest.raises(Unavailable):
            admit(access, None)
    database.close()


def test_a_known_key_costs_microseconds(sqlite_url: str):
    database = Database(sqlite_url)
    access = Access(Lab(Settings(data_dir=Path("none")), database, HeadReader(database), FakePool({})))
    key, _ = make(database)

    async def seconds_per_request() -> float:
        await access.admit(key)
        start = time.thread_time()
        for _ in range(1000):
            await access.admit(key)
        return (time.thread_time() - start) / 1000

    assert min(asyncio.run(seconds_per_request()) for _ in range(5)) < 50e-6  # 5 µs on a quiet machine
    access.close()
    database.close()
