"""From a network's name to what a worker must be told of it. Used by the services that ask a worker about a network."""

from app.messages import NetworkRef
from app.services.lab import Lab
from app.services.naming import is_name
from app.services.networks import no_network, no_revision


def find_reference(lab: Lab, name: str) -> NetworkRef:
    """The network's head as a worker needs it. Raises: NotFound."""
    head = lab.heads.find(lab.workspace, name) if is_name(name) else None
    if head is None:
        raise no_network(name)
    return NetworkRef(
        network_id=head.network_id,
        revision=head.revision,
        manifest=head.manifest,
        dtype=head.dtype,
        device=head.device,
    )


def find_reference_at(lab: Lab, name: str, revision: int | None) -> NetworkRef:
    """A network at one of its revisions, None: the head. Raises: NotFound for either."""
    head = find_reference(lab, name)
    if revision is None or revision == head.revision:
        return head
    found = lab.heads.find_revision(head.network_id, revision)
    if found is None:
        raise no_revision(name, revision, head.revision)
    return NetworkRef(found.network_id, found.revision, found.manifest, found.dtype, found.device)
