"""`.npy`: one tensor, without pickle. Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html

What is C-contiguous and little-endian is read without a copy.
"""

import io
import math

import numpy as np
import torch
from numpy.lib import format as npy_format

from app.errors import Malformed, NotAcceptable, in_place
from app.settings import Limits
from app.tensors.buffers import bytes_of, tensor_over
from app.tensors.codecs.base import Writable, cannot_hold, named
from app.tensors.dtypes import DTYPES, Dtype
from app.tensors.shapes import check_shape
from app.tensors.torch_dtypes import dtype_name

_HEADER_BYTES = 10_000
_BY_NUMPY: dict[str, Dtype] = {
    np.dtype(dtype.numpy).newbyteorder("=").str: dtype for dtype in DTYPES.values() if dtype.numpy
}


def decode(body: bytes | memoryview, *, limits: Limits) -> torch.Tensor:
    """Reads one tensor, which shares the body's memory where it can. Raises Malformed, Unprocessable."""
    return read_array(body, limits, "")


def read_array(body: bytes | memoryview, limits: Limits, pointer: str) -> torch.Tensor:
    """As `decode`, for an array that stands at `pointer` of something larger."""
    shape, fortran, kind, start = _read_header(body)
    found = _BY_NUMPY.get(kind.newbyteorder("=").str) if kind.names is None and kind.subdtype is None else None
    if found is None:
        names = ", ".join(dtype.name for dtype in _BY_NUMPY.values())
        raise in_place(pointer, f"arrays of {str(kind)[:60]} are not read; there are {names}", code="bad-dtype")
    check_shape(shape, found, limits, pointer)
    size = found.item_bytes * math.prod(shape)
    if len(body) - start != size:
        raise Malformed(f"The .npy file holds {len(body) - start} bytes of data where its header promises {size}.")
    stored = tuple(reversed(shape)) if fortran else shape
    if kind.byteorder == ">":
        swapped = np.frombuffer(body, dtype=kind, offset=start).astype(kind.newbyteorder("<"))
        tensor = torch.from_numpy(swapped).view(stored)
    else:
        if found.kind == "boolean":
            check_booleans(memoryview(body)[start:], pointer)
        tensor = tensor_over(body, found.name, stored, start)
    return tensor.permute(*reversed(range(len(shape)))).contiguous() if fortran and len(shape) > 1 else tensor


def _read_header(body: bytes | memoryview) -> tuple[tuple[int, ...], bool, np.dtype[np.generic], int]:
    stream = io.BytesIO(bytes(memoryview(body)[: _HEADER_BYTES + 16]))
    try:
        version = npy_format.read_magic(stream)
        if version == (1, 0):
            shape, fortran, kind = npy_format.read_array_header_1_0(stream, max_header_size=_HEADER_BYTES)
        elif version == (2, 0):
            shape, fortran, kind = npy_format.read_array_header_2_0(stream, max_header_size=_HEADER_BYTES)
        else:
            raise Malformed(f"The .npy file has version {version[0]}.{version[1]}; 1.0 and 2.0 are read.")
    except Malformed:
        raise
    except Exception as error:  # noqa: BLE001 - a broken header may fail anywhere in NumPy's reader of Python literals
        words = str(error).splitlines()[0].partition(": <")[0] if str(error) else "its header cannot be read"
        raise Malformed(f"This is not a .npy file: {words[:200]}.") from None
    if any(type(size) is not int or size < 0 for size in shape):
        raise Malformed("The .npy file has a shape that is none.")
    return tuple(shape), fortran, kind, stream.tell()


def check_booleans(data: memoryview, pointer: str) -> None:
    """Booleans are the bytes 0 and 1; others make PyTorch's own functions disagree about them."""
    values = np.frombuffer(data, dtype=np.uint8)
    if values.size and values.max() > 1:
        position = int(np.flatnonzero(values > 1)[0])
        message = f"element {position} is the byte {values[position]} where a bool is 0 or 1"
        raise in_place(pointer, message, code="bad-tensor")


def encode(tensors: Writable) -> bytes:
    """Writes one tensor. Raises NotAcceptable for several, and for dtypes that NumPy does not have."""
    if not isinstance(tensors, torch.Tensor):
        several = list(named(tensors, "npy").values())
        if len(several) != 1:
            raise NotAcceptable(
                f"A .npy file holds one tensor and there are {len(several)}; ask for npz, safetensors or json."
            )
        return encode(several[0])
    return header_of(tensors, "") + bytes_of(tensors)


def header_of(tensor: torch.Tensor, name: str) -> bytes:
    """The `.npy` header for a tensor; its bytes follow. Raises NotAcceptable."""
    dtype = DTYPES.get(dtype_name(tensor.dtype))
    if dtype is None or dtype.numpy is None:
        raise cannot_hold("npy", name, dtype_name(tensor.dtype))
    stream = io.BytesIO()
    description = {"descr": np.dtype(dtype.numpy).str, "fortran_order": False, "shape": tuple(tensor.shape)}
    npy_format.write_array_header_1_0(stream, description)
    return stream.getvalue()
