"""What one row of the tables is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_generator = torch.Generator().manual_seed(2024)


@dataclass(frozen=True)
class Case:
    """An architecture in JSON, the class that says the same in PyTorch, and inputs by the names of its forward.

    With `seeded` the outputs depend on random numbers in mode eval too.
    """

    name: str
    architecture: Any
    twin: Callable[[], nn.Module]
    inputs: Mapping[str, Tensor]
    seeded: bool = False


def uniform(*shape: int) -> Tensor:
    """Numbers between 0 and 1, other ones at each call, the same in each run."""
    return torch.rand(*shape, generator=_generator)


def integers(high: int, *shape: int) -> Tensor:
    """Whole numbers from 0 to `high` - 1."""
    return torch.randint(high, shape, generator=_generator)
