"""How this worker is: its device's name and memory, and the networks on it. Called by the handlers."""

import platform
from pathlib import Path

import psutil
import torch

from app.messages import ReportStatus, Status
from app.worker.context import Worker


def report_status(worker: Worker, task: ReportStatus) -> Status:  # noqa: ARG001  # every handler takes a task
    """Memory is the device's: the GPU's own, or the machine's for a CPU slot. In bytes."""
    device = worker.residents.device
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        name = torch.cuda.get_device_name(device)
    else:
        memory = psutil.virtual_memory()
        free, total, name = memory.available, memory.total, _cpu_name()
    return Status(
        device=worker.device,
        device_type=device.type,
        device_name=name,
        memory_total_bytes=total,
        memory_used_bytes=total - free,
        process_bytes=psutil.Process().memory_info().rss,
        residents=worker.residents.report(),
    )


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
