"""Parameters and buffers of a network: their list, and one's value. The values are written by the worker."""

from app.messages import Encoded, ListParameters, NetworkRef, ParameterList, ReadParameter
from app.pool.base import expect
from app.services.lab import Lab
from app.services.references import find_reference


async def list_parameters(lab: Lab, name: str, prefix: str | None) -> tuple[ParameterList, NetworkRef]:
    """Lists parameters and buffers in PyTorch's order, those of the module at `prefix` if one is given.

    Raises: NotFound for the network or the prefix.
    """
    network = find_reference(lab, name)
    task = ListParameters(network=network, prefix=prefix)
    return expect(await lab.pool.submit(task, device=network.device), ParameterList), network


async def read_parameter(
    lab: Lab, name: str, parameter: str, *, index: str | None, media_type: str
) -> tuple[Encoded, int]:
    """Reads one parameter or buffer, or the part of it that `index` names; the revision comes with it.

    Raises: NotFound for the network or the parameter; Unprocessable `bad-index`.
    """
    network = find_reference(lab, name)
    task = ReadParameter(network=network, parameter=parameter, index=index, accept=media_type)
    return expect(await lab.pool.submit(task, device=network.device), Encoded), network.revision
