"""The dtypes that tensors may have, by PyTorch's names, with their sizes. Does not load PyTorch.

`app.tensors.torch_dtypes` maps them to `torch.dtype`. Called by the store, the codecs, and whoever checks the
`dtype` of a request.
"""

from dataclasses import dataclass
from typing import Literal

from app.errors import in_place

Kind = Literal["floating", "integer", "boolean", "complex"]


@dataclass(frozen=True)
class Dtype:
    """One dtype. `numpy` names the NumPy dtype of the same bytes, None where NumPy has none."""

    name: str
    item_bytes: int
    kind: Kind
    numpy: str | None
    safetensors: str | None


_ALL = [
    Dtype("float64", 8, "floating", "<f8", "F64"),
    Dtype("float32", 4, "floating", "<f4", "F32"),
    Dtype("float16", 2, "floating", "<f2", "F16"),
    Dtype("bfloat16", 2, "floating", None, "BF16"),
    Dtype("float8_e4m3fn", 1, "floating", None, "F8_E4M3"),
    Dtype("float8_e5m2", 1, "floating", None, "F8_E5M2"),
    Dtype("float8_e4m3fnuz", 1, "floating", None, "F8_E4M3FNUZ"),
    Dtype("float8_e5m2fnuz", 1, "floating", None, "F8_E5M2FNUZ"),
    Dtype("float8_e8m0fnu", 1, "floating", None, None),
    Dtype("int8", 1, "integer", "<i1", "I8"),
    Dtype("int16", 2, "integer", "<i2", "I16"),
    Dtype("int32", 4, "integer", "<i4", "I32"),
    Dtype("int64", 8, "integer", "<i8", "I64"),
    Dtype("uint8", 1, "integer", "<u1", "U8"),
    Dtype("uint16", 2, "integer", "<u2", "U16"),
    Dtype("uint32", 4, "integer", "<u4", "U32"),
    Dtype("uint64", 8, "integer", "<u8", "U64"),
    Dtype("bool", 1, "boolean", "?", "BOOL"),
    Dtype("complex64", 8, "complex", "<c8", "C64"),
    Dtype("complex128", 16, "complex", "<c16", None),
]
DTYPES: dict[str, Dtype] = {dtype.name: dtype for dtype in _ALL}
BY_SAFETENSORS: dict[str, Dtype] = {dtype.safetensors: dtype for dtype in _ALL if dtype.safetensors}
NETWORK_DTYPES = ("float32", "float64", "float16", "bfloat16")  # what a network's floating dtype may be


def find_dtype(name: object, pointer: str) -> Dtype:
    """The dtype called `name`. Raises Unprocessable (`bad-dtype`) at `pointer`."""
    dtype = DTYPES.get(name) if isinstance(name, str) else None
    if dtype is None:
        shown = repr(name)[:60] if isinstance(name, str) else "this"
        raise in_place(pointer, f"{shown} is not a dtype; there are {', '.join(DTYPES)}", code="bad-dtype")
    return dtype


def count_elements(shape: tuple[int, ...]) -> int:
    """The product of the sizes: 1 for a 0-d tensor."""
    product = 1
    for size in shape:
        product *= size
    return product
