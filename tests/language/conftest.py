"""What the tests of the language share: limits, a module to run against, one thread, a bounded Hypothesis."""

import pytest
import torch
from hypothesis import HealthCheck, settings

from app.settings import Limits

settings.register_profile(
    "language", derandomize=True, deadline=None, max_examples=150, suppress_health_check=list(HealthCheck)
)
settings.load_profile("language")


@pytest.fixture
def limits() -> Limits:
    return Limits()


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
