"""A network as Python source. A worker writes it; here only the name is resolved."""

from app.messages import Encoded, WriteSource
from app.pool.base import expect
from app.services.lab import Lab
from app.services.references import find_reference_at


async def write_source(lab: Lab, name: str, revision: int | None) -> tuple[Encoded, int]:
    """Writes the network's file; the revision comes with it. Raises: NotFound for either."""
    network = await find_reference_at(lab, name, revision)
    task = WriteSource(network=network, title=name)
    return expect(await lab.pool.submit(task, device=network.device), Encoded), network.revision
