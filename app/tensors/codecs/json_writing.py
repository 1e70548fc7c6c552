"""Tensors as JSON: `{"dtype", "shape", "data"}`, data nested, written by orjson straight from the tensor's memory.

Floats are written with the fewest digits that give the same number back. Non-finite ones are the strings "NaN",
"Infinity" and "-Infinity"; complex numbers are pairs [re, im].
"""

import numpy as np
import orjson
import torch

from app.tensors.torch_dtypes import dtype_name

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY
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
    return orjson.dumps(value, option=_OPTIONS)


def _with_names(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> orjson.Fragment:
    """orjson writes null for what is not finite; the names are put there, in order."""
    array = np.ascontiguousarray(array)
    values = array.reshape(-1)
    odd = values[~np.isfinite(values)]
    names = np.where(np.isnan(odd), '"NaN"', np.where(odd > 0, '"Infinity"', '"-Infinity"')).tolist()
    if array.ndim == 0:
        return orjson.Fragment(names[0].encode())
    parts = orjson.dumps(array, option=_OPTIONS).split(b"null")
    text = bytearray(parts[0])
    for name, part in zip(names, parts[1:], strict=True):
        text += name.encode()
        text += part
    return orjson.Fragment(bytes(text))
