"""Networks in both databases: writes that meet each other, and workspaces that do not see each other."""

import asyncio
from dataclasses import replace

import pytest

from app.db import networks
from app.db.engine import Database
from app.db.heads import HeadReader
from app.errors import Conflict, NotFound, Stale
from app.messages import BuildNetwork, Built
from app.services.idempotency import Answer
from app.services.lab import Lab
from app.services.networks import (
    NetworkRequest,
    change_network,
    change_row,
    create_network,
    delete_network,
    find_network,
    list_networks,
)
from app.services.references import find_reference
from app.settings import Settings
from app.store.store import TensorStore
from tests.api.fake_pool import FakePool


@pytest.fixture
def lab(database: Database):
    manifest = TensorStore(database).put([])
    built = Built(resolved=b'"Linear(1, 1)"', manifest=manifest, parameter_count=2, parameter_bytes=8, inputs=["input"])
    heads = HeadReader(database)
    yield Lab(settings=Settings(), database=database, heads=heads, pool=FakePool({BuildNetwork: built}))
    heads.close()


async def create(lab: Lab, name: str) -> None:
    request = NetworkRequest("Linear(1, 1)", name, 1, None, "float32", {})
    await create_network(lab, request, None, lambda row: Answer(201, [], row.name.encode()))


def test_of_two_that_want_one_name_at_once_one_gets_it(lab):
    async def scene() -> None:
        done = await asyncio.gather(*(create(lab, "same") for _ in range(4)), return_exceptions=True)
        assert sum(result is None for result in done) == 1
        assert all(isinstance(result, Conflict) and result.code == "name-taken" for result in done if result)

    asyncio.run(scene())


def test_a_change_meant_for_a_network_is_not_made_to_another_that_took_its_name(lab):
    async def scene() -> None:
        await create(lab, "net")
        meant = (await find_network(lab, "net")).id
        await delete_network(lab, "net", None)
        await create(lab, "net")
        for if_match, error, code in ((None, Conflict, "conflict"), (frozenset({"1"}), Stale, "stale-revision")):
            with pytest.raises(error) as refused:
                change_row(lab, "net", {"labels": {"a": "b"}}, if_match, network_id=meant)
            assert refused.value.code == code
        assert (await find_network(lab, "net")).labels == {}

    asyncio.run(scene())


def test_a_workspace_does_not_see_anothers_networks(lab):
    async def scene() -> None:
        other = replace(lab, workspace="other")
        await create(lab, "mine")
        with pytest.raises(NotFound):
            await find_network(other, "mine")
        with pytest.raises(NotFound):
            await find_reference(other, "mine")
        with pytest.raises(NotFound):
            await delete_network(other, "mine", None)
        assert await list_networks(other, after=None, limit=10) == []
        await create(other, "mine")
        await delete_network(other, "mine", None)
        assert (await find_network(lab, "mine")).name == "mine"

    asyncio.run(scene())


def test_a_reference_follows_every_commit(lab):
    async def scene() -> None:
        await create(lab, "moving")
        assert (await find_reference(lab, "moving")).device == "cpu:0"
        with lab.database.transaction() as connection:
            networks.update(connection, "default", "moving", device="cpu:7")
        assert (await find_reference(lab, "moving")).device == "cpu:7"
        await delete_network(lab, "moving", None)
        with pytest.raises(NotFound):
            await find_reference(lab, "moving")

    asyncio.run(scene())


def test_a_rename_to_a_taken_name_leaves_both_as_they_were(lab):
    async def scene() -> None:
        await create(lab, "one")
        await create(lab, "two")
        with pytest.raises(Conflict):
            await change_network(lab, "one", new_name="two", labels={"a": "b"}, if_match=None)
        assert (await find_network(lab, "one")).labels == {}
        with pytest.raises(Stale):
            await change_network(lab, "one", new_name=None, labels={"a": "b"}, if_match=frozenset({"9"}))

    asyncio.run(scene())


def test_names_that_nothing_can_have_never_reach_the_database(lab):
    async def scene() -> None:
        for name in ("\0", "\ud800", "a\0b", "x" * 100_000):
            with pytest.raises(NotFound):
                await find_network(lab, name)
            with pytest.raises(NotFound):
                await find_reference(lab, name)
            with pytest.raises(NotFound):
                await delete_network(lab, name, None)

    asyncio.run(scene())
