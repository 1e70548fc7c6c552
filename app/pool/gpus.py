"""The NVIDIA GPUs of this machine, as the driver's library (NVML) tells of them: what `nvidia-smi` shows.

`cuda:0` is the first that `CUDA_VISIBLE_DEVICES` lets PyTorch see, which need not be the driver's first. Knows no
PyTorch. Called by `devices.py` and `hardware.py`.
"""

import logging
import os
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import pynvml

from app.pool.base import Measurement

logger = logging.getLogger(__name__)

AnswerT = TypeVar("AnswerT")


def gpu_count() -> int:
    """How many GPUs PyTorch can see here; 0 where there is no driver."""
    return len(_handles())


def measure_gpu(index: int) -> Measurement | None:
    """Measures `cuda:<index>`; None for one that is not there."""
    handles = _handles()
    if index >= len(handles):
        return None
    handle = handles[index]
    memory = _ask(pynvml.nvmlDeviceGetMemoryInfo, handle)
    rates = _ask(pynvml.nvmlDeviceGetUtilizationRates, handle)
    watts = _ask(pynvml.nvmlDeviceGetPowerUsage, handle)
    return Measurement(
        model=_ask(pynvml.nvmlDeviceGetName, handle),
        total_bytes=int(memory.total) if memory else None,
        used_bytes=int(memory.used) if memory else None,
        utilization=rates.gpu / 100 if rates else None,
        temperature_celsius=_ask(_temperature, handle),
        power_watts=watts / 1000 if watts is not None else None,
    )


@cache
def _handles() -> list[Any]:
    """The driver's handles of the GPUs that PyTorch can see, in PyTorch's order."""
    try:
        pynvml.nvmlInit()  # for the life of the process
    except pynvml.NVMLError:
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    handles = []
    for name in map(str.strip, visible.split(",")):
        handle = _ask(_find, name) if name else None
        if handle is None:
            break  # CUDA too takes those before the first that is none
        handles.append(handle)
    return handles


def _find(name: str) -> Any:
    if name.isdecimal():
        return pynvml.nvmlDeviceGetHandleByIndex(int(name))
    return pynvml.nvmlDeviceGetHandleByUUID(name)


def _temperature(handle: Any) -> int:
    return int(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))


def _ask(question: Callable[..., AnswerT], subject: object) -> AnswerT | None:
    """The answer, or None where the driver has none: not every GPU tells everything."""
    try:
        return question(subject)
    except pynvml.NVMLError as error:
        logger.debug("NVML gave no answer: %s", error)
        return None
