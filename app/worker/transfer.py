"""Tensors between the store and PyTorch: written from a module, read onto a device. Called by builders and residents.

Bytes move straight between the store's buffers and the tensors' memory.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from app.store.store import TensorStore
from app.store.tensors import StoredTensor, TensorBytes
from app.tensors.buffers import bytes_of
from app.tensors.torch_dtypes import dtype_name, torch_dtype


def keep_state(store: TensorStore, net: nn.Module) -> str:
    """Writes the state_dict of `net` (under every name, tied ones too) and returns the manifest's digest."""
    return store.put(bytes_of_each(net.state_dict()))


def read_tensors(store: TensorStore, entries: Mapping[str, StoredTensor], device: torch.device) -> dict[str, Tensor]:
    """Reads stored tensors by name onto `device`, each with memory of its own even where two are equal.

    Raises: Damaged when stored bytes do not match their digest.
    """
    by_digest: dict[str, Tensor] = {}
    for entry in entries.values():
        if entry.digest not in by_digest:
            by_digest[entry.digest] = torch.empty(entry.shape, dtype=torch_dtype(entry.dtype), device="cpu")
    store.read_many_into([(digest, bytes_of(tensor)) for digest, tensor in by_digest.items()])
    tensors: dict[str, Tensor] = {}
    given_out: set[str] = set()
    for name, entry in entries.items():
        tensor = by_digest[entry.digest]
        tensors[name] = (tensor.clone() if entry.digest in given_out else tensor).to(device)
        given_out.add(entry.digest)
    return tensors


def bytes_of_each(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, TensorBytes]]:
    """Named tensors as the store takes them."""
    for name, tensor in tensors.items():
        yield name, TensorBytes(dtype_name(tensor.dtype), tuple(tensor.shape), bytes_of(tensor))
