"""The pickle inside a `.pt` file, written opcode by opcode as `torch.save` writes it. Does not load PyTorch.

It names nothing but PyTorch's own functions that rebuild tensors, so `torch.load(weights_only=True)` reads it. Tensors
are contiguous and each has a storage of its own, `data/0`, `data/1` and so on, in their order. Source:
https://pytorch.org/docs/stable/notes/serialization.html, and Python's `pickletools`.
"""

import struct
from collections.abc import Sequence
from typing import Literal, NamedTuple

from app.tensors.dtypes import DTYPES, count_elements

Kind = Literal["tensor", "list", "dict"]


class Described(NamedTuple):
    """A tensor without its bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def byte_count(self) -> int:
        return DTYPES[self.dtype].item_bytes * count_elements(self.shape)


_STORAGES = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int8": "CharStorage",
    "int16": "ShortStorage",
    "int32": "IntStorage",
    "int64": "LongStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
    "complex64": "ComplexFloatStorage",
    "complex128": "ComplexDoubleStorage",
}  # newer dtypes have none: theirs is an untyped one, and the tensor says its dtype
_MARK, _TUPLE, _REDUCE, _FALSE, _EMPTY_TUPLE = b"(", b"t", b"R", b"\x89", b")"


def write_pickle(tensors: Sequence[Described], kind: Kind) -> bytes:
    """Writes one tensor (the first), a list, or a dict by name."""
    rebuilt = [_tensor(tensor, str(position)) for position, tensor in enumerate(tensors)]
    if kind == "tensor":
        value = rebuilt[0]
    elif kind == "list":
        value = b"](" + b"".join(rebuilt) + b"e"
    else:
        named = (_text(tensor.name) + data for tensor, data in zip(tensors, rebuilt, strict=True))
        value = b"}(" + b"".join(named) + b"u"
    return b"\x80\x02" + value + b"."


def _tensor(tensor: Described, key: str) -> bytes:
    typed = _STORAGES.get(tensor.dtype)
    count = count_elements(tensor.shape)
    storage_type = _global("torch", typed) if typed else _global("torch.storage", "UntypedStorage")
    storage = _tuple(
        _text("storage"), storage_type, _text(key), _text("cpu"), _integer(count if typed else tensor.byte_count)
    )
    sizes = _tuple(*map(_integer, tensor.shape))
    strides = _tuple(*map(_integer, _strides(tensor.shape)))
    no_hooks = _global("collections", "OrderedDict") + _EMPTY_TUPLE + _REDUCE
    arguments = [storage + b"Q", _integer(0), sizes, strides, _FALSE, no_hooks]
    if typed:
        return _global("torch._utils", "_rebuild_tensor_v2") + _tuple(*arguments) + _REDUCE
    arguments.append(_global("torch", tensor.dtype))
    return _global("torch._utils", "_rebuild_tensor_v3") + _tuple(*arguments) + _REDUCE


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides = [1] * len(shape)
    for position in range(len(shape) - 2, -1, -1):
        strides[position] = strides[position + 1] * max(shape[position + 1], 1)
    return tuple(strides)


def _tuple(*items: bytes) -> bytes:
    return _MARK + b"".join(items) + _TUPLE if items else _EMPTY_TUPLE


def _global(module: str, name: str) -> bytes:
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def _text(text: str) -> bytes:
    data = text.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _integer(value: int) -> bytes:
    if value < 2**31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x09" + value.to_bytes(9, "little")
