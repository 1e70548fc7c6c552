"""Moving networks from device to device. Called by `app.api.routes.networks`."""

from functools import partial

import msgspec

from app.db.networks import NetworkRow
from app.messages import LoadNetwork
from app.services.lab import Lab, in_thread
from app.services.networks import change_row
from app.services.placement import choose_device, release
from app.services.references import find_reference
from app.services.writes import check_match


async def place_network(
    lab: Lab, name: str, device: str, *, fallback: bool, if_match: frozenset[str] | None
) -> NetworkRow:
    """Loads a network on a device, makes that its place, and frees the memory that it had where it was.

    Raises: NotFound, Stale; Unprocessable `unknown-device` unless `fallback` lets a CPU stand in, `limit-exceeded`
    where it does not fit.
    """
    network = await find_reference(lab, name)
    check_match(name, network.revision, if_match)
    found = await choose_device(lab, device, fallback=fallback, pointer="/device")
    await lab.pool.submit(LoadNetwork(msgspec.structs.replace(network, device=found)), device=found)
    row = await in_thread(partial(change_row, lab, name, {"device": found}, if_match, network_id=network.network_id))
    if network.device != found:
        release(lab, network.device, network_ids=[network.network_id])
    return row
