"""`.npz`: a ZIP file of `.npy` files, one for each named tensor, as `numpy.savez` writes it. No pickle."""

import io
import zipfile

import torch

from app.errors import pointer_to
from app.settings import Limits
from app.tensors.buffers import bytes_of
from app.tensors.codecs.base import Writable, named
from app.tensors.codecs.npy import header_of, name_of_entry, read_array
from app.tensors.codecs.zip_limits import open_zip, read_entry

_SUFFIX = ".npy"


def decode(body: bytes | memoryview, *, limits: Limits) -> dict[str, torch.Tensor]:
    """Reads named tensors, in the file's order. Raises Malformed, Unprocessable, TooLarge."""
    tensors: dict[str, torch.Tensor] = {}
    with open_zip(io.BytesIO(body), ".npz", limits) as archive:
        for entry in archive.infolist():
            name = name_of_entry(entry.filename)
            tensors[name] = read_array(read_entry(archive, entry, ".npz"), limits, pointer_to(name))
    return tensors


def encode(tensors: Writable) -> bytes:
    """Writes named tensors, uncompressed. Raises NotAcceptable for dtypes that NumPy does not have."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, tensor in named(tensors, "npz").items():
            header = header_of(tensor, name)
            entry = zipfile.ZipInfo(name + _SUFFIX)  # with no time of day: equal tensors make equal files
            with archive.open(entry, "w", force_zip64=True) as file:
                file.write(header)
                file.write(bytes_of(tensor))
    return stream.getvalue()
