"""Looking at a network's parameters and buffers: the list, and one of them whole or in part. Called by the handlers."""

from app.architecture.describe import canonical_parameter, list_parameters
from app.messages import Encoded, ListParameters, ParameterList, ReadParameter
from app.tensors.codecs.json_writing import dump, json_value
from app.tensors.codecs.registry import codec_of_reply
from app.tensors.index import read_index
from app.tensors.selection import select
from app.worker.context import Worker

JSON = "application/json"


def list_network_parameters(worker: Worker, task: ListParameters) -> ParameterList:
    """Lists parameters, then buffers, in PyTorch's order; a tied parameter once. Raises: NotFound for the prefix."""
    return ParameterList(items=list_parameters(worker.residents.find(task.network).module, task.prefix))


def read_parameter(worker: Worker, task: ReadParameter) -> Encoded:
    """Reads one parameter or buffer, or the part of it that `task.index` selects.

    The JSON reply describes the parameter and holds the value; other formats hold the value alone.

    Raises: NotFound for the name, Unprocessable for an index that does not fit.
    """
    net = worker.residents.find(task.network).module
    name = canonical_parameter(net, task.parameter)
    tensor = net.state_dict(keep_vars=True)[name].detach()
    value = tensor if task.index is None else select(tensor, read_index(task.index, tuple(tensor.shape)))
    if task.accept != JSON:
        return Encoded(task.accept, codec_of_reply(task.accept).encode({name: value}), task.network.revision)
    info = next(item for item in list_parameters(net, None) if name in (item.name, *item.tied_to))
    reply: dict[str, object] = {
        "name": name,
        "kind": info.kind,
        "dtype": info.dtype,
        "shape": info.shape,
        "device": worker.device,
        "requires_grad": info.requires_grad,
        "tied_to": [other for other in (info.name, *info.tied_to) if other != name],
        "grad": None,
        "value": json_value(value),
        "revision": task.network.revision,
    }
    if task.index is not None:
        reply["index"] = task.index
    return Encoded(JSON, dump(reply), task.network.revision)
