"""The header of a `.npy` file, read and written; never a pickle. Does not load PyTorch.

Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. Called by the codecs of `.npy` and
`.npz`, and by the services, which write such files piece by piece.
"""

import io
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy_format

from app.errors import Malformed, NotAcceptable, in_place
from app.settings import Limits
from app.tensors.dtypes import DTYPES, Dtype, count_elements
from app.tensors.shapes import check_shape

HEADER_BYTES = 10_000  # at most
_BY_NUMPY: dict[str, Dtype] = {
    np.dtype(dtype.numpy).newbyteorder("=").str: dtype for dtype in DTYPES.values() if dtype.numpy
}


class NpyHeader(NamedTuple):
    """What a file holds: data from `start` on; big-endian if `swapped`, the first index fastest if `fortran`."""

    dtype: Dtype
    shape: tuple[int, ...]
    fortran: bool
    swapped: bool
    start: int

    @property
    def data_bytes(self) -> int:
        return self.dtype.item_bytes * count_elements(self.shape)


def read_npy_header(beginning: bytes | memoryview, limits: Limits, pointer: str) -> NpyHeader:
    """Reads the header from a file's first bytes (`HEADER_BYTES` and some, or all). Raises Malformed, Unprocessable."""
    stream = io.BytesIO(bytes(beginning[: HEADER_BYTES + 16]))
    kind: np.dtype[Any]
    try:
        version = npy_format.read_magic(stream)
        if version == (1, 0):
            shape, fortran, kind = npy_format.read_array_header_1_0(stream, max_header_size=HEADER_BYTES)
        elif version == (2, 0):
            shape, fortran, kind = npy_format.read_array_header_2_0(stream, max_header_size=HEADER_BYTES)
        else:
            raise Malformed(f"The .npy file has version {version[0]}.{version[1]}; 1.0 and 2.0 are read.")
    except Malformed:
        raise
    except Exception as error:  # noqa: BLE001 - a broken header may fail anywhere in NumPy's reader of Python literals
        words = str(error).splitlines()[0].partition(": <")[0] if str(error) else "its header cannot be read"
        raise Malformed(f"This is not a .npy file: {words[:200]}.") from None
    if any(type(size) is not int or size < 0 for size in shape):
        raise Malformed("The .npy file has a shape that is none.")
    found = _BY_NUMPY.get(kind.newbyteorder("=").str) if kind.names is None and kind.subdtype is None else None
    if found is None:
        names = ", ".join(dtype.name for dtype in _BY_NUMPY.values())
        raise in_place(pointer, f"arrays of {str(kind)[:60]} are not read; there are {names}", code="bad-dtype")
    check_shape(tuple(shape), found, limits, pointer)
    return NpyHeader(found, tuple(shape), fortran, kind.byteorder == ">", stream.tell())


def write_npy_header(name: str, dtype: str, shape: tuple[int, ...]) -> bytes:
    """The header of an array; its bytes follow. Raises NotAcceptable for dtypes that NumPy does not have."""
    found = DTYPES.get(dtype)
    if found is None or found.numpy is None:
        what = f"'{name}' is {dtype}" if name else f"The tensor is {dtype}"
        raise NotAcceptable(f"{what}, which npy cannot hold; ask for another format.")
    stream = io.BytesIO()
    npy_format.write_array_header_1_0(
        stream, {"descr": np.dtype(found.numpy).str, "fortran_order": False, "shape": shape}
    )
    return stream.getvalue()
