"""Looking at a network's parameters and buffers: the list, and one of them whole or in part. Called by the handlers.

Everything is read from the store, at any revision, without building the network; of a part only its chunks are read.
"""

from collections.abc import Mapping
from itertools import islice

import torch

from app.architecture.layout import TensorGroup
from app.messages import Encoded, ListParameters, NetworkRef, ParameterInfo, ParameterList, ReadParameter
from app.store.tensors import StoredTensor
from app.tensors.buffers import tensor_over
from app.tensors.codecs.json_writing import dump, json_value
from app.tensors.codecs.registry import codec_of_reply
from app.tensors.dtypes import DTYPES
from app.tensors.index import read_index
from app.tensors.selection import select
from app.worker.context import Worker
from app.worker.gradients import find_gradient, gradients_of
from app.worker.layouts import describe
from app.worker.transfer import read_tensors

JSON = "application/json"
CPU = torch.device("cpu")


def list_network_parameters(worker: Worker, task: ListParameters) -> ParameterList:
    """Lists parameters, then buffers, in PyTorch's order; a tied parameter once; or a part of that list.

    Raises: NotFound for the prefix.
    """
    layout = worker.layouts.find(task.network.network_id)
    prefix, _ = layout.module(task.prefix or "")
    stored = worker.store.manifest(task.network.manifest)
    flags = worker.layouts.flags(task.network)
    listed = ((name, group) for name, group in layout.under(prefix) if name in stored)
    end = None if task.limit is None else task.skip + task.limit
    return ParameterList(
        items=[describe(name, group, stored[name], flags) for name, group in islice(listed, task.skip, end)]
    )


def find_tensor(worker: Worker, ref: NetworkRef, parameter: str) -> tuple[str, TensorGroup, StoredTensor]:
    """A parameter or buffer by its name or by positions: its name, what it is, and where it is stored.

    Raises: NotFound, naming what is near.
    """
    layout = worker.layouts.find(ref.network_id)
    name = layout.canonical(parameter)
    return name, layout.group(name), worker.store.manifest(ref.manifest)[name]


def read_part(worker: Worker, stored: StoredTensor, index: str | None) -> torch.Tensor:
    """A stored tensor, or the part of it that a NumPy basic index selects, on the CPU. Raises: Unprocessable."""
    if index is None:
        return read_tensors(worker.store, {"": stored}, CPU)[""]
    fitted = read_index(index, stored.shape)
    patch = worker.store.open_patch(stored)
    patch.fetch(fitted.touched(DTYPES[stored.dtype].item_bytes, patch.chunk_bytes))
    return select(tensor_over(patch.buffer, stored.dtype, stored.shape), fitted)


def read_parameter(worker: Worker, task: ReadParameter) -> Encoded:
    """Reads one parameter or buffer, or the part of it that `task.index` selects.

    The JSON reply describes the parameter and holds the value; other formats hold the value alone.

    Raises: NotFound for the name, Unprocessable for an index that does not fit.
    """
    ref = task.network
    name, group, stored = find_tensor(worker, ref, task.parameter)
    if task.accept != JSON:
        if task.of == "gradient":
            stored = find_gradient(worker, ref, name, group)
        value = read_part(worker, stored, task.index)
        return Encoded(task.accept, codec_of_reply(task.accept).encode({name: value}), ref.revision)
    info = describe(name, group, stored, worker.layouts.flags(ref))
    reply = described(info, ref) | _gradient(worker, ref, group, task.index)
    reply |= {"value": json_value(read_part(worker, stored, task.index)), "revision": ref.revision}
    if task.index is not None:
        reply["index"] = task.index
    return Encoded(JSON, dump(reply), ref.revision)


def _gradient(worker: Worker, ref: NetworkRef, group: TensorGroup, index: str | None) -> dict[str, object]:
    """Members of the reply: the gradient at the revision of `ref`, and the revision of the gradients there are."""
    found = gradients_of(worker, ref)
    stored = found.at(ref).get(group.names[0])
    grad = None if stored is None else json_value(read_part(worker, stored, index))
    return {"grad": grad, "grad_revision": found.revision}


def described(info: ParameterInfo, ref: NetworkRef) -> dict[str, object]:
    """A parameter as JSON members, without its numbers."""
    members: Mapping[str, object] = {
        "name": info.name,
        "kind": info.kind,
        "dtype": info.dtype,
        "shape": info.shape,
        "device": ref.device,
        "requires_grad": info.requires_grad,
        "tied_to": info.tied_to,
    }
    return dict(members)
