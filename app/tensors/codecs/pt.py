"""`.pt`: what `torch.save` writes. Read with `weights_only=True` and nothing else, and only inside a worker.

Taken are one tensor, a list of tensors, or a dict of named ones; anything else that such a file can hold is refused.
"""

import io
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch

from app.errors import Malformed, Unprocessable, pointer_to
from app.settings import Limits
from app.tensors.bounds import MOST_TENSORS, NAMES, is_tensor_name
from app.tensors.codecs.base import Tensors, Writable
from app.tensors.codecs.zip_limits import open_zip
from app.tensors.dtypes import DTYPES
from app.tensors.shapes import check_shape
from app.tensors.torch_dtypes import dtype_name


def decode(body: bytes | memoryview, *, limits: Limits) -> Tensors:
    """Reads one tensor, a list, or a dict by name, onto the CPU. Raises Malformed, Unprocessable, TooLarge."""
    open_zip(io.BytesIO(body), ".pt", limits).close()
    return load(io.BytesIO(body), limits)


def load(file: io.BytesIO | Path, limits: Limits) -> Tensors:
    """Reads a file that `open_zip` has looked at. One on disk is mapped into memory, and the tensors lie there."""
    try:
        value = torch.load(file, map_location="cpu", weights_only=True, mmap=isinstance(file, Path))
    except pickle.UnpicklingError:
        message = "The .pt file holds more than tensors (it would have to run code to be read); save a state_dict."
        raise Unprocessable(message, code="bad-tensor") from None
    except Exception as error:  # noqa: BLE001 - a broken file may fail anywhere inside PyTorch's reader
        raise Malformed(f"This is not a .pt file that PyTorch can read: {type(error).__name__}.") from None
    if isinstance(value, torch.Tensor):
        return _checked(value, "", limits)
    if isinstance(value, list | tuple) and len(value) <= MOST_TENSORS:
        return [_checked(item, f"/{position}", limits) for position, item in enumerate(value)]
    if isinstance(value, dict) and len(value) <= MOST_TENSORS:
        return {_name(name): _checked(item, pointer_to(_name(name)), limits) for name, item in value.items()}
    message = f"The .pt file holds a {type(value).__name__}; a tensor, a list of tensors or a dict of them is read."
    raise Unprocessable(message, code="bad-tensor")


def _name(name: object) -> str:
    if not is_tensor_name(name):
        shown = ascii(name[:80]) if isinstance(name, str) else f"by a value of type {type(name).__name__}"
        raise Unprocessable(f"The .pt file names a tensor {shown}; {NAMES}.", code="bad-name")
    return name


def _checked(value: object, pointer: str, limits: Limits) -> torch.Tensor:
    """A tensor of its own: strides in the file may make much of few bytes, and must be within the limits first."""
    where = f"'{pointer[1:]}' in the .pt file" if pointer else "What the .pt file holds"
    if not isinstance(value, torch.Tensor) or value.is_sparse or value.is_quantized or value.is_nested:
        raise Unprocessable(f"{where} is no dense tensor.", code="bad-tensor")
    dtype = DTYPES.get(dtype_name(value.dtype))
    if dtype is None:
        raise Unprocessable(f"{where} is {dtype_name(value.dtype)}, which is not read.", code="bad-dtype")
    if value.device.type != "cpu":
        raise Unprocessable(f"{where} holds no values (it is on the {value.device.type} device).", code="bad-tensor")
    check_shape(tuple(value.shape), dtype, limits, pointer)
    return value.detach().contiguous()


def encode(tensors: Writable) -> bytes:
    """Writes a tensor, a list or a dict, as plain `torch.save` does."""
    value: object
    if isinstance(tensors, torch.Tensor):
        value = _plain(tensors)
    elif isinstance(tensors, Mapping):
        value = {name: _plain(tensor) for name, tensor in tensors.items()}
    else:
        value = [_plain(tensor) for tensor in tensors]
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """Without gradient, device, or the memory around a view, which torch.save would write as well."""
    plain = tensor.detach().cpu().contiguous()
    whole = plain.untyped_storage().nbytes() == plain.numel() * plain.element_size()
    return plain if whole else plain.clone()
