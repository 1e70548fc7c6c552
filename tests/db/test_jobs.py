"""Jobs and their leases, on both databases: one holder at a time, and nothing for whoever has lost the lease."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app.db import job_events, jobs, leases, networks
from app.db.engine import Database
from app.db.jobs import NewJob
from app.db.leases import Claimed, Lease, LeaseLost
from app.db.tables import jobs as jobs_table
from tests.db.rows import MANIFEST, OTHER_MANIFEST, add_network

KINDS = ["forward", "initialize"]
LONG = 60.0
OVER = -1.0  # a lease that has run out when it is given


def new_job(**changes: object) -> NewJob:
    return NewJob(**{"workspace": "main", "kind": "forward", "request": b"words", "network": "net", **changes})  # type: ignore[arg-type]


def add(database: Database, **changes: object) -> int:
    with database.transaction() as connection:
        return jobs.insert(connection, new_job(**changes)).number


def claim(database: Database, seconds: float = LONG, **more: object) -> Claimed | None:
    with database.transaction() as connection:
        return leases.claim(connection, **{"kinds": KINDS, "lease_seconds": seconds, **more})  # type: ignore[arg-type]


def claimed(database: Database, seconds: float = LONG) -> Claimed:
    found = claim(database, seconds)
    assert found is not None
    return found


def find(database: Database, number: int, workspace: str = "main") -> jobs.JobRow:
    with database.reading() as connection:
        row = jobs.find(connection, workspace, number)
    assert row is not None
    return row


def finish(database: Database, lease: Lease, body: bytes = b"done") -> None:
    with database.transaction() as connection:
        leases.finish(connection, lease)
        leases.keep_result(connection, lease.number, status=200, headers=[["a", "b"]], body=body, manifest=None)


def reap(database: Database) -> list[leases.Reaped]:
    with database.transaction() as connection:
        return leases.reap(connection, reason="silence", failure=b'"dead"')


def with_something_else(database: Database, act: Callable[[sa.Connection], object]) -> None:
    """Acts in a transaction that has done something already."""
    with database.transaction() as connection:
        jobs.insert(connection, new_job(kind="must not be"))
        act(connection)


def events(database: Database, number: int, after: int = 0) -> list[tuple[int, str, dict[str, object]]]:
    with database.reading() as connection:
        return [(event.number, event.type, event.data) for event in job_events.list_after(connection, number, after)]


def test_a_job_that_is_asked_for_waits_and_is_found_in_its_workspace_alone(database):
    number = add(database, network_id="id", priority=1, author="ada", body=b"12")
    row = find(database, number)
    assert (row.state, row.attempts, row.priority, row.author, row.network_id) == ("queued", 0, 1, "ada", "id")
    with database.reading() as connection:
        assert jobs.find(connection, "other", number) is None
        assert jobs.read_body(connection, number) == b"12"
        assert jobs.read_result(connection, number) is None
    assert events(database, number) == [(1, "state", {"state": "queued"})]


def test_the_most_urgent_is_claimed_first_and_the_oldest_among_equals(database):
    late, first, second = add(database, priority=7), add(database), add(database)
    urgent = add(database, priority=0)
    add(database, kind="of a later version")
    order = [claimed(database).job.number for _ in range(4)]
    assert order == [urgent, first, second, late]
    assert claim(database) is None


def test_a_claim_gives_what_the_attempt_needs_and_a_lease_of_its_own(database):
    with database.transaction() as connection:
        network = add_network(connection)
    number = add(database, network_id=network.id)
    found = claimed(database)
    assert (found.job.number, found.job.state, found.job.attempts) == (number, "running", 1)
    assert (found.device, found.request, found.checkpoint) == ("cpu:0", b"words", None)
    assert found.job.started_at is not None
    assert claim(database) is None
    assert events(database, number, after=1) == [(2, "state", {"state": "running", "attempts": 1})]


def test_jobs_of_busy_devices_are_passed_over_and_those_of_moved_networks_are_not(database):
    with database.transaction() as connection:
        network = add_network(connection)
    number = add(database, network_id=network.id)
    other = add(database, network_id="deleted")
    assert claim(database, busy_devices=["cpu:0"]).job.number == other
    assert claim(database, busy_devices=["cpu:0"]) is None
    with database.transaction() as connection:
        networks.update(connection, "main", "net", device="cpu:1")
    assert claim(database, busy_devices=["cpu:0"]).job.number == number


def test_many_who_claim_at_once_never_get_the_same_job(database):
    numbers = [add(database) for _ in range(40)]
    got: list[int] = []

    def work() -> None:
        while (found := claim(database)) is not None:
            got.append(found.job.number)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(got) == Counter(numbers)


def test_a_finished_job_keeps_its_answer_and_ends_its_lease(database):
    number = add(database)
    lease = claimed(database).lease
    finish(database, lease)
    row = find(database, number)
    assert (row.state, row.result_status, row.result_headers) == ("succeeded", 200, [["a", "b"]])
    assert row.finished_at is not None
    with database.reading() as connection:
        assert jobs.read_result(connection, number) == b"done"
    with pytest.raises(LeaseLost):
        finish(database, lease, b"twice")
    assert events(database, number)[-1] == (3, "state", {"state": "succeeded"})


def test_whoever_lost_the_lease_can_do_nothing_and_what_he_did_is_rolled_back(database):
    number = add(database)
    old = claimed(database, OVER).lease
    assert reap(database) == [leases.Reaped(number, "queued")]
    new = claimed(database).lease
    before = find(database, number)
    for act in (
        lambda c: leases.finish(c, old),
        lambda c: leases.fail(c, old, b"{}", {}),
        lambda c: leases.report(c, old, {"fraction": 0.5}),
        lambda c: leases.checkpoint(c, old, b"note", {}, LONG),
        lambda c: leases.give_back(c, old, reason="stop"),
        lambda c: leases.bury(c, old, reason="died", failure=b"{}"),
    ):
        with pytest.raises(LeaseLost):
            with_something_else(database, act)
    with database.transaction() as connection:
        assert leases.heartbeat(connection, [old.token, new.token], LONG) == {new.token}
        assert leases.held(connection, [old.token, new.token]) == {new.token}
    assert find(database, number) == before
    finish(database, new)
    with database.reading() as connection:
        assert [row.kind for row in jobs.list_page(connection, "main")] == ["forward"]


def test_a_lease_that_is_renewed_is_not_reaped_and_one_that_ran_out_is_once(database):
    number = add(database)
    lease = claimed(database, 0.3).lease
    with database.transaction() as connection:
        assert leases.heartbeat(connection, [lease.token], LONG) == {lease.token}
    time.sleep(0.4)
    assert reap(database) == []
    with database.transaction() as connection:
        leases.heartbeat(connection, [lease.token], OVER)
    reaped: list[leases.Reaped] = []
    threads = [threading.Thread(target=lambda: reaped.extend(reap(database))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reaped == [leases.Reaped(number, "queued")]
    assert find(database, number).deaths == 1


def test_after_two_deaths_a_job_has_failed_and_says_why(database):
    number = add(database)
    claimed(database, OVER)
    assert reap(database)[0].state == "queued"
    lease = claimed(database).lease
    with database.transaction() as connection:
        assert leases.bury(connection, lease, reason="killed", failure=b'"dead"').state == "failed"
    row = find(database, number)
    assert (row.state, row.attempts, row.deaths, row.failure) == ("failed", 2, 2, b'"dead"')
    assert row.finished_at is not None
    assert claim(database) is None
    assert events(database, number)[-1] == (5, "state", {"state": "failed", "reason": "killed"})


def test_a_checkpoint_is_where_the_next_attempt_goes_on_and_deaths_before_it_do_not_count(database):
    with database.transaction() as connection:
        add_network(connection)
    number = add(database, manifests={"data": MANIFEST, "state": MANIFEST})
    claimed(database, OVER)
    reap(database)
    lease = claimed(database).lease
    with database.transaction() as connection:
        leases.checkpoint(connection, lease, b"epoch 3", {"state": OTHER_MANIFEST}, OVER)
    assert find(database, number).deaths == 0
    assert reap(database) == [leases.Reaped(number, "queued")]
    assert claimed(database).checkpoint == b"epoch 3"
    with database.reading() as connection:
        assert jobs.find_manifests(connection, number) == {"data": MANIFEST, "state": OTHER_MANIFEST}


def test_a_job_that_is_given_back_waits_as_if_it_had_not_begun(database):
    number = add(database)
    for _ in range(5):
        lease = claimed(database).lease
        with database.transaction() as connection:
            leases.give_back(connection, lease, reason="the service stopped")
    row = find(database, number)
    assert (row.state, row.attempts, row.deaths) == ("queued", 0, 0)
    lease = claimed(database).lease
    with database.transaction() as connection:
        leases.give_back(connection, lease, reason="no room", delay_seconds=0.3)
    assert claim(database) is None
    time.sleep(0.4)
    assert claimed(database).job.number == number


def test_cancelling_takes_the_lease_away_and_leaves_alone_what_has_ended(database):
    waiting, running, done = add(database), add(database), add(database, priority=0)
    finish(database, claimed(database).lease)
    with database.transaction() as connection:
        assert jobs.cancel(connection, "main", waiting).state == "cancelled"
    lease = claimed(database).lease
    assert lease.number == running
    with database.transaction() as connection:
        assert jobs.cancel(connection, "other", running) is None
        assert jobs.cancel(connection, "main", running).finished_at is not None
        assert jobs.cancel(connection, "main", done) is None
    with pytest.raises(LeaseLost):
        finish(database, lease)
    assert [find(database, number).state for number in (waiting, running, done)] == [
        "cancelled",
        "cancelled",
        "succeeded",
    ]
    assert claim(database) is None


def test_reports_are_events_and_of_many_the_newest_stay(database, monkeypatch):
    monkeypatch.setattr(job_events, "PROGRESS_KEPT", 20)
    number = add(database)
    lease = claimed(database).lease
    with database.transaction() as connection:
        for step in range(298):
            leases.report(connection, lease, {"fraction": step / 298})
    finish(database, lease)
    with database.reading() as connection:
        found = job_events.list_after(connection, number, 0, limit=1_000)
    assert [event.number for event in found if event.type == "state"] == [1, 2, 301]
    assert [event.number for event in found if event.type == "progress"] == list(range(281, 301))
    assert find(database, number).progress == {"fraction": 297 / 298}


def test_lists_are_read_in_pages_and_by_state_kind_and_network(database):
    numbers = [add(database, network=f"n{i % 2}", kind=KINDS[i % 2]) for i in range(6)]
    add(database, workspace="other")
    finish(database, claimed(database).lease)
    with database.reading() as connection:
        everything = [row.number for row in jobs.list_page(connection, "main")]
        assert everything == numbers[::-1]
        assert [row.number for row in jobs.list_page(connection, "main", before=numbers[3], limit=2)] == [
            numbers[2],
            numbers[1],
        ]
        assert [row.number for row in jobs.list_page(connection, "main", state="succeeded")] == [numbers[0]]
        assert [row.number for row in jobs.list_page(connection, "main", network="n1")] == numbers[5::-2]
        assert [row.number for row in jobs.list_page(connection, "main", kind="forward")] == numbers[4::-2]


def test_only_what_has_ended_can_be_deleted_and_takes_its_events_along(database):
    number = add(database)
    lease = claimed(database).lease
    with database.transaction() as connection:
        assert not jobs.delete(connection, "main", number)
    finish(database, lease)
    with database.transaction() as connection:
        assert not jobs.delete(connection, "other", number)
        assert jobs.delete(connection, "main", number)
    assert events(database, number) == []
    assert add(database) > number  # a number is never used again


def test_what_ended_long_ago_is_forgotten_and_the_rest_is_not(database):
    old, fresh, waiting = add(database), add(database), add(database)
    finish(database, claimed(database).lease)
    with database.transaction() as connection:
        long_ago = sa.text("'2020-01-01T00:00:00.000000Z'")
        connection.execute(sa.update(jobs_table).where(jobs_table.c.number == old).values(finished_at=long_ago))
    finish(database, claimed(database).lease)
    with database.transaction() as connection:
        assert jobs.delete_older(connection, timedelta(days=1)) == 1
        assert [row.number for row in jobs.list_page(connection, "main")] == [waiting, fresh]


def test_jobs_of_a_network_are_found_by_how_far_they_are(database):
    def look(find: Callable[..., object], network: str = "a", kind: str = "forward") -> object:
        with database.reading() as connection:
            return find(connection, network, kind)

    assert look(jobs.find_newest) is None
    number = add(database, network_id="a")
    assert (look(jobs.find_unfinished), look(jobs.find_begun)) == (number, None)
    lease = claimed(database, OVER).lease
    assert (look(jobs.find_unfinished), look(jobs.find_begun)) == (number, number)
    assert look(jobs.find_begun, kind="train") is look(jobs.find_begun, network="b") is None
    with database.transaction() as connection:
        leases.checkpoint(connection, lease, b"half", {}, OVER)
    reap(database)
    assert look(jobs.find_begun) == number  # it waits to go on
    finish(database, claimed(database).lease)
    assert (look(jobs.find_unfinished), look(jobs.find_begun)) == (None, None)
    assert look(jobs.find_newest).state == "succeeded"
