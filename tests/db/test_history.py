"""Revisions with flags, retention and tags, on SQLite and PostgreSQL; and what the first format's data becomes."""

import threading

import pytest
import sqlalchemy as sa
from alembic import command

from app.db import checkpoints, migrations, networks, revisions
from app.db.engine import Database
from app.db.migrations import downgrade, is_current, migrate
from app.db.networks import NetworkRow
from app.errors import Unavailable
from tests.db.rows import add_network, new_network, next_revision


@pytest.fixture
def network(database: Database) -> NetworkRow:
    with database.transaction() as connection:
        return add_network(connection)


def advance(database: Database, network: NetworkRow, count: int, start: int = 1) -> None:
    for number in range(start, start + count):
        with database.transaction() as connection:
            assert revisions.advance_head(connection, network.id, number, next_revision(network, number + 1))


def kept(database: Database, network: NetworkRow) -> list[int]:
    with database.reading() as connection:
        return [row.number for row in revisions.list_page(connection, network.id)]


def test_flags_are_kept_with_a_revision(database: Database, network: NetworkRow):
    flagged = revisions.NewRevision(network.id, 2, "cd" * 32, "edit", requires_grad={"b": False, "a": True})
    with database.transaction() as connection:
        assert revisions.advance_head(connection, network.id, 1, flagged)
    with database.reading() as connection:
        row = revisions.find(connection, network.id, 2)
        assert row is not None
        assert row.requires_grad == {"b": False, "a": True}
        first = revisions.find(connection, network.id, 1)
        assert first is not None
        assert first.requires_grad is None


def test_all_revisions_are_kept_until_a_number_is_said(database: Database, network: NetworkRow):
    advance(database, network, 4)
    assert kept(database, network) == [5, 4, 3, 2, 1]
    with database.transaction() as connection:
        networks.update(connection, "main", "net", keep_last=2)
    advance(database, network, 1, start=5)
    assert kept(database, network) == [6, 5]


def test_tagged_revisions_and_the_head_are_kept(database: Database, network: NetworkRow):
    advance(database, network, 4)
    with database.transaction() as connection:
        checkpoints.put(connection, network.id, "good", 2, "ada")
        assert revisions.prune(connection, network.id, 5, 1) == 3
        assert revisions.prune(connection, network.id, 5, 0) == 0
    assert kept(database, network) == [5, 2]


def test_a_tag_is_put_moved_found_listed_and_deleted(database: Database, network: NetworkRow):
    advance(database, network, 2)
    with database.transaction() as connection:
        first = checkpoints.put(connection, network.id, "b", 1, "ada")
        moved = checkpoints.put(connection, network.id, "b", 2, None)
        checkpoints.put(connection, network.id, "a", 2, None)
        checkpoints.put(connection, network.id, "C", 3, None)
    assert (first.number, first.author, moved.number, moved.author) == (1, "ada", 2, None)
    assert moved.created_at > first.created_at
    with database.reading() as connection:
        assert checkpoints.find(connection, network.id, "b") == moved
        assert checkpoints.find(connection, network.id, "x") is None
        assert [row.tag for row in checkpoints.list_page(connection, network.id)] == ["C", "a", "b"]
        assert [row.tag for row in checkpoints.list_page(connection, network.id, after="C", limit=1)] == ["a"]
        assert checkpoints.tags_of(connection, network.id, [1, 2, 3]) == {2: ["a", "b"], 3: ["C"]}
    with database.transaction() as connection:
        assert checkpoints.delete(connection, network.id, "b")
        assert not checkpoints.delete(connection, network.id, "b")


def test_a_tag_needs_its_revision(database: Database, network: NetworkRow):
    with pytest.raises(Unavailable), database.transaction() as connection:
        checkpoints.put(connection, network.id, "x", 9, None)


def test_deleting_a_network_takes_its_tags_along(database: Database, network: NetworkRow):
    with database.transaction() as connection:
        checkpoints.put(connection, network.id, "x", 1, None)
    with database.transaction() as connection:
        assert networks.delete(connection, "main", "net")
    with database.reading() as connection:
        assert checkpoints.list_page(connection, network.id) == []


def test_tagging_and_pruning_at_once_never_lose_a_tagged_revision(database: Database, network: NetworkRow):
    """Both hold the network's row, so a tag is put on what stays, or is refused because it is gone."""
    with database.transaction() as connection:
        networks.update(connection, "main", "net", keep_last=1)
    tagged: list[int] = []

    def tag() -> None:
        for attempt in range(30):
            with database.transaction() as connection:
                row = networks.find(connection, "main", "net", lock=True)
                assert row is not None
                checkpoints.put(connection, row.id, f"t{attempt}", row.head_revision, None)
                tagged.append(row.head_revision)

    thread = threading.Thread(target=tag)
    thread.start()
    advance(database, network, 30)
    thread.join()
    assert set(tagged) <= set(kept(database, network))


def test_layouts_are_kept_with_a_network(database: Database):
    with database.transaction() as connection:
        made = networks.insert(connection, new_network("with", layout=b'{"format":1}'))
        first = networks.insert(connection, new_network("without"))
    with database.reading() as connection:
        assert networks.find_layout(connection, made.id) == (b'{"format":1}', made.resolved)
        assert networks.find_layout(connection, first.id) == (None, first.resolved)
        assert networks.find_layout(connection, "nobody") is None


def test_data_of_the_first_format_stays_through_up_down_and_up(empty_database_url: str):
    database = Database(empty_database_url)
    _upgrade(database, "0001")
    with database.transaction() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO networks (id, workspace, name, original, resolved, dtype, device, labels, inputs, "
                "head_revision, parameter_count, parameter_bytes, created_at, updated_at) VALUES "
                "('n', 'w', 'old', :text, :text, 'float32', 'cpu:0', '{}', '[\"input\"]', 1, 9, 36, :now, :now)"
            ),
            {"text": b'["Linear(2, 3)"]', "now": "2026-01-01T00:00:00.000000Z"},
        )
        connection.execute(
            sa.text("INSERT INTO manifests (digest, last_seen) VALUES (:digest, :now)"),
            {"digest": b"\xab" * 32, "now": "2026-01-01T00:00:00.000000Z"},
        )
        connection.execute(
            sa.text(
                "INSERT INTO revisions (network_id, number, manifest, operation, detail, created_at) "
                "VALUES ('n', 1, :digest, 'create', '{}', :now)"
            ),
            {"digest": b"\xab" * 32, "now": "2026-01-01T00:00:00.000000Z"},
        )
    for _ in range(2):
        migrate(empty_database_url)
        assert is_current(database)
        with database.transaction() as connection:
            row = networks.find(connection, "w", "old")
            assert row is not None
            assert (row.layout, row.keep_last, row.head_revision) == (None, None, 1)
            found = revisions.find(connection, "n", 1)
            assert found is not None
            assert (found.manifest, found.requires_grad) == ("ab" * 32, None)
            checkpoints.put(connection, "n", "x", 1, None)
        downgrade(empty_database_url, "0001")
    database.close()


def _upgrade(database: Database, target: str) -> None:
    with database.transaction() as connection:
        config = migrations._config()
        config.attributes["connection"] = connection
        command.upgrade(config, target)
