"""dtypes by the names that the Open Inference Protocol has for them. Does not load PyTorch."""

from app.errors import in_place
from app.tensors.dtypes import DTYPES, Dtype

DATATYPES: dict[str, str] = {
    "bool": "BOOL",
    **{f"{sign}int{bits}": f"{sign.upper()}INT{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "bfloat16": "BF16",
}
_DTYPES = {datatype: DTYPES[name] for name, datatype in DATATYPES.items()}


def dtype_of(datatype: object, pointer: str) -> Dtype:
    """The dtype that a datatype such as "FP32" names. Raises Unprocessable (`bad-dtype`) at `pointer`."""
    dtype = _DTYPES.get(datatype) if isinstance(datatype, str) else None
    if dtype is None:
        shown = repr(datatype)[:60] if isinstance(datatype, str) else "this"
        raise in_place(pointer, f"{shown} is not a datatype here; there are {', '.join(_DTYPES)}", code="bad-dtype")
    return dtype
