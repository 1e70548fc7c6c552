"""Running a network as a job: the body waits in the database, the reply is kept there.

The network runs at the head it has when the job does, unless the request names a revision. What in-place requests do is
in `app.services.forward`.
"""

from collections.abc import Callable

import msgspec

from app.db.engine import Connection
from app.messages import Encoded, Mode, RunForward, Updated
from app.pool.base import expect
from app.services.idempotency import Answer, Write
from app.services.job_context import JobContext
from app.services.writes import Change, advance_or_stale, check_match


class LaterForward(msgspec.Struct, frozen=True):
    """What somebody asks for besides the body; see `app.services.forward.forward`."""

    content_type: str
    accept: str
    revision: int | None = None
    mode: Mode = "eval"
    seed: int | None = None
    capture: list[str] = msgspec.field(default_factory=list)
    update_buffers: bool = False
    if_match: frozenset[str] | None = None  # for a forward that makes a revision


async def forward_later(job: JobContext, *, render: Callable[[Encoded], Answer]) -> Write:
    """One attempt. Raises: NotFound, Stale; whatever the network itself meets."""
    asked = job.request(LaterForward)
    network = await job.network()
    task = RunForward(
        network=network,
        body=await job.body(),
        content_type=asked.content_type,
        accept=asked.accept,
        revision=asked.revision,
        mode=asked.mode,
        seed=asked.seed,
        capture=asked.capture,
        update_buffers=asked.update_buffers,
    )
    reply = await job.submit(task, device=network.device)
    if not isinstance(reply, Updated):
        answer = await job.keep(render(expect(reply, Encoded)))
        return lambda _: answer
    name, updated = job.job.network or "", reply
    check_match(name, updated.base.revision, asked.if_match)
    kept = await job.keep(render(updated.reply))
    change = Change(updated.manifest, "forward", {"updated": updated.names})

    def write(connection: Connection) -> Answer:
        advance_or_stale(connection, name, updated.base, change, asked.if_match, author=job.job.author)
        return kept

    return write
