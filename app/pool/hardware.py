"""Measures the devices of this machine from outside: a worker that is busy or starting is not asked.

A GPU's figures are the driver's own. A CPU slot has the machine's memory and processors, and what its workers have
taken of the memory is the system's count of their processes. Called by the pools, in a thread.
"""

import platform
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

import psutil

from app.pool.base import Measurement, WorkerInfo
from app.pool.gpus import measure_gpu


def measure(workers: Iterable[WorkerInfo]) -> dict[str, Measurement]:
    """Measures the device of each worker, by the device's name."""
    found: dict[str, Measurement] = {}
    cpu: Measurement | None = None
    for worker in workers:
        kind, _, index = worker.place.partition(":")
        if kind == "cuda":
            before = found.get(worker.device) or measure_gpu(int(index)) or Measurement()
            taken = worker.device_bytes
        else:
            cpu = cpu or _measure_cpu()
            before = found.get(worker.device, cpu)
            taken = _process_bytes(worker.pid)
        found[worker.device] = replace(before, worker_bytes=(before.worker_bytes or 0) + (taken or 0))
    return found


def _measure_cpu() -> Measurement:
    memory = psutil.virtual_memory()
    return Measurement(
        model=_cpu_name(),
        total_bytes=memory.total,
        used_bytes=memory.total - memory.available,
        utilization=_utilization(),
    )


def _utilization() -> float:
    """Since the call before, or since the start of the process."""
    return round(psutil.cpu_percent(interval=None) / 100, 3)


def _process_bytes(pid: int | None) -> int | None:
    try:
        return None if pid is None else int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:  # it has just died
        return None


@cache
def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


_utilization()  # the first call only sets the mark that the next one measures from
