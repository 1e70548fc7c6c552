"""A whole JSON body of tensors: one, a list of objects, or an object of named ones."""

from collections.abc import Mapping

import torch

from app.errors import in_place, pointer_to
from app.settings import Limits
from app.tensors.bounds import MOST_TENSORS
from app.tensors.codecs.base import Tensors, Writable
from app.tensors.codecs.json_reading import TensorReference, looks_like_tensor, read_tensor
from app.tensors.codecs.json_writing import dump, json_value
from app.tensors.strict_json import read_json


def decode(body: bytes | memoryview, *, limits: Limits, dtype: str = "float32") -> Tensors:
    """Reads one tensor (a list, a number, `{"data"}`) or an object of them. Refuses references."""
    value = read_json(body)
    if looks_like_tensor(value):
        return _read(value, "", dtype, limits)
    assert isinstance(value, dict)
    if len(value) > MOST_TENSORS:
        raise in_place("", f"{len(value)} tensors; at most {MOST_TENSORS} are read", code="limit-exceeded")
    return {name: _read(item, pointer_to(name), dtype, limits) for name, item in value.items()}


def _read(value: object, pointer: str, dtype: str, limits: Limits) -> torch.Tensor:
    tensor = read_tensor(value, pointer=pointer, dtype=dtype, limits=limits)
    if isinstance(tensor, TensorReference):
        raise in_place(pointer, "the values are needed here, not the name of a tensor", code="bad-tensor")
    return tensor


def encode(tensors: Writable) -> bytes:
    if isinstance(tensors, torch.Tensor):
        return dump(json_value(tensors))
    if isinstance(tensors, Mapping):
        return dump({name: json_value(tensor) for name, tensor in tensors.items()})
    return dump([json_value(tensor) for tensor in tensors])
