"""One service for what must hold on a GPU. Each test runs on a CPU slot too, through the same code, with what a CPU
answers in its place; on a GPU (`make test-gpu`) only where there is one."""

from collections.abc import Iterator

import httpx
import pytest
import torch

from tests.service import start_service

WHY_NOT = None if torch.cuda.is_available() else "PyTorch finds no CUDA device here"
CUDA = pytest.param("cuda:0", marks=[pytest.mark.gpu, pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))])


@pytest.fixture(scope="session", name="lab")
def start_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    devices = "cpu:0,cpu:1" if WHY_NOT else "cpu:0,cpu:1,cuda:0"
    spares = "0" if WHY_NOT else "1"
    env = {"MODEL_LAB_DEVICES": devices, "MODEL_LAB_WORKER_MEMORY_BYTES": str(640 * 2**20)}
    with (
        start_service(tmp_path_factory.mktemp("gpu"), env=env | {"MODEL_LAB_SPARE_WORKERS": spares}) as running,
        running.client() as client,
    ):
        yield client


@pytest.fixture(params=["cpu:1", CUDA])
def device(request: pytest.FixtureRequest) -> str:
    """The device that a test is about; the other one is `cpu:0`."""
    return str(request.param)


@pytest.fixture
def place(device: str) -> torch.device:
    """What PyTorch calls it here."""
    return torch.device("cuda:0" if device == "cuda:0" else "cpu")
