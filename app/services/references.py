"""From a network's name to what a worker must be told of it. Used by the services that ask a worker about a network."""

from app.db.heads import Head
from app.messages import Batching, NetworkRef
from app.services.lab import Lab, ask_heads
from app.services.naming import is_name
from app.services.networks import no_network, no_revision


async def find_reference(lab: Lab, name: str) -> NetworkRef:
    """The network's head as a worker needs it. Raises: NotFound, Unavailable."""
    head = await ask_heads(lab, lambda heads: heads.find(lab.workspace, name)) if is_name(name) else None
    if head is None:
        raise no_network(name)
    return _reference(head)


async def find_reference_at(lab: Lab, name: str, revision: int | None) -> NetworkRef:
    """A network at one of its revisions, None: the head. Raises: NotFound for either, Unavailable."""
    head = await find_reference(lab, name)
    if revision is None or revision == head.revision:
        return head
    found = await ask_heads(lab, lambda heads: heads.find_revision(head.network_id, revision))
    if found is None:
        raise no_revision(name, revision, head.revision)
    return _reference(found)


def _reference(head: Head) -> NetworkRef:
    batching = None
    if head.batch_size is not None and head.batch_wait_ms is not None:
        batching = Batching(head.batch_size, head.batch_wait_ms)
    return NetworkRef(
        network_id=head.network_id,
        revision=head.revision,
        manifest=head.manifest,
        dtype=head.dtype,
        device=head.device,
        batching=batching,
    )
