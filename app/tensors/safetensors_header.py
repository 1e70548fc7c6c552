"""The header of a safetensors file: read with every check, and written. Does not load PyTorch.

Source: https://github.com/huggingface/safetensors#format. Eight bytes with the header's length, the header (JSON),
and the bytes of the tensors one after another. Everything that the format demands is checked here, and what its own
library lets pass too: ranks, counts, names, doubled keys. Called by the codec, which has the whole file, and by the
services, which have the header before the rest of the file has come.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import orjson

from app.errors import Malformed, NotAcceptable, Unprocessable, in_place, pointer_to
from app.settings import Limits
from app.tensors.bounds import MOST_TENSORS, check_tensor_name
from app.tensors.dtypes import BY_SAFETENSORS, DTYPES, Dtype, count_elements
from app.tensors.shapes import read_shape
from app.tensors.strict_json import read_json

LENGTH_BYTES = 8
HEADER_BYTES = 100_000_000  # at most, as in the format's own library
REMEMBERED_BYTES = 4096  # of a header that was read
REMEMBERED_TENSORS = 16  # of one that was written
_METADATA = "__metadata__"


@dataclass(frozen=True)
class Entry:
    """One tensor of a file: its bytes are `start` to `stop`, counted from the end of the header."""

    name: str
    dtype: Dtype
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class Header:
    """What a file holds: `entries` in the header's order; `data_bytes` follow the header."""

    entries: tuple[Entry, ...]
    metadata: dict[str, str]
    data_bytes: int

    def by_position(self) -> list[Entry]:
        """The entries in the order of their bytes."""
        return sorted(self.entries, key=lambda entry: (entry.start, entry.stop))


def read_length(first: bytes | memoryview, most: int = HEADER_BYTES) -> int:
    """The header's length, from the file's first eight bytes. Raises Malformed past `most`."""
    if len(first) < LENGTH_BYTES:
        raise Malformed("This is not a safetensors file: it is shorter than 8 bytes.")
    length = int.from_bytes(first[:LENGTH_BYTES], "little")
    if length > min(most, HEADER_BYTES):
        raise Malformed(f"This is not a safetensors file: its header would be {length} bytes long.")
    return length


def read_header(text: bytes, limits: Limits, data_bytes: int | None = None) -> Header:
    """Reads the header; `data_bytes` is how much follows it, where that is known.

    Who sends tensors of one shape again and again sends one header, so short ones are remembered.
    Raises Malformed, Unprocessable.
    """
    read = _read_header if len(text) <= REMEMBERED_BYTES else _read_header.__wrapped__
    return read(text, limits, data_bytes)


@lru_cache(maxsize=256)
def _read_header(text: bytes, limits: Limits, data_bytes: int | None) -> Header:
    document = _document(text)
    metadata = document.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise Malformed("The metadata of a safetensors file is an object of texts.")
    entries = tuple(_entry(name, entry, limits, data_bytes) for name, entry in document.items())
    return Header(entries, metadata, _check_spans(entries, data_bytes))


def _document(text: bytes) -> dict[str, object]:
    try:
        header = read_json(text)
    except Malformed as error:
        raise Malformed(f"The safetensors header cannot be read. {error.detail}") from None
    if not isinstance(header, dict):
        raise Malformed("The safetensors header is not an object.")
    if len(header) > MOST_TENSORS + 1:
        raise Unprocessable(f"{len(header)} tensors; at most {MOST_TENSORS} are read.", code="limit-exceeded")
    return header


def _entry(name: str, entry: object, limits: Limits, data_bytes: int | None) -> Entry:
    check_tensor_name(name)
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
        case [start, stop] if type(start) is int and type(stop) is int and 0 <= start <= stop:
            if stop - start != found.item_bytes * math.prod(shape):
                raise Malformed(f"The safetensors header gives '{name}' {stop - start} bytes, not its shape's.")
            if data_bytes is not None and stop > data_bytes:
                raise Malformed(f"The safetensors file ends before the bytes of '{name}'.")
            return Entry(name, found, shape, start, stop)
    raise Malformed(f"The safetensors header gives '{name}' data_offsets that are none.")


def _check_spans(entries: Iterable[Entry], data_bytes: int | None) -> int:
    """The tensors follow one another without gaps, overlaps or anything left over. Returns where the last one ends."""
    end = 0
    for start, stop in sorted((entry.start, entry.stop) for entry in entries):
        if start != end:
            raise Malformed("The tensors of the safetensors file overlap or leave gaps.")
        end = stop
    if data_bytes is not None and end != data_bytes:
        raise Malformed(f"The safetensors file holds {data_bytes} bytes of tensors; its header names {end}.")
    return end


def write_header(
    tensors: Iterable[tuple[str, str, tuple[int, ...]]], metadata: dict[str, str] | None = None
) -> tuple[bytes, Sequence[Entry]]:
    """Writes the beginning of a file for tensors (name, dtype, shape), the widest dtypes first: so all lie aligned.

    The bytes of the returned entries follow in their order. Raises NotAcceptable for a dtype the format lacks.
    """
    described = tuple(tensors)
    write = _write_header if len(described) <= REMEMBERED_TENSORS and not metadata else _write_header.__wrapped__
    return write(described, tuple((metadata or {}).items()))


@lru_cache(maxsize=256)
def _write_header(
    tensors: tuple[tuple[str, str, tuple[int, ...]], ...], metadata: tuple[tuple[str, str], ...]
) -> tuple[bytes, Sequence[Entry]]:
    items = [(name, _writable(name, dtype), shape) for name, dtype, shape in tensors]
    items.sort(key=lambda item: -item[1].item_bytes)
    header: dict[str, object] = {_METADATA: {"format": "pt", **dict(metadata)}}
    entries: list[Entry] = []
    end = 0
    for name, dtype, shape in items:
        start, end = end, end + dtype.item_bytes * count_elements(shape)
        entries.append(Entry(name, dtype, shape, start, end))
        header[name] = {"dtype": dtype.safetensors, "shape": list(shape), "data_offsets": [start, end]}
    text = orjson.dumps(header)
    text += b" " * (-len(text) % LENGTH_BYTES)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text, tuple(entries)


def _writable(name: str, dtype: str) -> Dtype:
    found = DTYPES.get(dtype)
    if found is None or found.safetensors is None:
        raise NotAcceptable(f"'{name}' is {dtype}, which safetensors cannot hold; ask for another format.")
    return found
