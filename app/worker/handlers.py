"""One function per kind of task; `answer` picks it and turns what it raises into a `Failure`.

Called by `process.py`. The work itself is in the files beside this one.
"""

from collections.abc import Callable
from typing import Any

import orjson

from app.architecture import initializers, layers, optimizers
from app.errors import LabError
from app.language import functions
from app.messages import (
    BuildNetwork,
    CheckArchitecture,
    CheckBlock,
    CompareRevisions,
    DescribeGradients,
    DescribeState,
    DrawCurve,
    DrawNetwork,
    EditParameter,
    Encoded,
    ExportNetwork,
    FindSignature,
    Initialize,
    KeepTensors,
    ListModules,
    ListParameters,
    LoadNetwork,
    LoadTensor,
    MakeTensor,
    PlanTraining,
    ProveRowWise,
    ReadCatalog,
    ReadHistogram,
    ReadParameter,
    ReadTensor,
    Release,
    ReplaceParameter,
    Reply,
    RunBackward,
    RunForward,
    RunInference,
    Task,
    Train,
    WriteSource,
    WriteTensors,
)
from app.worker.architectures import build_network, check_architecture, check_block_definition
from app.worker.backward import run_backward
from app.worker.batching import prove_row_wise
from app.worker.context import Worker
from app.worker.diagrams import draw_network
from app.worker.differences import compare_revisions
from app.worker.edits import edit_parameter, replace_parameter
from app.worker.exports import export_network
from app.worker.failures import describe, may_be_cured
from app.worker.forward import run_forward
from app.worker.gradients import describe_gradients
from app.worker.histogram import read_histogram
from app.worker.inference import find_network_signature, run_inference
from app.worker.initialize import initialize
from app.worker.modules import list_modules
from app.worker.parameters import list_network_parameters, read_parameter
from app.worker.placed_tensors import load_tensor, read_placed_tensor
from app.worker.placement import load_network, release
from app.worker.source import write_network_source
from app.worker.tensor_files import describe_state, keep_tensors, write_tensors
from app.worker.tensor_making import make_tensor
from app.worker.training import train
from app.worker.training_curve import draw_curve
from app.worker.training_plan import plan_training


def read_catalog(worker: Worker, task: ReadCatalog) -> Encoded:  # noqa: ARG001  # every handler takes a worker
    catalogues: dict[str, Callable[[], object]] = {
        "layers": layers.catalogue,
        "functions": functions.catalogue,
        "initializers": initializers.catalogue,
        "optimizers": lambda: optimizers.catalogue("optimizers"),
        "schedulers": lambda: optimizers.catalogue("schedulers"),
    }
    return Encoded(media_type="application/json", body=orjson.dumps(catalogues[task.kind]()))


FORESEEN = (LabError, RuntimeError, MemoryError)

HANDLERS: dict[type, Callable[[Worker, Any], Reply]] = {
    BuildNetwork: build_network,
    CheckArchitecture: check_architecture,
    CheckBlock: check_block_definition,
    CompareRevisions: compare_revisions,
    DescribeGradients: describe_gradients,
    DescribeState: describe_state,
    DrawCurve: draw_curve,
    DrawNetwork: draw_network,
    KeepTensors: keep_tensors,
    EditParameter: edit_parameter,
    ExportNetwork: export_network,
    FindSignature: find_network_signature,
    RunInference: run_inference,
    Initialize: initialize,
    ListModules: list_modules,
    ListParameters: list_network_parameters,
    ProveRowWise: prove_row_wise,
    PlanTraining: plan_training,
    ReadCatalog: read_catalog,
    ReadHistogram: read_histogram,
    ReadParameter: read_parameter,
    ReplaceParameter: replace_parameter,
    RunBackward: run_backward,
    LoadNetwork: load_network,
    LoadTensor: load_tensor,
    MakeTensor: make_tensor,
    ReadTensor: read_placed_tensor,
    Release: release,
    RunForward: run_forward,
    Train: train,
    WriteSource: write_network_source,
    WriteTensors: write_tensors,
}


def answer(worker: Worker, task: Task) -> Reply:
    """Runs a task; what a person can do something about comes back as a `Failure`.

    A task that finds no memory while others' networks lie there runs once more without them.
    """
    try:
        return _run(worker, task)
    except FORESEEN as error:
        if isinstance(task, Train) or not may_be_cured(worker, error):  # a training has told of its first steps
            return describe(worker, error)
    worker.residency.clear()
    try:
        return _run(worker, task)
    except FORESEEN as error:
        return describe(worker, error)


def _run(worker: Worker, task: Task) -> Reply:
    return HANDLERS[type(task)](worker, task)
