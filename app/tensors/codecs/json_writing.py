"""Tensors as JSON: `{"dtype", "shape", "data"}`, data nested, written by orjson straight from the tensor's memory.

Floats are written with the fewest digits that give the same number back. Non-finite ones are the strings "NaN",
"Infinity" and "-Infinity"; complex numbers are pairs [re, im].

Readers of JSON make a double of every number, and a float32 of that. Of all 2**32 float32 values (each was tried) the
shortest digits of one alone do not survive this double rounding: 7.038531e-26. It is written with more of them.
"""

import numpy as np
import orjson
import torch

from app.tensors.torch_dtypes import dtype_name

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
    plain = tensor.detach()
    if plain.device.type != "cpu":
        plain = plain.cpu()
    if plain.dtype in _AS_FLOAT32:
        plain = plain.float()
    elif plain.dtype.is_complex:
        plain = torch.view_as_real(plain.resolve_conj())
    array: np.ndarray[tuple[int, ...], np.dtype[np.generic]] = plain.resolve_neg().numpy()
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return _with_names(array)
    if array.ndim == 0:
        return array[()]
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def dump(value: object) -> bytes:
    """JSON of anything that orjson knows, NumPy arrays included."""
    text = orjson.dumps(value, option=_OPTIONS)
    return text if _ODD not in text else orjson.dumps(_with_more_digits(value), option=_OPTIONS)


def _with_more_digits(value: object) -> object:
    """`value` with its float32 arrays written out, the odd number among them so that it survives two roundings."""
    if isinstance(value, dict):
        return {key: _with_more_digits(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_more_digits(inner) for inner in value]
    if isinstance(value, np.ndarray | np.float32) and value.dtype == np.float32:
        return orjson.Fragment(orjson.dumps(value, option=_OPTIONS).replace(_ODD, _ODD_EXACTLY))
    return value


def _with_names(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> orjson.Fragment:
    """orjson writes null for what is not finite; the names are put there, in order."""
    values = array.reshape(-1)
    odd = values[~np.isfinite(values)]
    names = np.where(np.isnan(odd), '"NaN"', np.where(odd > 0, '"Infinity"', '"-Infinity"')).tolist()
    if array.ndim == 0:
        return orjson.Fragment(names[0].encode())
    written = orjson.dumps(np.ascontiguousarray(array), option=_OPTIONS)
    parts = (written if array.dtype == np.float64 else written.replace(_ODD, _ODD_EXACTLY)).split(b"null")
    text = bytearray(parts[0])
    for name, part in zip(names, parts[1:], strict=True):
        text += name.encode()
        text += part
    return orjson.Fragment(bytes(text))
