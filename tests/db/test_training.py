"""Rows that training needs: who trains a network, its curve, and revisions that are forgotten one by one."""

from app.db import checkpoints, curves, jobs, leases, revisions
from app.db.engine import Database
from app.db.jobs import NewJob
from tests.db.rows import MANIFEST, add_network, next_revision


def test_a_network_is_in_training_while_its_job_runs_or_waits_to_go_on(database: Database):
    with database.transaction() as connection:
        network = add_network(connection)
        new = NewJob(workspace="main", kind="train", request=b"", network_id=network.id, manifests={"data": MANIFEST})
        job = jobs.insert(connection, new)
        assert jobs.find_unfinished(connection, network.id, "train") == job.number
        assert jobs.find_begun(connection, network.id, "train") is None, "it may yet be changed"
    with database.transaction() as connection:
        claimed = leases.claim(connection, kinds=["train"], lease_seconds=60)
        assert claimed is not None
        assert jobs.find_begun(connection, network.id, "train") == job.number
        assert jobs.find_begun(connection, network.id, "forward") is None
        leases.checkpoint(connection, claimed.lease, b"note", {"state": MANIFEST}, 60)
        leases.give_back(connection, claimed.lease, reason="stopped")
        assert jobs.find_begun(connection, network.id, "train") == job.number
        assert set(jobs.find_manifests(connection, job.number)) == {"data", "state"}
        jobs.drop_manifests(connection, job.number, ("state",))
        assert set(jobs.find_manifests(connection, job.number)) == {"data"}
    with database.transaction() as connection:
        jobs.cancel(connection, "main", job.number)
        assert jobs.find_begun(connection, network.id, "train") is None
        assert jobs.find_unfinished(connection, network.id, "train") is None
        newest = jobs.find_newest(connection, network.id, "train")
        assert newest is not None
        assert newest.number == job.number


def test_a_curve_is_replaced_and_goes_with_its_job(database: Database):
    with database.transaction() as connection:
        job = jobs.insert(connection, NewJob(workspace="main", kind="train", request=b""))
        assert curves.find(connection, job.number) is None
        for data in (b"one", b"two"):
            curves.save(connection, job.number, data)
        assert curves.find(connection, job.number) == b"two"
        jobs.cancel(connection, "main", job.number)
        assert jobs.delete(connection, "main", job.number)
        assert curves.find(connection, job.number) is None


def test_some_revisions_are_forgotten_but_for_those_with_a_tag(database: Database):
    with database.transaction() as connection:
        network = add_network(connection)
        for number in (2, 3, 4):
            assert revisions.advance_head(connection, network.id, number - 1, next_revision(network, number))
        checkpoints.put(connection, network.id, "mine", 2, None)
        revisions.forget(connection, network.id, [2, 3])
        assert [row.number for row in revisions.list_page(connection, network.id)] == [4, 2, 1]
