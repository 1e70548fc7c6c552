"""Rows of gradients: one set for each network, which goes with its revision; the collector and the checker know it."""

import os
from datetime import timedelta

import sqlalchemy as sa

from app.db import gradients, networks, revisions
from app.db.engine import Database
from app.store.collect import collect
from app.store.store import TensorStore
from app.store.tensors import TensorBytes
from app.store.verify import Verifier
from tests.db.rows import OTHER_MANIFEST, add_network, next_revision


def put(database: Database) -> str:
    """A manifest of one tensor that nothing else holds."""
    return TensorStore(database).put([("weight", TensorBytes("uint8", (100,), memoryview(os.urandom(100))))])


def test_a_network_has_one_set_of_gradients(database: Database):
    with database.transaction() as connection:
        first, second = add_network(connection, "first"), add_network(connection, "second")
        assert gradients.find(connection, first.id) is None
        gradients.save(connection, first.id, 1, OTHER_MANIFEST, 1)
    manifest = put(database)
    with database.transaction() as connection:
        gradients.save(connection, first.id, 1, manifest, 2)
        gradients.save(connection, second.id, 1, manifest, 1)
    with database.transaction() as connection:
        row = gradients.find(connection, first.id)
        assert row is not None
        assert (row.number, row.manifest, row.passes) == (1, manifest, 2)
        assert row.updated_at > row.created_at
        gradients.delete(connection, first.id)
        assert gradients.find(connection, first.id) is None
        assert gradients.find(connection, second.id) is not None


def test_gradients_go_with_their_revision_and_their_network(database: Database):
    with database.transaction() as connection:
        row = add_network(connection)
        gradients.save(connection, row.id, 1, OTHER_MANIFEST, 1)
        assert revisions.advance_head(connection, row.id, 1, next_revision(row, 2))
        assert gradients.find(connection, row.id) is not None
        revisions.prune(connection, row.id, 2, keep_last=1)
        assert gradients.find(connection, row.id) is None
        gradients.save(connection, row.id, 2, OTHER_MANIFEST, 1)
        assert networks.delete(connection, "main", "net")
        assert gradients.find(connection, row.id) is None


def test_the_collector_leaves_what_gradients_hold_and_takes_it_when_they_are_cleared(database: Database):
    manifest = put(database)
    with database.transaction() as connection:
        row = add_network(connection)
        gradients.save(connection, row.id, 1, manifest, 1)
    assert collect(database, timedelta(0)).tensors == 0
    with database.transaction() as connection:
        gradients.delete(connection, row.id)
    assert collect(database, timedelta(0)).tensors == 1


def test_the_checker_names_gradients_that_are_damaged_or_lost(database: Database):
    manifest = put(database)
    with database.transaction() as connection:
        row = add_network(connection)
        gradients.save(connection, row.id, 1, manifest, 1)
        connection.execute(sa.text("UPDATE chunks SET data = :data"), {"data": os.urandom(100)})
    chunk = next(line for line in Verifier(database).run() if line.startswith("chunk"))
    assert chunk.endswith("used by gradients of network 'net' (weight)")
    with database.engine.connect() as connection:
        raw = connection.connection.driver_connection
        if database.kind == "sqlite":
            raw.execute("PRAGMA foreign_keys = OFF")
        else:
            raw.execute("SET session_replication_role = replica")
            raw.commit()
        connection.execute(sa.text("DELETE FROM manifests WHERE digest = :digest"), {"digest": bytes.fromhex(manifest)})
        connection.commit()
        connection.invalidate()
    assert any("the gradients of network 'net' at revision 1 need it" in line for line in Verifier(database).run())
