"""What becomes of the exceptions that tasks end with: memory that runs out, and devices that fail."""

import pytest
import torch

from app.errors import LabError, Unprocessable
from app.messages import Failure, Release, Released, Resident
from app.worker import failures, handlers
from app.worker.failures import describe
from app.worker.handlers import answer

CUDA_FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of ...")
CPU_FULL = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes.")
ASSERTED = torch.AcceleratorError("CUDA error: device-side assert triggered\nCompile with TORCH_USE_CUDA_DSA ...")


@pytest.fixture(autouse=True)
def no_cure_yet(monkeypatch):
    monkeypatch.setattr(failures, "_cured_at", float("-inf"))


def caused_by(cause: Exception) -> LabError:
    """As a network's forward tells of what it met."""
    try:
        raise Unprocessable("in child '0': ...", code="limit-exceeded") from cause
    except Unprocessable as error:
        return error


def on_gpu(make_worker):
    worker = make_worker()
    worker.residency.device = torch.device("cuda", 0)
    return worker


@pytest.mark.parametrize("error", [CUDA_FULL, caused_by(CUDA_FULL)], ids=["plain", "told by a forward"])
def test_memory_of_a_gpu_that_runs_out_has_a_code_of_its_own(make_worker, error):
    failure = describe(on_gpu(make_worker), error)
    assert (failure.kind, failure.code) == ("OutOfMemory", "out-of-memory")
    assert "20.00 GiB" in failure.detail


@pytest.mark.parametrize("error", [CPU_FULL, caused_by(CPU_FULL), MemoryError()], ids=["plain", "told", "python"])
def test_on_a_cpu_it_is_the_limit_of_the_operator(make_worker, error):
    assert describe(make_worker(), error).code == "limit-exceeded"


@pytest.mark.parametrize("error", [ASSERTED, caused_by(ASSERTED)], ids=["plain", "told by a forward"])
def test_a_device_that_failed_is_told_in_one_line(make_worker, error):
    failure = describe(on_gpu(make_worker), error)
    assert (failure.kind, failure.code) == ("Unavailable", "device-failed")
    assert "device-side assert" in failure.detail
    assert "Compile with" not in failure.detail


def test_what_nobody_foresaw_is_raised_again(make_worker):
    with pytest.raises(RuntimeError, match="a surprise"):
        describe(make_worker(), RuntimeError("a surprise"))


def fails_beside_others(error: Exception):
    """A task that finds memory only where nothing else lies on the device. Notes each try."""
    tries = []

    def handler(worker, task):
        tries.append(len(worker.residency.report()))
        if worker.residency.report():
            raise error
        return Released(device="cpu:0", bytes=0)

    return handler, tries


def fill(worker) -> None:
    worker.residency.add(Resident("network", "a", 1, 100), "A")


def test_a_task_without_memory_runs_once_more_without_the_others(make_worker, monkeypatch):
    worker = make_worker()
    handler, tries = fails_beside_others(caused_by(CPU_FULL))
    monkeypatch.setitem(handlers.HANDLERS, Release, handler)
    fill(worker)
    assert answer(worker, Release()) == Released(device="cpu:0", bytes=0)
    assert tries == [1, 0]


def test_a_task_that_can_never_have_its_memory_costs_nobody_its_place(make_worker, monkeypatch):
    worker = make_worker(worker_memory_bytes=1000)
    handler, tries = fails_beside_others(caused_by(CPU_FULL))  # it asks for 4096
    monkeypatch.setitem(handlers.HANDLERS, Release, handler)
    fill(worker)
    failure = answer(worker, Release())
    assert isinstance(failure, Failure)
    assert (failure.code, tries, len(worker.residency.report())) == ("limit-exceeded", [1], 1)


def test_a_device_is_not_emptied_again_and_again(make_worker, monkeypatch):
    worker = make_worker()
    handler, _ = fails_beside_others(MemoryError())
    monkeypatch.setitem(handlers.HANDLERS, Release, handler)
    fill(worker)
    assert isinstance(answer(worker, Release()), Released)
    fill(worker)
    assert isinstance(answer(worker, Release()), Failure)
    assert worker.residency.report()
