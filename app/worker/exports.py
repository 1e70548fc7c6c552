"""Networks in formats of others. Called by the handlers; an export takes seconds, so it runs in the lane of jobs."""

import orjson
import torch
from torch import Tensor, nn

from app.architecture.build import build_on_meta
from app.architecture.inputs import inputs_of
from app.architecture.materialise import materialise
from app.architecture.onnx_export import export_onnx
from app.architecture.signature import find_signature
from app.db import networks
from app.errors import NotFound, Unprocessable, in_place
from app.messages import Encoded, ExportNetwork
from app.tensors.torch_dtypes import torch_dtype
from app.worker.context import Worker
from app.worker.imagined import imagine, rebased
from app.worker.parameters import CPU
from app.worker.transfer import read_tensors

MEDIA_TYPE = "application/vnd.onnx"


def export_network(worker: Worker, task: ExportNetwork) -> Encoded:
    """Exports a network at a revision as ONNX, with its parameters.

    Raises: Unprocessable `not-exportable` where ONNX cannot say what it does; `missing-input` where no shapes were
    given and none could be guessed; what is wrong with those that were given.
    """
    ref = task.network
    dtype = torch_dtype(ref.dtype)
    with worker.database.reading() as connection:
        resolved = networks.find_resolved(connection, ref.network_id)
    if resolved is None:
        raise NotFound("The network was deleted meanwhile.")
    net = build_on_meta(orjson.loads(resolved), limits=worker.limits).to(dtype).eval()
    inputs = _inputs(worker, task, net, dtype)
    materialise(net, read_tensors(worker.store, worker.store.manifest(ref.manifest), CPU))
    try:
        model = export_onnx(net, inputs, dynamic=task.dynamic, dtype=dtype, limits=worker.limits)
    except Unprocessable as error:
        raise rebased(error) from error
    model.producer_name = "Model Lab"
    model.graph.name = task.title
    model.metadata_props.add(key="revision", value=str(ref.revision))
    return Encoded(MEDIA_TYPE, model.SerializeToString(), ref.revision)


def _inputs(worker: Worker, task: ExportNetwork, net: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    if task.input_shapes is None:
        example = find_signature(net, dtype, worker.limits).example
        if example is None:
            message = "no shapes of inputs could be guessed; say them: ?input_shapes=[2, 20], or an object by name"
            raise in_place("", message, code="missing-input")
        return dict(example)
    given = imagine(task.input_shapes, task.network.dtype, worker.limits)
    if isinstance(given, Tensor):
        names = [one.name for one in inputs_of(net)]
        return {names[0]: given} if names else {}
    return given
