"""Files of tensors written piece by piece, in memory that does not grow with them. Does not load PyTorch.

A file is described without its bytes; these are asked for tensor by tensor, in the order that the format wants, and go
out as they come. Called by the services that answer with stored tensors; what was computed in a worker is encoded there
by the codecs, in the same formats.
"""

import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from app.errors import NotAcceptable
from app.tensors.media_types import Format
from app.tensors.npy_header import write_npy_header
from app.tensors.pt_pickle import Described, Kind, write_pickle
from app.tensors.safetensors_header import write_header

Pieces = Iterator[tuple[int, memoryview]]  # (which tensor of the order, its next bytes)
_ALIGNMENT = 64  # of storages in a .pt file, as torch.save does it: mapped into memory they can be used in place
_LOCAL_HEADER_BYTES = 30
_ZIP64_BYTES = 20
_ZIP64_SIZE = int((2**31 - 1) / 1.05)  # from here on Python's zipfile writes sizes of 64 bits


@dataclass(frozen=True)
class FilePlan:
    """A file that is to be written: the tensors in `order` (positions in what was described), and what stands around.

    `write` takes their bytes, in that order, and yields the file. `size` is the file's, where it is known before.
    """

    order: tuple[int, ...]
    write: Callable[[Pieces], Iterator[bytes | memoryview]]
    beginning: bytes = b""
    size: int | None = None


def plan_file(format_name: Format, tensors: Sequence[Described], kind: Kind) -> FilePlan:
    """Plans a safetensors, `.npy`, `.npz` or `.pt` file. Raises NotAcceptable for what the format cannot hold."""
    plans = {"safetensors": _plan_safetensors, "npy": _plan_npy, "npz": _plan_npz, "pt": _plan_pt}
    return plans[format_name](tensors, kind)


def _plan_safetensors(tensors: Sequence[Described], kind: Kind) -> FilePlan:
    positions = {tensor.name: position for position, tensor in enumerate(tensors)}
    beginning, entries = write_header(tensors, {} if kind == "dict" else {"kind": kind})
    order = tuple(positions[entry.name] for entry in entries)
    return FilePlan(order, _after(beginning), beginning, len(beginning) + sum(t.byte_count for t in tensors))


def _plan_npy(tensors: Sequence[Described], kind: Kind) -> FilePlan:  # noqa: ARG001  # one signature for all formats
    if len(tensors) != 1:
        raise NotAcceptable(
            f"A .npy file holds one tensor and there are {len(tensors)}; ask for npz, safetensors or json."
        )
    beginning = write_npy_header("", tensors[0].dtype, tensors[0].shape)
    return FilePlan((0,), _after(beginning), beginning, len(beginning) + tensors[0].byte_count)


def _after(beginning: bytes) -> Callable[[Pieces], Iterator[bytes | memoryview]]:
    def write(pieces: Pieces) -> Iterator[bytes | memoryview]:
        yield beginning
        for _, piece in pieces:
            yield piece

    return write


def _plan_npz(tensors: Sequence[Described], kind: Kind) -> FilePlan:  # noqa: ARG001
    headers = [write_npy_header(tensor.name, tensor.dtype, tensor.shape) for tensor in tensors]

    def write(pieces: Pieces) -> Iterator[bytes | memoryview]:
        archive = _StreamedZip()
        source = _ByTensor(pieces)
        for position, (tensor, header) in enumerate(zip(tensors, headers, strict=True)):
            body = source.take(position)
            yield from archive.add(f"{tensor.name}.npy", len(header) + tensor.byte_count, _chain(header, body))
        yield archive.close()

    return FilePlan(tuple(range(len(tensors))), write)


def _plan_pt(tensors: Sequence[Described], kind: Kind) -> FilePlan:
    pickled = write_pickle(tensors, kind)

    def write(pieces: Pieces) -> Iterator[bytes | memoryview]:
        archive = _StreamedZip()
        source = _ByTensor(pieces)
        yield from archive.add("archive/data.pkl", len(pickled), [pickled])
        yield from archive.add("archive/byteorder", 6, [b"little"])
        for position, tensor in enumerate(tensors):
            name = f"archive/data/{position}"
            yield from archive.add(name, tensor.byte_count, source.take(position), alignment=_ALIGNMENT)
        yield from archive.add("archive/version", 2, [b"3\n"])
        yield archive.close()

    return FilePlan(tuple(range(len(tensors))), write)


def _chain(first: bytes, rest: Iterable[memoryview]) -> Iterator[bytes | memoryview]:
    yield first
    yield from rest


class _ByTensor:
    """Pieces of tensors in order, handed out tensor by tensor; each tensor is read to its end before the next."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._next = next(pieces, None)

    def take(self, position: int) -> Iterator[memoryview]:
        while self._next is not None and self._next[0] == position:
            piece = self._next[1]
            self._next = next(self._pieces, None)
            yield piece


class _Sink:
    """What a ZIP file is written to: bytes that were not taken yet. It cannot seek, so sizes stand behind the data."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.position = 0

    def write(self, data: bytes | memoryview) -> int:
        self._parts.append(bytes(data))
        self.position += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def take(self) -> bytes:
        taken, self._parts = b"".join(self._parts), []
        return taken


class _StreamedZip:
    """A ZIP file, uncompressed, that goes out while it is written. It has no times: equal tensors make equal files."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._archive = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_STORED)  # type: ignore[call-overload]  # it needs no more than `write` and `flush`

    def add(self, name: str, size: int, pieces: Iterable[bytes | memoryview], *, alignment: int = 1) -> Iterator[bytes]:
        entry = zipfile.ZipInfo(name)
        entry.file_size = size
        if alignment > 1:
            entry.extra = self._padding(name, size, alignment)
        with self._archive.open(entry, "w") as file:
            for piece in pieces:
                file.write(piece)
                yield self._sink.take()
        yield self._sink.take()

    def close(self) -> bytes:
        self._archive.close()
        return self._sink.take()

    def _padding(self, name: str, size: int, alignment: int) -> bytes:
        """An extra field ("FB", as PyTorch's) that makes the data begin at a multiple of `alignment`."""
        wide = _ZIP64_BYTES if size > _ZIP64_SIZE else 0
        start = self._sink.position + _LOCAL_HEADER_BYTES + len(name.encode()) + wide + 4
        padding = -start % alignment
        return b"FB" + padding.to_bytes(2, "little") + b"Z" * padding
