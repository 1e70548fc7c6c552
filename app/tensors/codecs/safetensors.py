"""safetensors: named tensors, read without a copy. What its header may say is in `app.tensors.safetensors_header`."""

import torch

from app.errors import pointer_to
from app.settings import Limits
from app.tensors.booleans import check_booleans
from app.tensors.buffers import bytes_of, tensor_over
from app.tensors.codecs.base import Writable, named
from app.tensors.safetensors_header import LENGTH_BYTES, read_header, read_length, write_header
from app.tensors.torch_dtypes import dtype_name


def decode(body: bytes | memoryview, *, limits: Limits) -> dict[str, torch.Tensor]:
    """Reads named tensors, in the header's order; they share the body's memory. Raises Malformed, Unprocessable."""
    length = read_length(body, len(body) - LENGTH_BYTES)
    start = LENGTH_BYTES + length
    view = memoryview(body)
    header = read_header(bytes(view[LENGTH_BYTES:start]), limits, len(body) - start)
    tensors: dict[str, torch.Tensor] = {}
    for entry in header.entries:
        if entry.dtype.kind == "boolean":
            check_booleans(view[start + entry.start : start + entry.stop], pointer_to(entry.name))
        tensors[entry.name] = tensor_over(body, entry.dtype.name, entry.shape, start + entry.start)
    return tensors


def encode(tensors: Writable) -> bytes:
    """Writes named tensors, the widest dtypes first so that each lies aligned. Raises NotAcceptable."""
    items = named(tensors, "safetensors")
    described = [(name, dtype_name(tensor.dtype), tuple(tensor.shape)) for name, tensor in items.items()]
    beginning, entries = write_header(described)
    return b"".join([beginning, *(bytes_of(items[entry.name]) for entry in entries)])
