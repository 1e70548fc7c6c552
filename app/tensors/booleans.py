"""Booleans are the bytes 0 and 1; others make PyTorch's own functions disagree about them. Does not load PyTorch."""

import numpy as np

from app.errors import in_place


def check_booleans(data: memoryview, pointer: str, *, first: int = 0) -> None:
    """Raises Unprocessable (`bad-tensor`) for another byte; `first` is the number of the first element in `data`."""
    values = np.frombuffer(data, dtype=np.uint8)
    if values.size and values.max() > 1:
        position = int(np.flatnonzero(values > 1)[0])
        message = f"element {first + position} is the byte {values[position]} where a bool is 0 or 1"
        raise in_place(pointer, message, code="bad-tensor")
