"""Looking at a network's modules. The worker that has the network writes the reply; here only the name is resolved."""

from app.messages import Encoded, ListModules
from app.pool.base import expect
from app.services.lab import Lab
from app.services.references import find_reference


async def list_modules(lab: Lab, name: str, path: str, media_type: str) -> tuple[Encoded, int]:
    """Describes the module at `path` ("" is the network) and those below it; the revision comes with it.

    Raises: NotFound for the network or the path.
    """
    network = await find_reference(lab, name)
    task = ListModules(network=network, path=path, accept=media_type)
    return expect(await lab.pool.submit(task, device=network.device), Encoded), network.revision
