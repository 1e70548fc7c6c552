"""The memory of a device: how much residents may take of it, telling when it is full, and giving it back.

Called by `residency.py` and the handlers' frame.
"""

import ctypes
import os
import re
from collections.abc import Iterator

import torch

from app.settings import GIB, Settings

MEMORY_SHARE = 0.8  # of the machine's memory, for all CPU workers together
RESIDENT_SHARE = 0.6  # of a device's memory, for what stays there between calls
CPU_RESIDENT_BYTES = 6 * GIB

ASKED = re.compile(r"tried to allocate ([\d.]+) (bytes|KiB|MiB|GiB)", re.IGNORECASE)
UNITS = {"bytes": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_FULL = re.compile(r"can't allocate memory|not enough memory|out of memory|alloc_cpu")


def address_space(settings: Settings) -> int:
    """The bytes that a CPU worker may take beyond what it starts with."""
    machine_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    workers = len((settings.devices or "cpu").split(",")) * settings.workers_per_device
    return settings.worker_memory_bytes or int(machine_bytes * MEMORY_SHARE / workers)


def capacity(place: str, settings: Settings) -> int:
    """The bytes that a worker could take if nothing else were there."""
    if place.startswith("cpu"):
        return address_space(settings)
    _, total = torch.cuda.mem_get_info(place)
    return total


def resident_budget(place: str, settings: Settings) -> int:
    """The bytes of networks and tensors that one worker keeps on its device."""
    if settings.resident_bytes is not None:
        return settings.resident_bytes
    if place.startswith("cpu"):
        return min(CPU_RESIDENT_BYTES, int(capacity(place, settings) * RESIDENT_SHARE))
    return int(capacity(place, settings) * RESIDENT_SHARE / settings.workers_per_device)


def is_full(error: BaseException) -> bool:
    """True for an error that says that there is no memory left."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _FULL.search(str(error)) is not None


def lack_of_memory(error: BaseException) -> BaseException | None:
    """The error that says that there is no memory left, among `error` and what caused it."""
    return next(filter(is_full, causes(error)), None)


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what caused it, and so on, each once: an error may have been raised from itself."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__


def bytes_asked(error: BaseException) -> int | None:
    """How many bytes could not be had, as far as PyTorch tells."""
    asked = ASKED.search(str(error))
    return int(float(asked[1]) * UNITS[asked[2].lower()]) if asked else None


def give_back(device: torch.device) -> None:
    """Gives memory that nothing uses any more back to the driver or the system."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    else:
        ctypes.CDLL(None).malloc_trim(0)


def device_bytes(device: torch.device) -> int | None:
    """What PyTorch has taken of a GPU's memory for this process; None on a CPU."""
    return torch.cuda.memory_reserved(device) if device.type == "cuda" else None
