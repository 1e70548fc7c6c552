"""Rows of networks, revisions, blocks and idempotency keys, on both databases."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from app.db import artifacts, blocks, idempotency, networks, revisions
from app.db.artifacts import NewArtifact
from app.db.clock import read_clock
from app.db.engine import Database
from app.db.tables import revisions as revisions_table
from app.errors import Conflict, Unavailable
from tests.db.rows import MANIFEST, OTHER_MANIFEST, add_network, new_network, next_revision


def test_a_network_is_read_back_as_it_was_written(database: Database):
    new = new_network("naïve ∑", seed=2**64 - 1)
    with database.transaction() as connection:
        written = networks.insert(connection, new)
    with database.reading() as connection:
        read = networks.find(connection, "main", "naïve ∑")
        assert read == written == networks.find_by_id(connection, new.id)
        assert networks.find_resolved(connection, new.id) == new.resolved
    assert read is not None
    assert (read.original, read.seed, list(read.labels)) == (new.original, 2**64 - 1, ["b", "a"])
    assert abs(read.created_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert read.created_at.utcoffset() == timedelta(0)


def test_the_times_of_what_is_new_are_equal(database: Database):
    with database.transaction() as connection:
        network = add_network(connection)
        block = blocks.insert(connection, "main", "Block", b"{}", [])
        saved = artifacts.save(connection, NewArtifact("main", "x", "tensor", MANIFEST, 0, 0))
        again = artifacts.save(connection, NewArtifact("main", "x", "list", MANIFEST, 0, 0))
    for row in (network, block, saved):
        assert row.created_at == row.updated_at
    assert again.created_at == saved.created_at < again.updated_at


def test_a_second_network_of_one_name_is_a_conflict_and_another_workspace_is_free(database: Database):
    with database.transaction() as connection:
        networks.insert(connection, new_network("net"))
        networks.insert(connection, new_network("net", "other"))
    with pytest.raises(Conflict) as caught, database.transaction() as connection:
        networks.insert(connection, new_network("net"))
    assert caught.value.code == "name-taken"


def test_a_conflict_leaves_the_transaction_usable(database: Database):
    with database.transaction() as connection:
        networks.insert(connection, new_network("net"))
        with pytest.raises(Conflict):
            networks.insert(connection, new_network("net"))
        networks.insert(connection, new_network("net2"))
    with database.reading() as connection:
        assert [row.name for row in networks.list_page(connection, "main")] == ["net", "net2"]


def test_a_rename_to_a_taken_name_is_a_conflict(database: Database):
    with database.transaction() as connection:
        networks.insert(connection, new_network("a"))
        networks.insert(connection, new_network("b"))
    with pytest.raises(Conflict) as caught, database.transaction() as connection:
        networks.update(connection, "main", "a", name="b")
    assert caught.value.code == "name-taken"
    with database.transaction() as connection:
        renamed = networks.update(connection, "main", "a", name="c", labels={"x": "y"})
        assert networks.update(connection, "main", "nobody", name="d") is None
    assert renamed is not None
    assert (renamed.name, renamed.labels) == ("c", {"x": "y"})
    assert renamed.updated_at > renamed.created_at


def test_pages_follow_names_by_code_point_and_miss_nothing(database: Database):
    names = ["Z", "a", "B", "ä", "a-1", "_", "0"]
    with database.transaction() as connection:
        for name in names:
            networks.insert(connection, new_network(name))
        networks.insert(connection, new_network("elsewhere", "other"))
    seen: list[str] = []
    with database.reading() as connection:
        while page := networks.list_page(connection, "main", after=seen[-1] if seen else None, limit=2):
            seen += [row.name for row in page]
    assert seen == sorted(names)


def test_deleting_a_network_deletes_its_revisions_and_no_others(database: Database):
    with database.transaction() as connection:
        gone = add_network(connection, "gone")
        kept = add_network(connection, "kept")
        assert networks.delete(connection, "main", "gone")
        assert not networks.delete(connection, "main", "gone")
        assert revisions.find(connection, gone.id, 1) is None
        assert revisions.find(connection, kept.id, 1) is not None


def test_the_head_advances_only_from_the_revision_expected(database: Database):
    with database.transaction() as connection:
        row = add_network(connection)
        assert not revisions.advance_head(connection, row.id, 5, next_revision(row, 6))
        assert revisions.advance_head(connection, row.id, 1, next_revision(row, 2))
        assert not revisions.advance_head(connection, row.id, 1, next_revision(row, 2))
        assert not revisions.advance_head(connection, "nobody", 1, next_revision(row, 3))
    with database.reading() as connection:
        head = networks.find(connection, "main", "net")
        second = revisions.find(connection, row.id, 2)
        count = connection.execute(sa.select(sa.func.count()).select_from(revisions_table)).scalar_one()
    assert head is not None
    assert head.head_revision == 2
    assert count == 2
    assert second is not None
    assert (second.manifest, second.operation, second.author) == (OTHER_MANIFEST, "edit", "ada")
    assert list(second.detail) == ["z", "a"]


def test_revisions_are_listed_newest_first_in_pages(database: Database):
    with database.transaction() as connection:
        row = add_network(connection)
        for number in range(2, 7):
            assert revisions.advance_head(connection, row.id, number - 1, next_revision(row, number))
    with database.reading() as connection:
        first = revisions.list_page(connection, row.id, limit=4)
        rest = revisions.list_page(connection, row.id, before=first[-1].number, limit=4)
    assert [revision.number for revision in first + rest] == [6, 5, 4, 3, 2, 1]
    assert rest[-1].manifest == MANIFEST


def test_a_revision_needs_a_manifest_that_is_stored(database: Database):
    def advance_to_nothing() -> None:
        with database.transaction() as connection:
            row = add_network(connection)
            revisions.advance_head(connection, row.id, 1, next_revision(row, 2, manifest="ee" * 32))

    with pytest.raises(Unavailable, match="deleted meanwhile"):
        advance_to_nothing()
    with database.reading() as connection:
        assert networks.find(connection, "main", "net") is None


def test_blocks_are_kept_replaced_listed_and_deleted(database: Database):
    with database.transaction() as connection:
        first = blocks.insert(connection, "main", "MLP", b'{"a": 1}', ["Inner"])
        blocks.insert(connection, "main", "Alpha", b"{}", [])
        with pytest.raises(Conflict):
            blocks.insert(connection, "main", "MLP", b"{}", [])
    with database.transaction() as connection:
        changed = blocks.update(connection, "main", "MLP", b'{"a": 2}', [])
        assert blocks.update(connection, "main", "Nobody", b"{}", []) is None
    with database.reading() as connection:
        assert blocks.find(connection, "main", "MLP") == changed
        assert blocks.find(connection, "other", "MLP") is None
        assert [row.name for row in blocks.list_page(connection, "main")] == ["Alpha", "MLP"]
        assert [row.name for row in blocks.list_page(connection, "main", after="Alpha")] == ["MLP"]
    assert changed is not None
    assert (changed.definition, changed.uses, changed.created_at) == (b'{"a": 2}', [], first.created_at)
    assert first.uses == ["Inner"]
    with database.transaction() as connection:
        assert blocks.delete(connection, "main", "MLP")
        assert not blocks.delete(connection, "main", "MLP")


def test_an_idempotency_key_keeps_its_first_answer_until_it_is_old(database: Database):
    answer = idempotency.NewAnswer("main", "k", "d1", 201, [["Location", "/v1/networks/a"]], b"{}")
    with database.transaction() as connection:
        assert idempotency.insert(connection, answer)
        assert not idempotency.insert(connection, idempotency.NewAnswer("main", "k", "d2", 200, [], b""))
    with database.transaction() as connection:
        kept = idempotency.find(connection, "main", "k")
        assert kept is not None
        assert (kept.request_digest, kept.status, kept.headers, kept.body) == ("d1", 201, answer.headers, b"{}")
        now = read_clock(connection)
        assert idempotency.delete_older(connection, timedelta(hours=1), now, limit=10) == 0
        assert idempotency.delete_older(connection, timedelta(hours=1), now + timedelta(hours=2), limit=10) == 1
        assert idempotency.find(connection, "main", "k") is None
