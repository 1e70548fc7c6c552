"""Making revisions: the one way in which a network's tensors change, whoever changes them.

A worker writes what changed and answers with a new manifest; the head then moves in one short transaction that
compares and swaps it. When another writer came between and the client did not insist on a revision (`If-Match`), the
change is worked out again on the new head. Writers of one network take turns within this process, so that none starves;
those of other processes are met by the comparison. Called by the services that change tensors.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from app.db import networks, revisions
from app.db.engine import Connection
from app.db.revisions import NewRevision, RevisionRow
from app.errors import Busy, Conflict, Stale
from app.messages import NetworkRef
from app.services.idempotency import Answer, Retry, Write, answer_once
from app.services.in_training import check_not_in_training
from app.services.lab import Lab, look_up
from app.services.networks import no_network
from app.services.references import find_reference

MOST_TRIES = 100  # on heads that other processes move each time


@dataclass(frozen=True)
class Change:
    """What the next revision of a network is to be.

    `requires_grad` holds what changes of it, by name; with `only_these_flags` all other names go back to how they were
    built. `manifest` of None keeps the tensors of the head.
    """

    manifest: str | None
    operation: str  # "edit", "initialize", ...
    detail: Mapping[str, object] = field(default_factory=dict)
    requires_grad: Mapping[str, bool] = field(default_factory=dict)
    only_these_flags: bool = False


Work = Callable[[NetworkRef], Awaitable[Change]]
Render = Callable[[RevisionRow], Answer]


class HeadMoved(Conflict):
    """Another writer came between; nothing was written."""


async def write_revision(
    lab: Lab, name: str, work: Work, render: Render, *, if_match: frozenset[str] | None, retry: Retry | None = None
) -> Answer:
    """Makes one revision of the network called `name` out of what `work` does with its head.

    `work` runs without a lock on the database, and again on a newer head if it must; `render` writes the answer inside
    the transaction.

    Raises: NotFound; Stale when `if_match` does not name the head, at the start or at the end; what `work` raises.
    """

    async def prepare() -> Write:
        return await prepare_revision(
            name, await find_reference(lab, name), work, render, if_match, author=lab.caller.name
        )

    network_id = (await find_reference(lab, name)).network_id
    await look_up(lab, lambda connection: check_not_in_training(connection, network_id, name))
    async with turn(lab, network_id):
        for _ in range(MOST_TRIES):
            with suppress(HeadMoved):
                return await answer_once(lab, retry, prepare)
    raise too_contended()


async def prepare_revision(
    name: str,
    head: NetworkRef,
    work: Work,
    render: Render,
    if_match: frozenset[str] | None,
    *,
    author: str | None,
) -> Write:
    """Does the work and gives what makes a revision of it, by `author`, inside a transaction.

    Raises: Stale when `if_match` does not name the head, here or in the transaction, where HeadMoved is raised
    without an `if_match`; what `work` raises.
    """
    check_match(name, head.revision, if_match)
    change = await work(head)

    return lambda connection: render(advance_or_stale(connection, name, head, change, if_match, author=author))


def advance_or_stale(
    connection: Connection,
    name: str,
    head: NetworkRef,
    change: Change,
    if_match: frozenset[str] | None,
    *,
    author: str | None,
) -> RevisionRow:
    """`advance` for a client that may insist on a revision. Raises: Stale where it does, else HeadMoved."""
    try:
        return advance(connection, name, head, change, author=author)
    except HeadMoved as moved:
        if if_match is not None:
            raise stale(moved) from None
        raise


def advance(
    connection: Connection,
    name: str,
    head: NetworkRef,
    change: Change,
    *,
    author: str | None,
    by_job: int | None = None,
) -> RevisionRow:
    """Makes `change` the revision after `head`, by `author`.

    Raises: HeadMoved when `head` is not the head now; Conflict `in-training` while a training other than the job
    `by_job` has the network.
    """
    check_not_in_training(connection, head.network_id, name, by_job=by_job)
    base = revisions.find(connection, head.network_id, head.revision)
    flags = {**({} if change.only_these_flags or base is None else base.requires_grad or {}), **change.requires_grad}
    new = NewRevision(
        head.network_id,
        head.revision + 1,
        change.manifest or head.manifest,
        change.operation,
        author,
        detail=change.detail,
        requires_grad=flags or None,
    )
    if not revisions.advance_head(connection, head.network_id, head.revision, new):
        raise _moved(connection, name, head)
    row = revisions.find(connection, head.network_id, new.number)
    assert row is not None, "the newest revision is always kept"
    return row


def _moved(connection: Connection, name: str, head: NetworkRef) -> HeadMoved:
    now = networks.find_by_id(connection, head.network_id)
    if now is None:
        raise no_network(name)
    message = f"{name!r} went from revision {head.revision} to {now.head_revision} meanwhile."
    return HeadMoved(message, extra={"revision": now.head_revision})


def check_match(name: str, revision: int, if_match: frozenset[str] | None) -> None:
    """Raises: Stale when the client's `If-Match` does not name the revision."""
    if if_match is not None and str(revision) not in if_match:
        message = f"{name!r} is at revision {revision}, which If-Match does not name."
        raise Stale(message, extra={"revision": revision})


def check_there(found: object | None, name: str, *, if_there: bool) -> None:
    """Raises: Stale when the client writes only what is there already (`If-Match: *`), and it is not."""
    if if_there and found is None:
        raise Stale(f"{name!r} is not there, and If-Match allows no new one.")


def stale(moved: HeadMoved) -> Stale:
    """What a client is told that insisted on a revision."""
    return Stale(moved.detail, extra=moved.extra)


def too_contended() -> Busy:
    return Busy("Others change this network all the time; try again.", extra={"retry_after_seconds": 1})


def turn(lab: Lab, network_id: str) -> asyncio.Lock:
    """The lock that writers of one network take in turns, in the order they came."""
    lock = lab.turns.get(network_id)
    if lock is None:
        lock = lab.turns[network_id] = asyncio.Lock()
    return lock
