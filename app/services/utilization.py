"""How busy a device was lately: the NVIDIA driver's own figure for a GPU, the machine's for a CPU."""

import psutil
import pynvml


def utilization_of(device: str) -> float | None:
    """The share of time that `device` ("cuda:0", "cpu:0") was busy lately, 0 to 1; None where nobody measures it.

    A CPU's is measured since the call before, or since the start of the process.
    """
    kind, _, index = device.partition(":")
    if kind == "cpu":
        return _cpu()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        rates = pynvml.nvmlDeviceGetUtilizationRates(pynvml.nvmlDeviceGetHandleByIndex(int(index or 0)))
        return float(rates.gpu) / 100
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()


def _cpu() -> float:
    return round(psutil.cpu_percent(interval=None) / 100, 3)


_cpu()  # the first call only sets the mark that the next one measures from
