"""Tensors that live on a device: found by name, brought from the store where they are not in memory, and read.

Called by the handlers, and by those who take `{"tensor": name}` where a value may stand.
"""

import torch
from torch import Tensor

from app.db import placed_tensors
from app.db.placed_tensors import PlacedTensorRow
from app.errors import Conflict, Place, in_place
from app.messages import Encoded, Loaded, LoadTensor, NetworkRef, ReadTensor, Resident, TensorRef
from app.tensors.codecs.json_reading import TensorReference
from app.tensors.codecs.json_writing import dump, json_value
from app.tensors.codecs.registry import codec_of_reply
from app.worker.context import Worker
from app.worker.parameters import read_part
from app.worker.transfer import read_tensors

JSON = "application/json"
ENTRY = "tensor"  # of the manifest
CPU = torch.device("cpu")
OBJECT_BYTES = 1024  # of one tensor besides its data


def resident_tensor(worker: Worker, ref: TensorRef) -> Tensor:
    """The tensor on this worker's device, an alias that may be marked but not written to. Raises: Damaged."""
    found = worker.residency.find(("tensor", ref.tensor_id))
    if found is None:
        stored = worker.store.manifest(ref.manifest)[ENTRY]
        worker.residency.make_room(stored.byte_count + OBJECT_BYTES, "The tensor")
        read = worker.residency.allocate(
            lambda: read_tensors(worker.store, {ENTRY: stored}, worker.residency.device)[ENTRY]
        )
        found = keep_resident(worker, ref.tensor_id, read)
    assert isinstance(found, Tensor)
    return found.detach()


def keep_resident(worker: Worker, tensor_id: str, tensor: Tensor) -> Tensor:
    """Keeps a tensor of this worker's device between calls; there must be room for it."""
    worker.residency.add(Resident("tensor", tensor_id, 1, tensor.nbytes + OBJECT_BYTES), tensor)
    return tensor


def load_tensor(worker: Worker, task: LoadTensor) -> Loaded:
    """Brings a tensor to the device. Raises: Unprocessable for one that can never fit; Damaged."""
    return Loaded(bytes=resident_tensor(worker, task.tensor).nbytes)


def read_placed_tensor(worker: Worker, task: ReadTensor) -> Encoded:
    """Reads a tensor, or a part of it, from the store. Raises: Unprocessable for the index; Damaged."""
    value = read_part(worker, worker.store.manifest(task.manifest)[ENTRY], task.index)
    if task.accept != JSON:
        return Encoded(task.accept, codec_of_reply(task.accept).encode({task.name: value}))
    reply = {"name": task.name, "device": task.device} | json_value(value)
    return Encoded(JSON, dump(reply if task.index is None else reply | {"index": task.index}))


def tensor_beside(worker: Worker, ref: NetworkRef, reference: TensorReference, *, move: bool) -> Tensor:
    """The tensor that a request to a network names, on the device of the network, which is this worker's.

    Raises: Unprocessable `unknown-name`; Conflict `device-mismatch` for one on another device, unless it may `move`.
    """
    row = _find_beside(worker, ref, reference)
    if row.device == ref.device:
        return resident_tensor(worker, TensorRef(row.id, row.manifest))
    if not move and not reference.move:
        message = (
            f"{row.name!r} is on {row.device} and the network on {ref.device}. Copy it there first "
            f'(POST /v1/tensors/{row.name}/copy), or say "move": true.'
        )
        raise Conflict(
            message,
            code="device-mismatch",
            places=[Place(reference.pointer, message)],
            extra={"devices": [row.device, ref.device]},
        )
    return _values(worker, row, worker.residency.device)


def values_beside(worker: Worker, ref: NetworkRef, reference: TensorReference) -> Tensor:
    """The values of the tensor that a request to a network names, on the CPU. Raises: Unprocessable `unknown-name`."""
    return _values(worker, _find_beside(worker, ref, reference), CPU)


def _find_beside(worker: Worker, ref: NetworkRef, reference: TensorReference) -> PlacedTensorRow:
    with worker.database.reading() as connection:
        row = placed_tensors.find_beside(connection, ref.network_id, reference.name)
    if row is None:
        message = f"There is no tensor {reference.name[:128]!r}."
        raise in_place(f"{reference.pointer}/tensor", message, code="unknown-name")
    return row


def _values(worker: Worker, row: PlacedTensorRow, device: torch.device) -> Tensor:
    entries = worker.store.manifest(row.manifest)
    return read_tensors(worker.store, {ENTRY: entries[ENTRY]}, device)[ENTRY]
