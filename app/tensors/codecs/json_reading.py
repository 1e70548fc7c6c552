"""Tensors from JSON values that are parsed already: nested lists, numbers, and `{"dtype", "shape", "data"}`.

Numbers are never looked at one by one in Python: lists are flattened level by level, their kinds gathered as sets,
and the rest is NumPy's and PyTorch's. Only to say where something is wrong are they walked. Called for inputs of
forward, constants of an architecture, values of edits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, NoReturn

import numpy as np
import torch

from app.errors import in_place, pointer_to
from app.settings import Limits
from app.tensors.dtypes import DTYPES, Dtype, count_elements, find_dtype
from app.tensors.shapes import check_shape, read_shape
from app.tensors.torch_dtypes import torch_dtype

NON_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_NUMBERS = frozenset((int, float))
_SQUARES_OF_FLOAT32 = 1e76  # numbers whose squares add up to less all fit into float32; NaN and infinity are never less


@dataclass(frozen=True)
class TensorReference:
    """`{"tensor": name}`: a tensor that the service holds under that name. `pointer` is where it was named; `move` lets
    it be brought to where it is needed."""

    name: str
    pointer: str
    move: bool = False


class _Leaves(NamedTuple):
    """Nested lists, flattened: the values in order, the nesting's sizes, and which kinds of values there are."""

    values: list[object]
    shape: tuple[int, ...]
    kinds: frozenset[type]
    pointer: str

    def refuse(self, position: int, message: str, code: str = "bad-tensor") -> NoReturn:
        raise in_place(self.pointer + _path(position, self.shape), message, code=code)

    def refuse_first(self, wrong: Callable[[object], bool], message: str) -> NoReturn:
        position = next((i for i, value in enumerate(self.values) if wrong(value)), 0)
        shown = _word(self.values[position])
        self.refuse(position, message.format(shown))


def looks_like_tensor(value: object) -> bool:
    """True for what is one tensor, False for an object of named ones: a list, a number, `{"data"}`, `{"tensor"}`."""
    if isinstance(value, dict):
        # {"data": [[1]]} and {"tensor": "x"} are one tensor; an input may be called so too, with an object for value
        return "data" in value or ("tensor" in value and isinstance(value["tensor"], str))
    return True


def read_tensor(
    value: object, *, pointer: str, dtype: str, limits: Limits | None = None
) -> torch.Tensor | TensorReference:
    """Makes a CPU tensor of a JSON value, in fresh memory, or tells which tensor it names.

    `dtype` is what numbers without a dtype become (the network's floating dtype). Raises Unprocessable, with a
    pointer to the very element: `bad-tensor`, `bad-dtype`, `shape-mismatch`, `unknown-key`, `limit-exceeded`.
    """
    limits = limits or Limits()
    if not isinstance(value, dict):
        return _read_data(value, None, None, dtype, limits, pointer)
    if "tensor" in value:
        return _read_reference(value, pointer)
    for key in value:
        if key not in ("dtype", "shape", "data"):
            message = f"a tensor has the keys dtype, shape and data, not '{key[:60]}'"
            raise in_place(pointer + pointer_to(key), message, code="unknown-key")
    if "data" not in value:
        raise in_place(pointer, 'a tensor needs "data"', code="bad-tensor")
    declared = find_dtype(value["dtype"], f"{pointer}/dtype") if value.get("dtype") is not None else None
    shape = None
    if value.get("shape") is not None:
        shape = read_shape(value["shape"], declared or DTYPES[dtype], limits, f"{pointer}/shape")
    return _read_data(value["data"], declared, shape, dtype, limits, f"{pointer}/data")


def _read_reference(value: dict[str, object], pointer: str) -> TensorReference:
    name = value["tensor"]
    if not isinstance(name, str) or not name:
        raise in_place(f"{pointer}/tensor", "the name of a tensor is text", code="bad-tensor")
    for key in value:
        if key not in ("tensor", "move"):
            message = f'beside "tensor" there may be "move", not \'{key[:60]}\''
            raise in_place(pointer + pointer_to(key), message, code="unknown-key")
    move = value.get("move", False)
    if not isinstance(move, bool):
        raise in_place(f"{pointer}/move", "move is true or false", code="bad-tensor")
    return TensorReference(name, pointer, move)


def _read_data(
    value: object, declared: Dtype | None, shape: tuple[int, ...] | None, floating: str, limits: Limits, pointer: str
) -> torch.Tensor:
    leaves = _flatten(value, pointer, limits)
    dtype = declared
    if dtype is None:
        dtype = DTYPES["bool"] if leaves.kinds == {bool} else DTYPES[floating]
    final = _shape(leaves, dtype, shape)
    check_shape(final, dtype, limits, pointer)
    return _CONVERT[dtype.kind](leaves, dtype, final)


def _flatten(value: object, pointer: str, limits: Limits) -> _Leaves:
    if type(value) is not list:
        return _Leaves([value], (), frozenset((type(value),)), pointer)
    items: list[object] = value
    shape = [len(items)]
    kinds = set(map(type, items))
    while list in kinds:
        if len(shape) > limits.tensor_rank:
            message = f"lists nested deeper than {limits.tensor_rank}, the most dimensions a tensor may have"
            raise in_place(pointer, message, code="limit-exceeded")
        lists: list[list[object]] = items  # type: ignore[assignment]  # all of them, or _refuse_ragged raises
        if len(kinds) > 1 or len(set(map(len, lists))) > 1:
            _refuse_ragged(items, tuple(shape), pointer)
        shape.append(len(lists[0]))
        items = list(chain.from_iterable(lists))
        kinds = set(map(type, items))
    return _Leaves(items, tuple(shape), frozenset(kinds), pointer)


def _refuse_ragged(items: list[object], shape: tuple[int, ...], pointer: str) -> NoReturn:
    first = items[0]
    for position, item in enumerate(items):
        place = pointer + _path(position, shape)
        if isinstance(item, list) != isinstance(first, list):
            here, there = ("a list", "values") if isinstance(item, list) else ("a value", "lists")
            raise in_place(place, f"{here} among {there}: the lists of a tensor have one depth", code="bad-tensor")
        if isinstance(item, list) and isinstance(first, list) and len(item) != len(first):
            message = f"{len(item)} elements where its neighbours have {len(first)}: the lists of a tensor are even"
            raise in_place(place, message, code="bad-tensor")
    raise AssertionError("the lists are even after all")


def _shape(leaves: _Leaves, dtype: Dtype, declared: tuple[int, ...] | None) -> tuple[int, ...]:
    """The tensor's shape: the nesting's, or the one declared, which the data must fit, flat or nested."""
    nested = leaves.shape
    if dtype.kind == "complex" and leaves.values:
        if not nested or nested[-1] != 2:
            raise in_place(leaves.pointer, "complex numbers are pairs [re, im]", code="bad-tensor")
        nested = nested[:-1]
    if declared is None or declared == nested:
        return nested
    count = count_elements(declared)
    if (len(nested) == 1 or count == 0) and count == count_elements(nested):
        return declared
    have = f"{count_elements(nested)} values" if len(nested) == 1 else f"data of shape {list(nested)}"
    message = f"{have} where shape {list(declared)} takes {count}"
    raise in_place(leaves.pointer, message, code="shape-mismatch")


def _read_booleans(leaves: _Leaves, _dtype: Dtype, shape: tuple[int, ...]) -> torch.Tensor:
    if not leaves.kinds <= {bool} and not (leaves.kinds <= {bool, int} and set(leaves.values) <= {0, 1}):
        leaves.refuse_first(
            lambda value: not isinstance(value, int) or value not in (0, 1), "{} where true or false was expected"
        )
    return torch.from_numpy(np.array(leaves.values, dtype=np.bool_).reshape(shape))


def _read_integers(leaves: _Leaves, dtype: Dtype, shape: tuple[int, ...]) -> torch.Tensor:
    if not leaves.kinds <= {int}:
        leaves.refuse_first(
            lambda value: type(value) is not int, "{} where an integer was expected, as the dtype is " + dtype.name
        )
    try:
        return torch.from_numpy(np.array(leaves.values, dtype=dtype.numpy).reshape(shape))
    except OverflowError:
        bounds = np.iinfo(np.dtype(dtype.numpy))
        low, high = int(bounds.min), int(bounds.max)
        leaves.refuse_first(
            lambda value: isinstance(value, int) and not low <= value <= high,
            "{} does not fit into " + f"{dtype.name} ({low} to {high})",
        )


def _read_floats(leaves: _Leaves, dtype: Dtype, shape: tuple[int, ...]) -> torch.Tensor:
    values: list[object] = leaves.values
    if not leaves.kinds <= _NUMBERS:
        values = _spell_out(leaves)
    exact = np.array(values, dtype=np.float64)
    if dtype.name == "float32" and np.vdot(exact, exact) < _SQUARES_OF_FLOAT32:  # unlike dot, it warns of no overflow
        return torch.from_numpy(exact.astype(np.float32).reshape(shape))
    tensor = torch.from_numpy(exact.reshape(shape))
    if dtype.name == "float64":
        return tensor
    tensor = tensor.to(torch_dtype(dtype.name))
    finite = np.isfinite((tensor if dtype.name == "float32" else tensor.float()).view(-1).numpy())
    if not finite.all():
        overflowed = np.flatnonzero(~finite & np.isfinite(exact))
        if overflowed.size:
            position = int(overflowed[0])
            leaves.refuse(position, f"{values[position]!r} does not fit into {dtype.name}")
    return tensor


def _spell_out(leaves: _Leaves) -> list[object]:
    """Puts numbers for "NaN", "Infinity" and "-Infinity"; refuses all else that is no number."""
    values = [NON_FINITE.get(value, value) if type(value) is str else value for value in leaves.values]
    for position, value in enumerate(values):
        if type(value) not in _NUMBERS:
            message = f"{_word(value)} where a number was expected"
            if type(value) is str:
                message += ' (the only texts are "NaN", "Infinity" and "-Infinity")'
            leaves.refuse(position, message)
    return values


def _read_complex(leaves: _Leaves, dtype: Dtype, shape: tuple[int, ...]) -> torch.Tensor:
    part = DTYPES["float32" if dtype.name == "complex64" else "float64"]
    return torch.view_as_complex(_read_floats(leaves, part, (*shape, 2)))


_CONVERT: dict[str, Callable[[_Leaves, Dtype, tuple[int, ...]], torch.Tensor]] = {
    "boolean": _read_booleans,
    "integer": _read_integers,
    "floating": _read_floats,
    "complex": _read_complex,
}


def _word(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "an object"
    return repr(value)[:40]


def _path(position: int, shape: tuple[int, ...]) -> str:
    """The JSON pointer of the value number `position` in nested lists of these sizes."""
    indices = []
    for size in reversed(shape):
        position, index = divmod(position, size)
        indices.append(index)
    return pointer_to(*reversed(indices))
