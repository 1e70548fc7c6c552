"""Names that change hands while a request is at work: what it does, it does to the network that it began with."""

import asyncio

import pytest

from app.db import networks, revisions
from app.db.engine import Database
from app.db.heads import Head, HeadReader
from app.errors import Conflict, Stale
from app.messages import LoadNetwork, ProveRowWise, RowWise
from app.services.idempotency import Answer
from app.services.lab import Lab
from app.services.moving import place_network
from app.services.networks import Batching, BatchingChange, change_network
from app.services.revisions import restore_revision
from app.settings import Settings
from tests.api.fake_pool import FakePool
from tests.db.rows import MANIFEST, OTHER_MANIFEST, add_network, next_revision


@pytest.fixture
def heads(database: Database):
    reader = HeadReader(database)
    yield reader
    reader.close()


def swap(database: Database) -> None:
    """Gives the name `net` to the network that was `other`."""
    with database.transaction() as connection:
        networks.update(connection, "main", "net", name="formerly")
        networks.update(connection, "main", "other", name="net")


class SwapsNames:
    """Heads of a database in which the names change hands after some questions."""

    def __init__(self, heads: HeadReader, database: Database, after: int) -> None:
        self._heads, self._database, self._left = heads, database, after
        self.may_wait = heads.may_wait

    def find(self, workspace: str, name: str) -> Head | None:
        head = self._heads.find(workspace, name)
        self._left -= 1
        if self._left == 0:
            swap(self._database)
        return head


def lab_of(database: Database, heads: object, pool: FakePool) -> Lab:
    return Lab(settings=Settings(), database=database, heads=heads, pool=pool, workspace="main")  # type: ignore[arg-type]


def test_what_is_restored_is_the_networks_own_whoever_has_its_name_by_then(database, heads):
    with database.transaction() as connection:
        ours = add_network(connection, "net")
        revisions.advance_head(connection, ours.id, 1, next_revision(ours, 2, OTHER_MANIFEST))
        theirs = add_network(connection, "other")
        revisions.advance_head(connection, theirs.id, 1, next_revision(theirs, 2, MANIFEST))
    swapping = SwapsNames(heads, database, after=2)  # found, and found again in its turn
    render = lambda row: Answer(200, [], str(row.number).encode())  # noqa: E731
    lab = lab_of(database, swapping, FakePool({}))
    asyncio.run(restore_revision(lab, "net", 1, if_match=None, retry=None, render=render))
    with database.reading() as connection:
        restored = revisions.find(connection, ours.id, 3)
        assert restored is not None
        assert restored.manifest == MANIFEST
        assert revisions.find(connection, theirs.id, 3) is None


@pytest.mark.parametrize(("if_match", "refusal"), [(None, Conflict), (frozenset({"1"}), Stale)])
@pytest.mark.parametrize("what", ["batching", "device"])
def test_what_was_found_for_one_network_is_not_written_to_another(database, heads, what, if_match, refusal):
    with database.transaction() as connection:
        add_network(connection, "net")
        theirs = add_network(connection, "other")

    async def at_work(_: object) -> RowWise:
        swap(database)
        return RowWise()

    lab = lab_of(database, heads, FakePool({ProveRowWise: at_work, LoadNetwork: at_work}))

    async def change() -> None:
        if what == "device":
            await place_network(lab, "net", "cpu:0", fallback=False, if_match=if_match)
        else:
            wanted = BatchingChange(Batching(8, 1.0))
            await change_network(lab, "net", new_name=None, labels=None, batching=wanted, if_match=if_match)

    with pytest.raises(refusal, match="Another network was given the name"):
        asyncio.run(change())
    with database.reading() as connection:
        assert networks.find_by_id(connection, theirs.id).batch_size is None
