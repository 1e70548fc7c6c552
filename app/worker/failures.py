"""What becomes of an exception that a task ends with: a `Failure` in words, a second try, or the end of this worker.

Called by `handlers.py` and `process.py`.
"""

import time

import torch

from app.errors import LabError, OutOfMemory, Unavailable, Unprocessable
from app.messages import Failure, to_failure
from app.worker.context import Worker
from app.worker.memory import bytes_asked, capacity, causes, lack_of_memory

DEVICE_FAILED = "device-failed"
CURE_PAUSE_SECONDS = 10.0  # a network that is too large for the device must not empty it again and again

_cured_at = float("-inf")


def may_be_cured(worker: Worker, error: Exception) -> bool:
    """Whether the task may find the memory it lacks if everything else leaves the device."""
    global _cured_at  # noqa: PLW0603  # of this process, as the device is
    lack = lack_of_memory(error)
    if lack is None or not worker.residency.byte_count:
        return False
    asked = bytes_asked(lack)
    if asked is not None and asked > capacity(str(worker.residency.device), worker.settings):
        return False
    if time.monotonic() - _cured_at < CURE_PAUSE_SECONDS:
        return False
    _cured_at = time.monotonic()
    return True


def describe(worker: Worker, error: Exception) -> Failure:
    """The failure to answer with. An exception that nobody foresaw is raised again."""
    on_gpu = worker.residency.device.type == "cuda"
    poison = device_failure(error)
    if poison is not None:
        message = f"{worker.device} failed: {_first_line(poison)}. Its worker is replaced."
        return to_failure(Unavailable(message, code=DEVICE_FAILED, extra={"retry_after_seconds": 5}))
    lack = lack_of_memory(error)
    if lack is not None and on_gpu:
        return to_failure(OutOfMemory(f"{worker.device} has not enough memory for it: {_first_line(lack)}"))
    if isinstance(error, LabError):
        return to_failure(error)
    if lack is not None:
        return to_failure(Unprocessable("It needs more memory than a worker may take.", code="limit-exceeded"))
    if isinstance(error, RecursionError):
        return to_failure(Unprocessable("It is nested too deeply.", code="limit-exceeded"))
    raise error


def device_failure(error: BaseException) -> BaseException | None:
    """The error after which a GPU does nothing more for this process, such as a device-side assert, if that is it."""
    for cause in causes(error):
        if isinstance(cause, torch.AcceleratorError) and not isinstance(cause, torch.OutOfMemoryError):
            return cause
        if isinstance(cause, RuntimeError) and str(cause).startswith("CUDA error"):
            return cause
    return None


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:300]
