"""Tasks and replies: the only things that cross a process boundary.

Frozen structs in MessagePack (msgspec), checked against their types when read, never pickled: a worker that a
user's network has gone wrong in cannot make the HTTP process run anything. Tensors travel as the bytes the
client sent or will get. `app.pool` sends tasks, `app.worker` answers them.
"""

from app.messages.architectures import (
    BlockChecked,
    BuildNetwork,
    Built,
    CheckArchitecture,
    CheckBlock,
    Checked,
    InputInfo,
    ListModules,
    ReadCatalog,
    ShapeSpec,
    TensorShape,
)
from app.messages.base import Batching, Encoded, Message, NetworkRef
from app.messages.batching import ProveRowWise, RowWise
from app.messages.forms import DrawNetwork, ExportNetwork, WriteSource
from app.messages.forward import Mode, RunForward
from app.messages.frames import FrameReader, frame
from app.messages.gradients import Backpropagated, DescribeGradients, RunBackward
from app.messages.inference import FindSignature, Inferred, RunInference, SignatureFound, TensorSpec
from app.messages.parameters import (
    Changed,
    EditParameter,
    Initialize,
    Initialized,
    InitializedParameter,
    ListParameters,
    Of,
    ParameterInfo,
    ParameterList,
    ReadHistogram,
    ReadParameter,
    ReplaceParameter,
    Updated,
)
from app.messages.residency import (
    Holding,
    Loaded,
    LoadNetwork,
    Release,
    Released,
    Resident,
    ResidentKind,
)
from app.messages.states import CompareRevisions, DescribeState, KeepTensors, Kept, StateDescribed, WriteTensors
from app.messages.tensors import (
    Elsewhere,
    LoadTensor,
    MakeTensor,
    ReadTensor,
    TensorMade,
    TensorRef,
)
from app.messages.training import DrawCurve, Planned, PlanTraining, Train, Trained
from app.messages.withdrawals import Withdrawals
from app.messages.workers import (
    Failure,
    Lane,
    Progress,
    Ready,
    Retiring,
    Shared,
    Start,
    from_failure,
    to_failure,
)

Task = (
    CheckArchitecture
    | CheckBlock
    | BuildNetwork
    | ProveRowWise
    | RunForward
    | RunBackward
    | PlanTraining
    | Train
    | DrawCurve
    | DescribeGradients
    | ListModules
    | ListParameters
    | ReadParameter
    | ReadHistogram
    | ReplaceParameter
    | EditParameter
    | Initialize
    | CompareRevisions
    | DescribeState
    | KeepTensors
    | WriteTensors
    | DrawNetwork
    | WriteSource
    | ExportNetwork
    | RunInference
    | FindSignature
    | ReadCatalog
    | LoadNetwork
    | MakeTensor
    | LoadTensor
    | ReadTensor
    | Release
)

Reply = (
    Encoded
    | Inferred
    | SignatureFound
    | Checked
    | BlockChecked
    | Built
    | RowWise
    | ParameterList
    | Changed
    | StateDescribed
    | Kept
    | Initialized
    | Updated
    | Backpropagated
    | Loaded
    | Released
    | TensorMade
    | Elsewhere
    | Planned
    | Trained
    | Failure
)

__all__ = [
    "TensorSpec",
    "SignatureFound",
    "RunInference",
    "Inferred",
    "FindSignature",
    "Batching",
    "Backpropagated",
    "Holding",
    "Elsewhere",
    "LoadNetwork",
    "LoadTensor",
    "MakeTensor",
    "ReadTensor",
    "TensorMade",
    "TensorRef",
    "Loaded",
    "Release",
    "Released",
    "Resident",
    "ResidentKind",
    "BlockChecked",
    "BuildNetwork",
    "Built",
    "Changed",
    "CheckArchitecture",
    "CheckBlock",
    "Checked",
    "CompareRevisions",
    "DescribeGradients",
    "DescribeState",
    "DrawCurve",
    "DrawNetwork",
    "EditParameter",
    "Encoded",
    "ExportNetwork",
    "Failure",
    "FrameReader",
    "Initialize",
    "Initialized",
    "InitializedParameter",
    "InputInfo",
    "KeepTensors",
    "Kept",
    "Lane",
    "ListModules",
    "ListParameters",
    "Message",
    "Mode",
    "NetworkRef",
    "Of",
    "ParameterInfo",
    "ParameterList",
    "PlanTraining",
    "Planned",
    "Progress",
    "ProveRowWise",
    "ReadCatalog",
    "ReadHistogram",
    "ReadParameter",
    "Ready",
    "ReplaceParameter",
    "Reply",
    "Retiring",
    "Shared",
    "RunBackward",
    "RowWise",
    "RunForward",
    "ShapeSpec",
    "Start",
    "StateDescribed",
    "Task",
    "TensorShape",
    "Train",
    "Trained",
    "Updated",
    "Withdrawals",
    "WriteSource",
    "WriteTensors",
    "frame",
    "from_failure",
    "to_failure",
]
