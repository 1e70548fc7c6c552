"""The history of a network: its revisions, how two of them differ, going back to one, and tags that keep one.

Everything here is rows but the comparison, which a worker makes. A revision never changes; what is no longer kept is
gone for good.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from app.db import checkpoints, revisions
from app.db.checkpoints import CheckpointRow
from app.db.engine import Connection
from app.db.networks import NetworkRow
from app.db.revisions import RevisionRow
from app.errors import NotFound, in_place
from app.messages import CompareRevisions, Encoded, NetworkRef
from app.pool.base import expect
from app.services.idempotency import Answer, Retry
from app.services.lab import Lab, ResultT, in_thread, look_up
from app.services.networks import locked, no_revision
from app.services.references import find_reference, find_reference_at
from app.services.writes import Change, check_there, write_revision

TAG_RULE = "a tag has 1 to 128 letters, digits, `.`, `_` or `-`, and begins with a letter, a digit or `_`"
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class TaggedRevision:
    """A revision with the tags on it."""

    row: RevisionRow
    tags: list[str]


async def list_revisions(lab: Lab, name: str, *, before: int | None, limit: int) -> tuple[list[TaggedRevision], int]:
    """Lists up to `limit` revisions, the newest first, those numbered below `before`; and the head's number.

    Raises: NotFound.
    """
    head = await find_reference(lab, name)

    def read(connection: Connection) -> list[TaggedRevision]:
        rows = revisions.list_page(connection, head.network_id, before=before, limit=limit)
        tags = checkpoints.tags_of(connection, head.network_id, [row.number for row in rows])
        return [TaggedRevision(row, tags.get(row.number, [])) for row in rows]

    return await look_up(lab, read), head.revision


async def find_revision(lab: Lab, name: str, number: int) -> TaggedRevision:
    """One revision. Raises: NotFound for the network or the revision."""
    head = await find_reference(lab, name)

    def read(connection: Connection) -> TaggedRevision:
        row = revisions.find(connection, head.network_id, number)
        if row is None:
            raise no_revision(name, number, head.revision)
        return TaggedRevision(row, checkpoints.tags_of(connection, head.network_id, [number]).get(number, []))

    return await look_up(lab, read)


async def compare_revisions(lab: Lab, name: str, old: int, new: int) -> Encoded:
    """Tells which tensors differ between two revisions, and how far. Raises: NotFound."""
    before, after = await find_reference_at(lab, name, old), await find_reference_at(lab, name, new)
    task = CompareRevisions(old=before, new=after)
    return expect(await lab.pool.submit(task, device=after.device), Encoded)


async def restore_revision(
    lab: Lab,
    name: str,
    number: int,
    *,
    if_match: frozenset[str] | None,
    retry: Retry | None,
    render: Callable[[RevisionRow], Answer],
) -> Answer:
    """Makes a new revision that holds what revision `number` held. Raises: NotFound, Stale."""

    async def work(head: NetworkRef) -> Change:
        found = await look_up(lab, partial(revisions.find, network_id=head.network_id, number=number))
        if found is None:
            raise no_revision(name, number, head.revision)
        return Change(
            found.manifest,
            "restore",
            {"revision": number},
            requires_grad=found.requires_grad or {},
            only_these_flags=True,
        )

    return await write_revision(lab, name, work, render, if_match=if_match, retry=retry)


# --- checkpoints ---


async def list_checkpoints(lab: Lab, name: str, *, after: str | None, limit: int) -> list[CheckpointRow]:
    """Lists up to `limit` tags in their order, those after the tag `after`. Raises: NotFound."""
    head = await find_reference(lab, name)
    return await look_up(lab, partial(checkpoints.list_page, network_id=head.network_id, after=after, limit=limit))


async def find_checkpoint(lab: Lab, name: str, tag: str) -> CheckpointRow:
    """One tag. Raises: NotFound."""
    head = await find_reference(lab, name)
    row = None
    if _TAG.fullmatch(tag):
        row = await look_up(lab, partial(checkpoints.find, network_id=head.network_id, tag=tag))
    if row is None:
        raise _no_checkpoint(name, tag)
    return row


async def put_checkpoint(
    lab: Lab, name: str, tag: str, *, revision: int | None, if_match: frozenset[str] | None, if_there: bool = False
) -> tuple[CheckpointRow, bool]:
    """Puts a tag on a revision (None: the newest), and tells whether the tag is new; unless it must be there already.

    Raises: NotFound for the network or the revision; Stale; Unprocessable `bad-name`.
    """
    if not _TAG.fullmatch(tag):
        raise in_place("", f"This is not a tag: {TAG_RULE}.", code="bad-name")

    def put(connection: Connection, network: NetworkRow) -> tuple[CheckpointRow, bool]:
        number = network.head_revision if revision is None else revision
        if revisions.find(connection, network.id, number) is None:
            raise no_revision(name, number, network.head_revision)
        earlier = checkpoints.find(connection, network.id, tag)
        check_there(earlier, tag, if_there=if_there)
        if earlier is not None and earlier.number == number:
            return earlier, False
        row = checkpoints.put(connection, network.id, tag, number, lab.caller.name)
        if earlier is not None:
            _prune(connection, network)
        return row, earlier is None

    return await in_thread(partial(_with_network, lab, name, if_match, put))


async def delete_checkpoint(lab: Lab, name: str, tag: str, *, if_match: frozenset[str] | None) -> None:
    """Takes a tag away; its revision goes if only the tag kept it. Raises: NotFound, Stale."""

    def delete(connection: Connection, network: NetworkRow) -> None:
        if not _TAG.fullmatch(tag) or not checkpoints.delete(connection, network.id, tag):
            raise _no_checkpoint(name, tag)
        _prune(connection, network)

    await in_thread(partial(_with_network, lab, name, if_match, delete))


def _with_network(
    lab: Lab, name: str, if_match: frozenset[str] | None, action: Callable[[Connection, NetworkRow], ResultT]
) -> ResultT:
    with lab.database.transaction() as connection:
        return action(connection, locked(lab, connection, name, if_match))


def _prune(connection: Connection, network: NetworkRow) -> None:
    if network.keep_last is not None:
        revisions.prune(connection, network.id, network.head_revision, network.keep_last)


def _no_checkpoint(name: str, tag: str) -> NotFound:
    return NotFound(f"{name!r} has no checkpoint {tag[:128]!r}.")
