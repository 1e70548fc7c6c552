"""From a network's name to what a worker must be told of it. Used by the services that ask a worker about a network."""

from app.messages import NetworkRef
from app.services.lab import Lab
from app.services.naming import is_name
from app.services.networks import no_network


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
