"""Tensors as JSON: `{"dtype", "shape", "data"}`, data nested, written by orjson straight from the tensor's memory.

Floats are written with the fewest digits that give the same number back. Non-finite ones are the strings "NaN",
"Infinity" and "-Infinity"; complex numbers are pairs [re, im].

Readers of JSON make a double of every number, and a float32 of that. Of all 2**32 float32 values (each was tried) the
shortest digits of one alone do not survive this double rounding: 7.038531e-26. It is written with more of them.
"""

from typing import Any

import numpy as np
import orjson
import torch

from app.tensors.torch_dtypes import dtype_name

Array = np.ndarray[tuple[int, ...], np.dtype[Any]]
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY
_ODD = b"7.038531e-26"
_ODD_EXACTLY = b"7.0385307e-26"
_AS_FLOAT32 = {
    torch.float16,
    torch.bfloat16,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
    torch.float8_e4m3fnuz,
    torch.float8_e5m2fnuz,
    torch.float8_e8m0fnu,
}


def json_value(tensor: torch.Tensor) -> dict[str, object]:
    """A tensor as a value for `dump`; it may share the tensor's memory, which must not change before that."""
    return {"dtype": dtype_name(tensor.dtype), "shape": list(tensor.shape), "data": json_data(tensor)}


def json_data(tensor: torch.Tensor) -> object:
    """The "data" of a tensor alone, as a value for `dump`."""
    if tensor.dtype in _AS_FLOAT32:
        tensor = tensor.float()
    elif tensor.is_complex():
        tensor = torch.view_as_real(tensor.detach().resolve_conj())
    array: Array = tensor.numpy(force=True)  # on the CPU, apart from its gradient
    if array.ndim == 0:
        return array[()]
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def dump(value: object) -> bytes:
    """JSON of anything that orjson knows, NumPy arrays included."""
    text = orjson.dumps(value, option=_OPTIONS)
    if b"null" in text or _ODD in text:  # orjson writes null for what is not finite; both are rare
        return orjson.dumps(_spelt_out(value), option=_OPTIONS)
    return text


def _spelt_out(value: object) -> object:
    """`value` with the arrays written out that hold what is not finite, or the odd number."""
    if isinstance(value, dict):
        return {key: _spelt_out(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_spelt_out(inner) for inner in value]
    if isinstance(value, np.ndarray | np.floating) and value.dtype.kind == "f":
        return _written(np.asarray(value))
    return value


def _written(array: Array) -> orjson.Fragment:
    """JSON of an array of floats, with names where orjson writes null, and enough digits for the odd number."""
    values = array.reshape(-1)
    odd = values[~np.isfinite(values)]
    names = np.where(np.isnan(odd), '"NaN"', np.where(odd > 0, '"Infinity"', '"-Infinity"')).tolist()
    if array.ndim == 0 and names:
        return orjson.Fragment(names[0].encode())
    written = orjson.dumps(array if array.ndim else array[()], option=_OPTIONS)
    parts = (written.replace(_ODD, _ODD_EXACTLY) if array.dtype == np.float32 else written).split(b"null")
    text = bytearray(parts[0])
    for name, part in zip(names, parts[1:], strict=True):
        text += name.encode()
        text += part
    return orjson.Fragment(bytes(text))
