"""One PyTorch thread, as the service under test has, and the chapter's networks under the name of the test's module."""

from collections.abc import Iterator

import httpx
import pytest
import torch

from tests.inference.nets import create_all


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def prefix(service: httpx.Client, request: pytest.FixtureRequest) -> str:
    """What the names of this module's networks begin with."""
    name = request.module.__name__.rpartition(".")[2]
    create_all(service, name)
    return name


@pytest.fixture(scope="module")
def address(service: httpx.Client) -> str:
    """Host and port, as the clients want them."""
    return service.base_url.netloc.decode()
