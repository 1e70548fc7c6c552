"""What requests that run a network have in common: inputs, mode, seed and revision, from JSON as it was read or bytes.

Every value is checked here, with a pointer to its place. Called by `forward.py` and `backward.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from app.db import revisions
from app.errors import NotFound, in_place, pointer_to
from app.messages import Mode, NetworkRef
from app.tensors.codecs.json_reading import TensorReference, looks_like_tensor, read_tensor
from app.worker.artifacts import names_artifact, read_artifact, read_one
from app.worker.context import Worker
from app.worker.placed_tensors import tensor_beside

SEEDS = range(-(2**63), 2**64)
REVISIONS = range(1, 2**63)

Tensors = Tensor | dict[str, Tensor]  # one, or several by name


def read_object(document: object, keys: Sequence[str]) -> dict[str, object]:
    """The body's JSON object, which has none but these keys, and `inputs`. Raises: Unprocessable."""
    if not isinstance(document, dict):
        raise in_place("", 'The body is an object such as {"inputs": [[1, 2]]}.', code="bad-request")
    for key in document:
        if key not in keys:
            message = f"{key!r} is not known here; known are {', '.join(keys)}."
            raise in_place(pointer_to(key), message, code="unknown-key")
    if "inputs" not in document:
        raise in_place("", "`inputs` is missing: one tensor, or an object of tensors by name.", code="missing-input")
    return document


def read_mode(document: Mapping[str, object], otherwise: Mode) -> Mode:
    mode = document.get("mode", otherwise)
    if mode not in ("eval", "train"):
        raise in_place("/mode", '`mode` is "eval" or "train".', code="bad-request")
    return mode


def read_flag(document: Mapping[str, object], key: str, *, otherwise: bool) -> bool:
    flag = document.get(key, otherwise)
    if not isinstance(flag, bool):
        raise in_place(f"/{key}", f"`{key}` is true or false.", code="bad-request")
    return flag


def read_integer(document: Mapping[str, object], key: str, otherwise: int | None) -> int | None:
    value = document.get(key, otherwise)
    if value is None or (type(value) is int and value in SEEDS):
        return value
    raise in_place(f"/{key}", f"`{key}` is an integer of 64 bits.", code="bad-request")


def read_tensors_of(worker: Worker, value: object, ref: NetworkRef, pointer: str, *, move: bool = False) -> Tensors:
    """One tensor, or an object of them by name; numbers without a dtype take the network's.

    Raises: Unprocessable; Conflict `device-mismatch` for a tensor of another device, unless it may `move`.
    """
    if names_artifact(value):
        return read_artifact(worker, ref.network_id, value, pointer)
    if looks_like_tensor(value):
        return read_tensor_of(worker, value, ref, pointer, move)
    assert isinstance(value, dict)
    return {name: read_tensor_of(worker, part, ref, pointer + pointer_to(name), move) for name, part in value.items()}


def read_tensor_of(worker: Worker, value: object, ref: NetworkRef, pointer: str, move: bool) -> Tensor:
    """One tensor of a request. Raises as above."""
    if names_artifact(value):
        return read_one(worker, ref.network_id, value, pointer)
    tensor = read_tensor(value, pointer=pointer, dtype=ref.dtype, limits=worker.limits)
    return tensor_beside(worker, ref, tensor, move=move) if isinstance(tensor, TensorReference) else tensor


def at_revision(worker: Worker, ref: NetworkRef, revision: int | None) -> NetworkRef:
    """The same network at another of its revisions. Raises: NotFound."""
    if revision is None or revision == ref.revision:
        return ref
    if revision not in REVISIONS:
        raise NotFound(f"Revisions are numbered from 1; the newest of this network is {ref.revision}.")
    row = None
    if revision < ref.revision:
        with worker.database.reading() as connection:
            row = revisions.find(connection, ref.network_id, revision)
    if row is None:
        raise NotFound(f"The network has no revision {revision}; its newest is {ref.revision}.")
    return NetworkRef(ref.network_id, revision, row.manifest, ref.dtype, ref.device)


def placed(tensors: Tensors, device: torch.device) -> Tensors:
    """The tensors on `device`."""
    if device.type == "cpu":
        return tensors
    if isinstance(tensors, Tensor):
        return tensors.to(device)
    return {name: tensor.to(device) for name, tensor in tensors.items()}


@contextmanager
def seeded_on(seed: int, device: torch.device) -> Iterator[None]:
    """`torch.manual_seed(seed)` for what runs inside; the generators go on as before afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
