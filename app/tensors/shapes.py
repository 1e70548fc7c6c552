"""Shapes that come from outside: checked before anything is made of them. Does not load PyTorch."""

from app.errors import in_place
from app.settings import Limits
from app.tensors.dtypes import Dtype

LARGEST_SIZE = 2**63 - 1


def read_shape(value: object, dtype: Dtype, limits: Limits, pointer: str) -> tuple[int, ...]:
    """A list of sizes as a shape. Raises Unprocessable: `bad-tensor` for what is no shape, or `limit-exceeded`."""
    if not isinstance(value, list | tuple):
        raise in_place(pointer, "a shape is a list of integers, such as [2, 3]", code="bad-tensor")
    for position, size in enumerate(value):
        if type(size) is not int or not 0 <= size <= LARGEST_SIZE:
            raise in_place(f"{pointer}/{position}", "a size is an integer from 0 up", code="bad-tensor")
    shape = tuple(value)
    check_shape(shape, dtype, limits, pointer)
    return shape


def check_shape(shape: tuple[int, ...], dtype: Dtype, limits: Limits, pointer: str) -> None:
    """Raises Unprocessable (`limit-exceeded`) for too many dimensions or bytes."""
    if len(shape) > limits.tensor_rank:
        message = f"{len(shape)} dimensions; at most {limits.tensor_rank} are allowed"
        raise in_place(pointer, message, code="limit-exceeded")
    elements = 1
    empty = False
    for size in shape:
        empty = empty or size == 0
        elements *= size or 1  # an empty tensor's other sizes count too: PyTorch multiplies them
    size_bytes = elements * dtype.item_bytes
    if size_bytes > (LARGEST_SIZE if empty else limits.tensor_bytes):
        message = f"{size_bytes} bytes; a tensor may have {limits.tensor_bytes}"
        raise in_place(pointer, message, code="limit-exceeded")
