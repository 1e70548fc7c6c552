"""Measuring devices from outside: the machine's figures, and a GPU's as its driver, here one of paper, tells them."""

import os
from types import SimpleNamespace

import psutil
import pynvml
import pytest

from app.pool import gpus
from app.pool.base import WorkerInfo
from app.pool.hardware import measure


def worker(device: str, pid: int | None = None, device_bytes: int | None = None, lane: str = "requests") -> WorkerInfo:
    place = "cpu" if device.startswith("cpu") else device
    return WorkerInfo("worker", device, lane, "ready", pid, 0, 0, 0, device_bytes=device_bytes, place=place)  # type: ignore[arg-type]


def test_a_cpu_slot_has_the_machines_memory_and_its_own_workers():
    found = measure([worker("cpu:0", os.getpid()), worker("cpu:1"), worker("cpu:0", os.getpid(), lane="jobs")])
    assert found["cpu:0"].total_bytes == found["cpu:1"].total_bytes == psutil.virtual_memory().total
    assert found["cpu:1"].worker_bytes == 0
    assert found["cpu:0"].worker_bytes == pytest.approx(2 * psutil.Process().memory_info().rss, rel=0.2)
    assert found["cpu:0"].model


def test_a_worker_that_has_just_died_takes_nothing():
    assert measure([worker("cpu:0", 2**22 - 1)])["cpu:0"].worker_bytes == 0


class PaperDriver:
    """Two GPUs; the second tells nothing of its power or use, as small ones do."""

    def nvmlInit(self) -> None: ...

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        if index > 1:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:
        return {"GPU-a": 0, "GPU-b": 1}[uuid]

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        return SimpleNamespace(total=80_000 + handle, used=1_000)

    def nvmlDeviceGetName(self, handle: int) -> str:
        return f"NVIDIA Paper {handle}"

    def nvmlDeviceGetTemperature(self, handle: int, _sensor: int) -> int:
        return 40 + handle

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> SimpleNamespace:
        if handle == 1:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(gpu=25, memory=10)

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        if handle == 1:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return 123_400


@pytest.fixture
def driver(monkeypatch):
    paper = PaperDriver()
    for name in (name for name in dir(PaperDriver) if name.startswith("nvml")):
        monkeypatch.setattr(pynvml, name, getattr(paper, name))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gpus._handles.cache_clear()
    yield
    gpus._handles.cache_clear()


def test_a_gpu_is_measured_by_its_driver(driver):
    found = measure([worker("cuda:0", device_bytes=300), worker("cuda:0", device_bytes=200, lane="jobs")])["cuda:0"]
    assert (found.model, found.total_bytes, found.used_bytes) == ("NVIDIA Paper 0", 80_000, 1_000)
    assert (found.utilization, found.temperature_celsius, found.power_watts) == (0.25, 40, 123.4)
    assert found.worker_bytes == 500


def test_what_a_gpu_does_not_tell_is_left_out(driver):
    found = measure([worker("cuda:1")])["cuda:1"]
    assert (found.model, found.utilization, found.power_watts) == ("NVIDIA Paper 1", None, None)


@pytest.mark.parametrize(
    ("visible", "models"),
    [
        ("1,0", ["NVIDIA Paper 1", "NVIDIA Paper 0"]),
        ("GPU-b", ["NVIDIA Paper 1"]),
        ("0,7,1", ["NVIDIA Paper 0"]),
        ("", []),
    ],
)
def test_gpus_are_counted_as_pytorch_sees_them(driver, monkeypatch, visible, models):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    gpus._handles.cache_clear()
    assert gpus.gpu_count() == len(models)
    assert [gpus.measure_gpu(index).model for index in range(len(models))] == models
    assert gpus.measure_gpu(len(models)) is None
