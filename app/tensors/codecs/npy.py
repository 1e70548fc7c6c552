"""`.npy`: one tensor, without pickle. What its header may say is in `app.tensors.npy_header`.

What is C-contiguous and little-endian is read without a copy.
"""

import numpy as np
import torch

from app.errors import Malformed, NotAcceptable
from app.settings import Limits
from app.tensors.booleans import check_booleans
from app.tensors.bounds import check_tensor_name
from app.tensors.buffers import bytes_of, tensor_over
from app.tensors.codecs.base import Writable, named
from app.tensors.npy_header import read_npy_header, write_npy_header
from app.tensors.torch_dtypes import dtype_name

_SUFFIX = ".npy"


def decode(body: bytes | memoryview, *, limits: Limits) -> torch.Tensor:
    """Reads one tensor, which shares the body's memory where it can. Raises Malformed, Unprocessable."""
    return read_array(body, limits, "")


def read_array(body: bytes | memoryview, limits: Limits, pointer: str) -> torch.Tensor:
    """As `decode`, for an array that stands at `pointer` of something larger."""
    header = read_npy_header(body, limits, pointer)
    found, shape, start = header.dtype, header.shape, header.start
    if len(body) - start != header.data_bytes:
        raise Malformed(
            f"The .npy file holds {len(body) - start} bytes of data where its header promises {header.data_bytes}."
        )
    stored = tuple(reversed(shape)) if header.fortran else shape
    if header.swapped:
        kind = np.dtype(found.numpy).newbyteorder(">")
        tensor = torch.from_numpy(np.frombuffer(body, dtype=kind, offset=start).astype(found.numpy)).view(stored)
    else:
        if found.kind == "boolean":
            check_booleans(memoryview(body)[start:], pointer)
        tensor = tensor_over(body, found.name, stored, start)
    return tensor.permute(*reversed(range(len(shape)))).contiguous() if header.fortran and len(shape) > 1 else tensor


def name_of_entry(filename: str) -> str:
    """The tensor's name of an entry of an `.npz` file. Raises Malformed."""
    if not filename.endswith(_SUFFIX):
        raise Malformed(f"The .npz file holds '{filename[:80]}', which is no .npy file.")
    name = filename.removesuffix(_SUFFIX)
    check_tensor_name(name)
    return name


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
    return write_npy_header(name, dtype_name(tensor.dtype), tuple(tensor.shape))
