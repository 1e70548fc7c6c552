"""Files of tensors read from disk piece by piece, in memory that does not grow with them. Loads PyTorch.

The codecs beside this module read what is whole in memory; large uploads lie in a file, and a worker moves them from
there into the store. Raises what the codecs raise.
"""

import ctypes
import mmap
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import torch

from app.errors import Malformed, pointer_to
from app.settings import Limits
from app.tensors.booleans import check_booleans
from app.tensors.buffers import bytes_of
from app.tensors.codecs import npy, pt
from app.tensors.codecs.base import Tensors
from app.tensors.codecs.zip_limits import BROKEN_ENTRY, open_zip
from app.tensors.npy_header import HEADER_BYTES, NpyHeader, read_npy_header
from app.tensors.torch_dtypes import dtype_name

PIECE_BYTES = 2**20
_RELEASE_BYTES = 8 * 2**20
_MADV_DONTNEED = 4
_libc = ctypes.CDLL(None)


class FileTensor(NamedTuple):
    """One tensor of a file. `pieces` gives its bytes, C-contiguous and little-endian; it is called once."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    pieces: Callable[[], Iterator[memoryview]]


def read_npy_file(path: Path, limits: Limits) -> Iterator[FileTensor]:
    """Reads a `.npy` file: one tensor, called `tensor`."""
    with path.open("rb") as stream:
        yield _array("tensor", stream, path.stat().st_size, "", limits)


def read_npz_file(path: Path, limits: Limits) -> Iterator[FileTensor]:
    """Reads a `.npz` file: tensors by name; each is to be read before the next is asked for."""
    with path.open("rb") as file, open_zip(file, ".npz", limits) as archive:
        for entry in archive.infolist():
            name = npy.name_of_entry(entry.filename)
            try:
                with archive.open(entry) as stream:
                    yield _array(name, stream, entry.file_size, pointer_to(name), limits)
            except BROKEN_ENTRY as error:
                raise Malformed(f"'{name[:80]}' in the .npz file is broken: {str(error)[:200]}.") from None


def read_pt_file(path: Path, limits: Limits) -> Tensors:
    """Reads a `.pt` file: a tensor, a list or a dict, over the file mapped into memory."""
    with path.open("rb") as file, open_zip(file, ".pt", limits) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise Malformed("The .pt file is compressed, which torch.save never does.")
    return pt.load(path, limits)


def pieces_of_mapped(tensor: torch.Tensor) -> Iterator[memoryview]:
    """The bytes of a tensor that lies in a mapped file; pages that were read are given back on the way."""
    data = bytes_of(tensor)
    released = 0
    for start in range(0, data.nbytes, PIECE_BYTES):
        yield data[start : start + PIECE_BYTES]
        if start - released >= _RELEASE_BYTES or start + PIECE_BYTES >= data.nbytes:
            _release(tensor.data_ptr() + released, min(start + PIECE_BYTES, data.nbytes) - released)
            released = start + PIECE_BYTES


def file_tensor(name: str, tensor: torch.Tensor) -> FileTensor:
    """A tensor of a mapped `.pt` file as one to be read in pieces."""
    return FileTensor(name, dtype_name(tensor.dtype), tuple(tensor.shape), lambda: pieces_of_mapped(tensor))


def _array(name: str, stream: IO[bytes], size: int, pointer: str, limits: Limits) -> FileTensor:
    beginning = stream.read(HEADER_BYTES + 16)
    header = read_npy_header(beginning, limits, pointer)
    if size - header.start != header.data_bytes:
        raise Malformed(f"The .npy file holds {size - header.start} bytes of data, not {header.data_bytes}.")
    if header.fortran or header.swapped:
        tensor = npy.read_array(beginning + stream.read(), limits, pointer)
        return FileTensor(name, header.dtype.name, header.shape, lambda: iter([bytes_of(tensor)]))
    return FileTensor(name, header.dtype.name, header.shape, lambda: _pieces(header, beginning, stream, pointer))


def _pieces(header: NpyHeader, beginning: bytes, stream: IO[bytes], pointer: str) -> Iterator[memoryview]:
    data = beginning[header.start :]
    done = 0
    while data:
        if header.dtype.kind == "boolean":
            check_booleans(memoryview(data), pointer, first=done)
        yield memoryview(data)
        done += len(data)
        data = stream.read(PIECE_BYTES)
    if done != header.data_bytes:
        raise Malformed(f"The .npy file ends after {done} of {header.data_bytes} bytes.")


def _release(address: int, size: int) -> None:
    """Lets go of the whole pages in a range of mapped, unchanged memory; they are read again if they are looked at."""
    first = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
    last = (address + size) // mmap.PAGESIZE * mmap.PAGESIZE
    if last > first:
        _libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), _MADV_DONTNEED)
