"""Warnings of PyTorch that whoever sent a request should hear: a target that a loss spreads over its output.

Called by what runs losses.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

SPREAD = "Using a target size"  # so its losses begin to say that two shapes were made one


@contextmanager
def noted_warnings() -> Iterator[list[str]]:
    """Gives a list that holds, afterwards, each warning once."""
    noted: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", message=SPREAD)
        yield noted
    noted.extend(dict.fromkeys(str(one.message) for one in caught if str(one.message).startswith(SPREAD)))
