"""Loading a state_dict as a job: the tensors are in the store before the job is, and become a revision when it runs.

What a file brings is compared with the network twice: when it comes, so that the client is told at once, and when the
job runs, on the network as it is then. What requests in place do is in `app.services.states`.
"""

from collections.abc import Callable, Mapping

import msgspec

from app.services.idempotency import Answer, Write
from app.services.job_context import JobContext
from app.services.lab import Lab, in_thread
from app.services.states import Loaded, Target, describe_target, plan_load
from app.services.uploads import Received
from app.services.writes import prepare_revision
from app.store.store import TensorStore

TENSORS = "tensors"  # what the job calls the manifest of what was sent


class LaterState(msgspec.Struct, frozen=True):
    """What somebody asks for besides the tensors."""

    prefix: str
    strict: bool
    detail: Mapping[str, object]
    left_out: tuple[str, ...] = ()  # names in the file whose tensors were not stored
    if_match: frozenset[str] | None = None


async def keep_received(lab: Lab, target: Target, received: Received, asked: LaterState) -> str:
    """Keeps a manifest of what was sent, and returns its digest. Raises: what loading it now would raise."""
    plan_load(lab, "", target, received, strict=asked.strict, detail=asked.detail)
    entries = [(key, stored.digest) for key, stored in received.tensors.items()]
    return await in_thread(lambda: TensorStore(lab.database).keep_manifest(entries))


async def load_later(job: JobContext, *, render: Callable[[Loaded], Answer]) -> Write:
    """One attempt. Raises: NotFound, Stale; Conflict `tied-conflict`; Unprocessable where it does not fit any more."""
    asked = job.request(LaterState)
    name, head = job.job.network or "", await job.network()
    manifest = (await job.manifests())[TENSORS]
    tensors = await in_thread(lambda: TensorStore(job.lab.database).manifest(manifest))
    target = await describe_target(job.lab, head, asked.prefix)
    received = Received("dict", tensors, left_out=asked.left_out)
    work, tell = plan_load(job.lab, name, target, received, strict=asked.strict, detail=asked.detail)
    return await prepare_revision(
        name, head, work, lambda row: render(tell(row)), asked.if_match, author=job.job.author
    )
