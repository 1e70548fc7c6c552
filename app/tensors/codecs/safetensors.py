"""safetensors: named tensors, read without a copy. Source: https://github.com/huggingface/safetensors#format

Eight bytes with the header's length, the header (JSON), and the bytes of the tensors one after another. Everything
that the format demands is checked here, and what its own library lets pass too: ranks, counts, names, doubled keys,
and booleans that are neither 0 nor 1.
"""

import math

import orjson
import torch

from app.errors import Malformed, Place, Unprocessable, in_place, pointer_to
from app.settings import Limits
from app.tensors.buffers import bytes_of, tensor_over
from app.tensors.codecs.base import LONGEST_NAME, MOST_TENSORS, Writable, cannot_hold, named
from app.tensors.codecs.npy import check_booleans
from app.tensors.dtypes import BY_SAFETENSORS, DTYPES, Dtype
from app.tensors.shapes import read_shape
from app.tensors.strict_json import read_json
from app.tensors.torch_dtypes import dtype_name

_HEADER_BYTES = 100_000_000  # as in the format's own library
_METADATA = "__metadata__"


def decode(body: bytes | memoryview, *, limits: Limits) -> dict[str, torch.Tensor]:
    """Reads named tensors, in the header's order; they share the body's memory. Raises Malformed, Unprocessable."""
    header, start = _read_header(body)
    spans: list[tuple[int, int]] = []
    tensors: dict[str, torch.Tensor] = {}
    for name, entry in header.items():
        if name == _METADATA:
            continue
        _check_name(name)
        found, shape, span = _read_entry(name, entry, limits)
        spans.append(span)
        if span[1] > len(body) - start:
            raise Malformed(f"The safetensors file ends before the bytes of '{name}'.")
        if found.kind == "boolean":
            check_booleans(memoryview(body)[start + span[0] : start + span[1]], pointer_to(name))
        tensors[name] = tensor_over(body, found.name, shape, start + span[0])
    _check_spans(spans, len(body) - start)
    return tensors


def _read_header(body: bytes | memoryview) -> tuple[dict[str, object], int]:
    if len(body) < 8:
        raise Malformed("This is not a safetensors file: it is shorter than 8 bytes.")
    length = int.from_bytes(body[:8], "little")
    if length > min(len(body) - 8, _HEADER_BYTES):
        raise Malformed(f"This is not a safetensors file: its header would be {length} bytes long.")
    try:
        header = read_json(bytes(memoryview(body)[8 : 8 + length]))
    except Malformed as error:
        raise Malformed(f"The safetensors header cannot be read. {error.detail}") from None
    if not isinstance(header, dict):
        raise Malformed("The safetensors header is not an object.")
    if len(header) > MOST_TENSORS + 1:
        raise Unprocessable(f"{len(header)} tensors; at most {MOST_TENSORS} are read.", code="limit-exceeded")
    metadata = header.get(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise Malformed("The metadata of a safetensors file is an object of texts.")
    return header, 8 + length


def _check_name(name: str) -> None:
    if not name or len(name) > LONGEST_NAME:
        message = f"a tensor's name has 1 to {LONGEST_NAME} characters"
        raise Unprocessable(message, code="bad-name", places=[Place(pointer_to(name[:80]), message)])


def _read_entry(name: str, entry: object, limits: Limits) -> tuple[Dtype, tuple[int, ...], tuple[int, int]]:
    pointer = pointer_to(name)
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise Malformed(f"The safetensors header says of '{name}' something other than dtype, shape, data_offsets.")
    found = BY_SAFETENSORS.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if found is None:
        names = ", ".join(BY_SAFETENSORS)
        message = f"the dtype {str(entry['dtype'])[:40]!r} is not read; there are {names}"
        raise in_place(f"{pointer}/dtype", message, code="bad-dtype")
    shape = read_shape(entry["shape"], found, limits, f"{pointer}/shape")
    match entry["data_offsets"]:
        case [first, stop] if type(first) is int and type(stop) is int and 0 <= first <= stop:
            if stop - first != found.item_bytes * math.prod(shape):
                raise Malformed(f"The safetensors header gives '{name}' {stop - first} bytes, not its shape's.")
            return found, shape, (first, stop)
    raise Malformed(f"The safetensors header gives '{name}' data_offsets that are none.")


def _check_spans(spans: list[tuple[int, int]], size: int) -> None:
    """The tensors follow one another without gaps, overlaps or anything left over."""
    end = 0
    for first, stop in sorted(spans):
        if first != end:
            raise Malformed("The tensors of the safetensors file overlap or leave gaps.")
        end = stop
    if end != size:
        raise Malformed(f"The safetensors file holds {size} bytes of tensors; its header names {end}.")


def encode(tensors: Writable) -> bytes:
    """Writes named tensors, the widest dtypes first so that each lies aligned. Raises NotAcceptable."""
    items: list[tuple[str, torch.Tensor, Dtype]] = []
    for name, tensor in named(tensors, "safetensors").items():
        dtype = DTYPES.get(dtype_name(tensor.dtype))
        if dtype is None or dtype.safetensors is None:
            raise cannot_hold("safetensors", name, dtype_name(tensor.dtype))
        items.append((name, tensor, dtype))
    items.sort(key=lambda item: -item[2].item_bytes)
    header: dict[str, object] = {_METADATA: {"format": "pt"}}
    parts: list[bytes | memoryview] = []
    end = 0
    for name, tensor, dtype in items:
        data = bytes_of(tensor)
        offsets = [end, end + data.nbytes]
        header[name] = {"dtype": dtype.safetensors, "shape": list(tensor.shape), "data_offsets": offsets}
        parts.append(data)
        end += data.nbytes
    text = orjson.dumps(header)
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])
