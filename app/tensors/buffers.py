"""Between tensors and flat bytes, without copying where that can be helped. Loads PyTorch.

The bytes are C-contiguous and little-endian, as in the store, in safetensors and in npy. Called by the codecs and by
the worker, which moves parameters between the store and modules.
"""

import math
import sys
import warnings

import numpy as np
import torch

from app.tensors.dtypes import DTYPES
from app.tensors.torch_dtypes import torch_dtype

if sys.byteorder != "little":
    raise ImportError("tensors are kept as little-endian bytes, which this machine's are not")

# Said by PyTorch of tensors over read-only memory. Inputs are never written to: forward changes no tensor in place.
warnings.filterwarnings("ignore", message="The given buffer is not writable")

_NUMPY = frozenset(torch_dtype(name) for name, dtype in DTYPES.items() if dtype.numpy is not None)


def tensor_over(
    buffer: bytes | bytearray | memoryview, dtype: str, shape: tuple[int, ...], offset: int = 0
) -> torch.Tensor:
    """A tensor over the bytes of `buffer` from `offset` on; it keeps the buffer alive and copies nothing."""
    count = math.prod(shape)
    if count == 0:
        return torch.empty(shape, dtype=torch_dtype(dtype))
    return torch.frombuffer(buffer, dtype=torch_dtype(dtype), count=count, offset=offset).view(shape)


def bytes_of(tensor: torch.Tensor) -> memoryview:
    """The tensor's bytes, flat (format "B"): its own memory if it is contiguous and on the CPU, else a copy."""
    if tensor.dtype in _NUMPY:
        return np.ascontiguousarray(tensor.numpy(force=True)).reshape(-1).view(np.uint8).data
    flat = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    if flat.numel() == 0:
        return memoryview(b"")
    return flat.view(torch.uint8).numpy().data
