"""Tensors written as JSON inside an architecture: nested lists, a number, or `{"dtype", "shape", "data"}`.

`read_tensor` checks the form alone (cheap, no PyTorch memory); `to_tensor` makes the tensor. Non-finite numbers are
the strings "NaN", "Infinity" and "-Infinity". Called by `read_own.py` and `first_values.py`.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch

from app.architecture.spec import TensorLiteral
from app.errors import in_place
from app.language.words import DTYPES
from app.settings import Limits

NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
FORM = 'a tensor is nested lists of numbers, a number, or {"dtype": ..., "shape": [...], "data": ...}'


def read_tensor(value: object, limits: Limits, pointer: str) -> TensorLiteral:
    """Checks a tensor's form: equal lengths, numbers only, a known dtype, a shape that fits. Raises Unprocessable."""
    if not isinstance(value, Mapping):
        flat, shape = _flatten(value, limits, pointer)
        return TensorLiteral(flat, shape, None, pointer)
    if unknown := sorted(value.keys() - {"dtype", "shape", "data"}):
        if "tensor" in unknown:
            message = f"there is no tensor {value['tensor']!r:.60}; write its values here, as data"
            raise in_place(f"{pointer}/tensor", message, code="unknown-name")
        raise in_place(f"{pointer}/{unknown[0]}", f"unknown key {unknown[0]!r}. {FORM}", code="unknown-key")
    if "data" not in value:
        raise in_place(pointer, f'"data" is missing. {FORM}', code="bad-arguments")
    flat, shape = _flatten(value["data"], limits, pointer + "/data")
    dtype = value.get("dtype")
    if dtype is not None and (not isinstance(dtype, str) or dtype not in DTYPES):
        message = f"unknown dtype {dtype!r:.60}; one of {', '.join(sorted(DTYPES))}"
        raise in_place(pointer + "/dtype", message, code="bad-dtype")
    if value.get("shape") is not None:
        shape = _shape(value["shape"], flat, shape, pointer)
    _check_numbers(flat, dtype, pointer + "/data")
    return TensorLiteral(flat, shape, dtype, pointer)


def _shape(written: object, flat: list[object], shape: tuple[int, ...], pointer: str) -> tuple[int, ...]:
    sizes: list[Any] = list(written) if isinstance(written, list | tuple) else [None]
    if not all(isinstance(size, int) and not isinstance(size, bool) and size >= 0 for size in sizes):
        raise in_place(pointer + "/shape", "a shape is a list of sizes, such as [2, 3]", code="bad-arguments")
    wanted = tuple(sizes)
    if math.prod(wanted) != len(flat) or (len(shape) > 1 and shape != wanted):
        message = f"the data has shape {list(shape)}, which is not {list(wanted)}"
        raise in_place(pointer + "/shape", message, code="shape-mismatch")
    return wanted


def _flatten(value: object, limits: Limits, pointer: str) -> tuple[list[object], tuple[int, ...]]:
    shape: list[int] = []
    level: list[Any] = [value]
    while level and isinstance(level[0], list | tuple):
        if len(shape) >= limits.tensor_rank:
            raise in_place(pointer, f"a tensor has at most {limits.tensor_rank} dimensions", code="limit-exceeded")
        size = len(level[0])
        if not all(isinstance(row, list | tuple) and len(row) == size for row in level):
            raise in_place(pointer, f"rows of different length in dimension {len(shape)}", code="shape-mismatch")
        shape.append(size)
        level = [item for row in level for item in row]
    for item in level:
        number = isinstance(item, int | float) or (isinstance(item, str) and item in NON_FINITE)
        if not number or (isinstance(item, int) and not -(2**63) <= item < 2**64):
            raise in_place(pointer, f"{item!r:.60} is no number of a tensor. {FORM}", code="bad-arguments")
    return level, tuple(shape)


def _check_numbers(flat: list[object], dtype: str | None, pointer: str) -> None:
    if dtype is None or dtype.startswith(("float", "bfloat", "complex")):
        return
    for item in flat:
        if dtype == "bool":
            fits = isinstance(item, bool) or item in (0, 1)
        else:
            span = torch.iinfo(getattr(torch, dtype))
            fits = isinstance(item, int) and not isinstance(item, bool) and span.min <= item <= span.max
        if not fits:
            raise in_place(pointer, f"{item!r:.60} is no {dtype}", code="bad-arguments")


def to_tensor(literal: TensorLiteral, device: torch.device | str) -> torch.Tensor:
    """Makes the tensor: of its dtype, else float32 (the network's dtype comes when the whole network is cast)."""
    assert isinstance(literal.data, list)
    dtype = torch.float32 if literal.dtype is None else getattr(torch, literal.dtype)
    if torch.device(device).type == "meta":
        return torch.empty(literal.shape, dtype=dtype, device=device)
    numbers = [NON_FINITE[item] if isinstance(item, str) else item for item in literal.data]
    return torch.tensor(numbers, dtype=dtype, device=device).reshape(literal.shape)
