"""Random numbers with a seed, as PyTorch draws them, without disturbing what is drawn otherwise."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """`torch.manual_seed(seed)` on the CPU for what runs inside; the generator goes on as before afterwards.

    None changes nothing.
    """
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
