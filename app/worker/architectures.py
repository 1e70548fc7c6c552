"""Checking and building networks from JSON: the slow part of creating one, and the first writing of its tensors.

Called by the handlers. The network itself comes to be in the service's transaction; what is written here is
content-addressed and harmless until then.
"""

import orjson
import torch
from torch import nn

from app.architecture.build import build, build_on_meta
from app.architecture.call import call, inputs_of
from app.architecture.describe import print_tree
from app.architecture.layout import Layout
from app.architecture.resolve import check_block, resolve
from app.errors import Unprocessable
from app.messages import (
    BlockChecked,
    BuildNetwork,
    Built,
    CheckArchitecture,
    CheckBlock,
    Checked,
    NetworkRef,
    TensorShape,
)
from app.tensors.torch_dtypes import dtype_name, torch_dtype
from app.worker.constants import read_architecture
from app.worker.context import Worker
from app.worker.imagined import imagine, rebased
from app.worker.initialize import initialize_module
from app.worker.transfer import keep_state


def check_architecture(worker: Worker, task: CheckArchitecture) -> Checked:
    """Builds on the meta device: counts, tree, and output shapes where input shapes are given."""
    resolved = _resolved(worker, task)
    net = build_on_meta(resolved, limits=worker.limits, pointer=task.pointer)
    net.to(torch_dtype(task.dtype))
    net.eval()
    shapes, note = _output_shapes(worker, task, net)
    count, byte_count = _parameter_size(net)
    return Checked(
        parameter_count=count,
        parameter_bytes=byte_count,
        tree=print_tree(net),
        inputs=[info.name for info in inputs_of(net)],
        output_shapes=shapes,
        note=note,
    )


def check_block_definition(worker: Worker, task: CheckBlock) -> BlockChecked:
    """Checks a block for the library without building it: its hyperparameters are not known yet."""
    uses = check_block(
        task.name,
        orjson.loads(task.definition),
        library=worker.library(task.workspace),
        limits=worker.limits,
        pointer=task.pointer,
    )
    return BlockChecked(uses=uses)


def build_network(worker: Worker, task: BuildNetwork) -> Built:
    """Draws a network's first values on the CPU as PyTorch would, keeps them in the store and, where the network has an
    id already, on the device."""
    resolved = _resolved(worker, task)
    with torch.random.fork_rng(devices=[]):
        if task.seed is None:
            torch.seed()
        else:
            torch.manual_seed(task.seed)
        net = build(resolved, limits=worker.limits, pointer=task.pointer)
        layout = Layout.of(net)
        if task.rules is not None:
            if task.rules_seed is not None:
                torch.manual_seed(task.rules_seed)
            initialize_module(net, layout, orjson.loads(task.rules), worker.limits, task.rules_pointer)
    net.to(torch_dtype(task.dtype))
    manifest = keep_state(worker.store, net)
    count, byte_count = _parameter_size(net)
    inputs = [info.name for info in inputs_of(net)]
    if task.network_id is not None:
        worker.residents.adopt(NetworkRef(task.network_id, 1, manifest, task.dtype, worker.device), net)
    return Built(
        resolved=orjson.dumps(resolved),
        manifest=manifest,
        parameter_count=count,
        parameter_bytes=byte_count,
        inputs=inputs,
        layout=layout.to_json(),
    )


def _resolved(worker: Worker, task: CheckArchitecture | BuildNetwork) -> dict[str, object]:
    """The architecture of a task, with the blocks of the library that it uses inside."""
    return resolve(
        read_architecture(worker, task.workspace, task.architecture, task.pointer),
        library=worker.library(task.workspace),
        limits=worker.limits,
        pointer=task.pointer,
    )


def _parameter_size(net: nn.Module) -> tuple[int, int]:
    """Number of elements and bytes of the parameters, each tied one once."""
    parameters = list(net.parameters())
    return sum(p.numel() for p in parameters), sum(p.numel() * p.element_size() for p in parameters)


def _output_shapes(
    worker: Worker, task: CheckArchitecture, net: nn.Module
) -> tuple[dict[str, TensorShape] | None, str | None]:
    if task.input_shapes is None:
        return None, None
    inputs = imagine(task.input_shapes, task.dtype, worker.limits)
    try:
        with torch.inference_mode():
            outputs = call(net, inputs, limits=worker.limits).outputs
    except Unprocessable as error:
        if error.code == "needs-values":
            return None, error.detail
        raise rebased(error) from error
    return {
        name: TensorShape(dtype=dtype_name(tensor.dtype), shape=list(tensor.shape)) for name, tensor in outputs.items()
    }, None
