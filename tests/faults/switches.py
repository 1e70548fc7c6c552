"""Switches that each take one protection away from a service before it begins, to show that a test would notice.

Put in by the forge, by name, into the service and its workers. `tests/faults/test_protections.py` throws each; a few
at the end take nothing away and only make a fault easier to cause.
"""

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

SWITCHES: dict[str, Callable[[], None]] = {}


def switch(name: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def register(function: Callable[[], None]) -> Callable[[], None]:
        SWITCHES[name] = function
        return function

    return register


@switch("compare and swap of the head")
def move_the_head_without_a_look() -> None:
    import sqlalchemy as sa

    from app.db import revisions
    from app.db.tables import networks

    def advance_head(connection: sa.Connection, network_id: str, _: int, revision: Any) -> bool:
        there = sa.select(networks.c.head_revision).where(networks.c.id == network_id)
        number = connection.execute(there).scalar_one() + 1
        fields = {name: getattr(revision, name) for name in revisions.NewRevision.__dataclass_fields__}
        revisions.insert(connection, revisions.NewRevision(**{**fields, "number": number}))
        connection.execute(sa.update(networks).where(networks.c.id == network_id).values(head_revision=number))
        return True

    revisions.advance_head = advance_head


@switch("the answer is kept in the change's own transaction")
def keep_the_answer_afterwards() -> None:
    from app.db import idempotency
    from app.services import idempotency as service

    def commit(lab: Any, write: Any, retry: Any = None) -> Any:
        with lab.database.transaction() as connection:
            answer = write(connection)
        if retry is not None:
            kept = idempotency.NewAnswer(
                lab.workspace, retry.key, retry.request_digest, answer.status, answer.headers, answer.body
            )
            with lab.database.transaction() as connection:
                idempotency.insert(connection, kept)
        return answer

    service._commit = commit


@switch("one answer for a key")
def think_every_answer_is_the_first() -> None:
    from app.db import idempotency

    insert = idempotency.insert
    idempotency.insert = lambda connection, answer: insert(connection, answer) or True


@switch("a key belongs to one request")
def take_any_request_for_the_first() -> None:
    from app.services import idempotency

    idempotency._judge = lambda row, _: idempotency.Answer(row.status, row.headers, row.body)


@switch("If-Match")
def hear_no_precondition() -> None:
    from app.services import writes

    prepare = writes.prepare_revision

    async def prepare_revision(name: str, head: Any, work: Any, render: Any, _: Any, **options: Any) -> Any:
        return await prepare(name, head, work, render, None, **options)

    writes.prepare_revision = prepare_revision


@switch("BEGIN IMMEDIATE")
def begin_as_the_driver_does() -> None:
    """With the first statement that writes, when what was read before may have changed."""
    from app.db import sqlite

    begin = sqlite._begin

    def begin_late(connection: Any) -> None:
        if connection.get_execution_options().get("reading", False):
            begin(connection)
            return
        driver = connection.connection.driver_connection
        driver.execute("PRAGMA query_only = OFF")
        driver.isolation_level = ""

    sqlite._begin = begin_late


@switch("durable before it is acknowledged")
def leave_the_disk_to_the_system() -> None:
    from app.db import sqlite

    begin = sqlite._begin

    def begin_loosely(connection: Any) -> None:
        begin(connection.execution_options(durable=False))

    sqlite._begin = begin_loosely


@switch("digests are checked")
def believe_what_is_read() -> None:
    from app.store import chunks

    def checked(row: Any) -> Any:
        return bytes(row[0]).hex(), row[1], bytes(row[2]).hex(), memoryview(row[3])

    chunks._checked = checked


@switch("tensors are stored before the head moves")
def store_tensors_a_little_later() -> None:
    """In workers; what refers to them is not checked either, or it would be noticed."""
    from app.db.engine import Database
    from tests.faults import kill_points

    let_references_dangle()
    retrying = Database.retrying

    def retry_later(self: Database, action: Callable[[Any], Any], **options: bool) -> Any:
        if kill_points.role != "worker":
            return retrying(self, action, **options)
        threading.Timer(5.0, retrying, (self, action)).start()
        return None

    Database.retrying = retry_later  # type: ignore[assignment, method-assign]


@switch("references are checked")
def let_references_dangle() -> None:
    from app.db import engine, sqlite

    prepare = sqlite._prepare

    def prepare_loosely(connection: Any, entry: Any) -> None:
        prepare(connection, entry)
        connection.execute("PRAGMA foreign_keys = OFF")

    sqlite._prepare = prepare_loosely
    engine._POSTGRESQL_SESSION["session_replication_role"] = "replica"


@switch("a head is never older than the last commit")
def look_once_at_a_head() -> None:
    from app.db import heads

    find = heads._SqliteHeads.find

    def find_once(self: Any, workspace: str, name: str) -> Any:
        return self._known.get((workspace, name)) or find(self, workspace, name)

    heads._SqliteHeads.find = find_once  # type: ignore[method-assign]


@switch("half a revision is dropped")
def keep_half_a_revision() -> None:
    from app.worker import residents

    bring_to = residents.Residents._bring_to

    def bring_carelessly(self: Any, loaded: Any, ref: Any) -> None:
        drop, self._drop = self._drop, lambda _: None
        try:
            bring_to(self, loaded, ref)
        finally:
            self._drop = drop

    residents.Residents._bring_to = bring_carelessly  # type: ignore[method-assign]


@switch("a task is tried on a second worker")
def give_up_with_the_first_worker() -> None:
    from app.pool import slot

    slot.DEATHS_PER_TASK["requests"] = 1


@switch("workers die with their service")
def outlive_the_service() -> None:
    from app.worker import process

    process._die_with = lambda **_: None


@switch("a job is fenced by its lease")
def let_anybody_end_a_job() -> None:
    import sqlalchemy as sa

    from app.db import leases
    from app.db.tables import jobs

    def unfenced(connection: sa.Connection, lease: Any, values: dict[str, Any]) -> Any:
        statement = sa.update(jobs).where(jobs.c.number == lease.number).values(**values).returning(*leases.ROW)
        return leases.row_of(connection.execute(statement).mappings().one())

    leases._fenced = unfenced
    leases.held = lambda _, tokens: set(tokens)
    leases.heartbeat = lambda _, tokens, **__: set(tokens)  # type: ignore[assignment, misc]


@switch("one writer of a process waits for the file")
def let_every_writer_wait_with_a_connection() -> None:
    from contextlib import nullcontext

    from app.db import engine, sqlite

    engine.CHECKOUT_SECONDS = 1
    sqlite.Pen.held = lambda _: nullcontext(sqlite.BUSY_SECONDS)  # type: ignore[method-assign, assignment]


@switch("a silent server is given up")
def listen_for_ever() -> None:
    from app.db import postgresql

    postgresql.PatientConnection._listening = lambda _, gen: gen  # type: ignore[method-assign, assignment]


# --- no protections: faults that are easier to cause ---


@switch("slow to read what is locked")
def read_artifacts_slowly() -> None:
    """Whoever reads an artifact in order to change it takes a second over it."""
    from app.db import artifacts

    find = artifacts.find

    def find_slowly(*arguments: Any, lock: bool = False, **named: Any) -> Any:
        found = find(*arguments, lock=lock, **named)
        if lock:
            time.sleep(1.0)
        return found

    artifacts.find = find_slowly


@switch("bear limits")
def let_writes_past_a_limit_fail() -> None:
    """As Python does by itself, and the forge does not, so that kill points can use the signal."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


@switch("short patience")
def wait_for_locks_only_briefly() -> None:
    """A writer is told sooner that the database is held by others."""
    from app.db import sqlite

    sqlite.BUSY_SECONDS = 2
