"""Running a network: name → revision → worker. Nothing is parsed and nothing is written on this way, save that a
forward which keeps what it did to the buffers makes a revision.

Called by `app.api.routes.forward`. The head is looked up in the event loop because that is a dictionary guarded by a
glance at the database; a thread would cost ten times as much.
"""

from collections.abc import Callable
from functools import partial

import msgspec

from app.db.revisions import RevisionRow
from app.messages import Encoded, Mode, RunForward, Updated
from app.pool.base import expect
from app.services.lab import Lab, in_thread, require
from app.services.references import find_reference
from app.services.writes import MOST_TRIES, Change, HeadMoved, advance, check_match, stale, too_contended, turn


async def forward(
    lab: Lab,
    name: str,
    *,
    body: bytes,
    content_type: str,
    accept: str,
    revision: int | None = None,
    mode: Mode = "eval",
    seed: int | None = None,
    capture: list[str] | None = None,
    update_buffers: bool = False,
    if_match: Callable[[], frozenset[str] | None] = lambda: None,
) -> Encoded:
    """Runs the network called `name` on the inputs in `body`, at its head or at `revision`.

    `mode`, `seed`, `capture`, `revision` and `update_buffers` are for bodies that cannot say them; what a JSON body
    says itself wins. `if_match` is asked when a revision is made, and only then.

    Raises: NotFound for the network or the revision; Stale; Forbidden to keep buffers with a key that only reads;
    whatever the network itself meets.
    """
    network = await find_reference(lab, name)
    task = RunForward(
        network=network,
        body=body,
        content_type=content_type,
        accept=accept,
        revision=revision,
        mode=mode,
        seed=seed,
        capture=capture or [],
        update_buffers=update_buffers,
    )
    reply = await lab.pool.submit(task, device=network.device)
    if isinstance(reply, Updated):
        return await _keep(lab, name, task, reply, if_match())
    return expect(reply, Encoded)


async def _keep(lab: Lab, name: str, task: RunForward, updated: Updated, if_match: frozenset[str] | None) -> Encoded:
    """Makes the revision that the reply tells of; runs again where another writer came first."""
    require(lab, "write")
    async with turn(lab, task.network.network_id):
        for _ in range(MOST_TRIES):
            check_match(name, updated.base.revision, if_match)
            change = Change(updated.manifest, "forward", {"updated": updated.names})
            try:
                await in_thread(partial(_advance, lab, name, updated, change))
            except HeadMoved as moved:
                if if_match is not None:
                    raise stale(moved) from None
            else:
                return updated.reply
            network = await find_reference(lab, name)
            again = msgspec.structs.replace(task, network=network)
            updated = expect(await lab.pool.submit(again, device=network.device), Updated)
    raise too_contended()


def _advance(lab: Lab, name: str, updated: Updated, change: Change) -> RevisionRow:
    with lab.database.transaction() as connection:
        return advance(connection, name, updated.base, change, author=lab.caller.name)
