"""Where things are: choosing a device for what is made, and keeping devices clear of what has gone.

Called by the services of networks and tensors.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence

from app.db import networks, placed_tensors
from app.db.engine import Connection
from app.errors import LabError
from app.messages import Release
from app.pool.devices import find_device
from app.services.lab import Lab, look_up


async def choose_device(lab: Lab, wanted: str | None, *, fallback: bool = False, pointer: str) -> str:
    """The device that is meant. None is the default one; `auto` the one with the fewest bytes placed on it.

    Raises: Unprocessable `unknown-device`, at `pointer`, unless `fallback` lets a CPU stand in.
    """
    devices = lab.pool.devices
    placed = await look_up(lab, _placed_bytes) if wanted == "auto" and len(devices) > 1 else {}
    return find_device(wanted, devices, placed=placed, fallback=fallback, pointer=pointer)


def _placed_bytes(connection: Connection) -> Counter[str]:
    return Counter(networks.placed_bytes(connection)) + Counter(placed_tensors.placed_bytes(connection))


def release(lab: Lab, device: str, *, network_ids: Sequence[str] = (), tensor_ids: Sequence[str] = ()) -> None:
    """Lets a device free the memory of what has gone from it, as soon as its worker comes to it.

    Nobody waits for that, and if it fails it will leave the device as the least recently used.
    """
    if device in lab.pool.devices:
        task = asyncio.ensure_future(_release(lab, device, Release(list(network_ids), list(tensor_ids))))
        lab.background.add(task)
        task.add_done_callback(lab.background.discard)


async def _release(lab: Lab, device: str, task: Release) -> None:
    try:
        await lab.pool.submit(task, device=device)
    except LabError:
        return
