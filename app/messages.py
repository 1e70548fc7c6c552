"""Tasks and replies: the only things that cross a process boundary.

Frozen structs in MessagePack (msgspec), checked against their types when read, never pickled: a worker that a
user's network has gone wrong in cannot make the HTTP process run anything. Tensors travel as the bytes the
client sent or will get. `app.pool` sends tasks, `app.worker` answers them.
"""

from typing import Generic, Literal, TypeVar

import msgspec

from app import errors
from app.errors import LabError, Place

Mode = Literal["eval", "train"]


class Message(msgspec.Struct, frozen=True, tag=True):
    """Base of everything sent: the class's name is the tag on the wire."""


class NetworkRef(Message, frozen=True):
    """One network at one revision, as a worker needs it: where to find its architecture and its tensors."""

    network_id: str
    revision: int
    manifest: str  # digest of the revision's manifest in the store
    dtype: str  # the network's floating dtype, "float32"
    device: str  # where it is placed, "cpu:0"


class Encoded(Message, frozen=True):
    """A reply body as it goes out, byte for byte."""

    media_type: str
    body: bytes
    revision: int | None = None  # the revision that was read or run, where the request could choose one


# --- tasks ---


class ShapeSpec(Message, frozen=True):
    """The shape and dtype of an input that is only imagined (on the meta device)."""

    shape: list[int]
    dtype: str | None = None


class CheckArchitecture(Message, frozen=True):
    """Build `architecture` on the meta device alone. Reply: `Checked`."""

    workspace: str
    architecture: bytes  # JSON
    pointer: str  # where the architecture stands in the request, "/architecture"
    dtype: str = "float32"
    input_shapes: dict[str, ShapeSpec] | None = None  # "" names the only input


class CheckBlock(Message, frozen=True):
    """Check a block definition as far as that goes without its hyperparameters. Reply: `BlockChecked`."""

    workspace: str
    name: str
    definition: bytes  # JSON
    pointer: str  # "/definition"


class BuildNetwork(Message, frozen=True):
    """Build `architecture`, draw its first values and keep them in the store. Reply: `Built`."""

    workspace: str
    architecture: bytes  # JSON
    pointer: str
    dtype: str = "float32"
    seed: int | None = None
    rules: bytes | None = None  # JSON: rules of initialisation, run after the first values are drawn
    rules_seed: int | None = None  # None: the generator goes on
    rules_pointer: str = "/init"


class RunForward(Message, frozen=True, omit_defaults=True):
    """Run a network. `body` is the request's body, unread. Reply: `Encoded`, or `Updated` where buffers are kept.

    A JSON body says `revision`, `mode`, `seed`, `capture` and `update_buffers` itself; what it does not say is taken
    from here.
    `revision` other than the head's is looked up by the worker.
    """

    network: NetworkRef
    body: bytes
    content_type: str
    accept: str
    revision: int | None = None
    mode: Mode = "eval"
    seed: int | None = None
    capture: list[str] = []
    update_buffers: bool = False


class ListModules(Message, frozen=True):
    """Describe the module at `path` ("" is the network itself) and those below it. Reply: `Encoded`."""

    network: NetworkRef
    path: str
    accept: str


class ListParameters(Message, frozen=True):
    """List parameters and buffers in PyTorch's order, or those under `prefix`. Reply: `ParameterList`."""

    network: NetworkRef
    prefix: str | None = None


class ReadParameter(Message, frozen=True):
    """Read one parameter or buffer, or the part `index` (a NumPy basic index) of it. Reply: `Encoded`."""

    network: NetworkRef
    parameter: str  # a state_dict name, or with positions: "[0][1].bias"
    index: str | None
    accept: str


class ReadHistogram(Message, frozen=True):
    """Count the values of one parameter or buffer, or of the part `index` of it. Reply: `Encoded` (JSON)."""

    network: NetworkRef
    parameter: str
    index: str | None
    bins: int


class ReplaceParameter(Message, frozen=True):
    """Write a whole parameter or buffer. `body` is the request's body, unread. Reply: `Changed`."""

    network: NetworkRef
    parameter: str
    body: bytes
    content_type: str


class EditParameter(Message, frozen=True):
    """Change parts of a parameter or buffer, or its `requires_grad`. Reply: `Changed`."""

    network: NetworkRef
    parameter: str
    body: bytes  # JSON, unread


class Initialize(Message, frozen=True):
    """Give parameters new first values by rules. Reply: `Initialized`."""

    network: NetworkRef
    rules: bytes  # JSON
    seed: int | None = None


class CompareRevisions(Message, frozen=True):
    """Tell which tensors of two revisions differ, and how far. Reply: `Encoded` (JSON members of the answer)."""

    old: NetworkRef
    new: NetworkRef


class DescribeState(Message, frozen=True):
    """Tell the names that are tied in a network, and the module at `prefix` by names. Reply: `StateDescribed`."""

    network_id: str
    prefix: str = ""  # by names or positions


class KeepTensors(Message, frozen=True):
    """Keep the tensors of a file in the store, from `body` or, where that is empty, from `path`. Reply: `Kept`."""

    format: Literal["json", "npy", "npz", "pt"]
    body: bytes = b""
    path: str | None = None
    dtypes: dict[str, str] = {}  # what numbers without a dtype become, by the tensor's name; others float32


class WriteTensors(Message, frozen=True):
    """Write stored tensors as JSON. Reply: `Encoded`."""

    manifest: str
    names: dict[str, str]  # name in the reply -> name in the manifest
    kind: Literal["tensor", "list", "dict"] = "dict"


class ReadCatalog(Message, frozen=True):
    """Describe what the language and architectures may use. Reply: `Encoded` (JSON)."""

    kind: Literal["layers", "functions", "initializers"]


class ReportStatus(Message, frozen=True):
    """Tell how the worker is. Reply: `Status`."""


Task = (
    CheckArchitecture
    | CheckBlock
    | BuildNetwork
    | RunForward
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
    | ReadCatalog
    | ReportStatus
)

# --- replies ---


class TensorShape(Message, frozen=True):
    dtype: str
    shape: list[int]


class Checked(Message, frozen=True):
    parameter_count: int
    parameter_bytes: int
    tree: str  # what print(net) prints
    inputs: list[str]
    output_shapes: dict[str, TensorShape] | None  # None: no input shapes given
    note: str | None = None  # why output_shapes is missing although input shapes were given


class BlockChecked(Message, frozen=True):
    uses: list[str]  # names of library blocks that the definition uses itself


class Built(Message, frozen=True):
    resolved: bytes  # JSON: the architecture that needs no library
    manifest: str
    parameter_count: int  # each tied parameter once; buffers not counted
    parameter_bytes: int
    inputs: list[str]
    layout: bytes | None = None  # JSON: modules, names and ties


class ParameterInfo(Message, frozen=True):
    name: str
    kind: Literal["parameter", "buffer"]
    shape: list[int]
    dtype: str
    requires_grad: bool
    tied_to: list[str]


class ParameterList(Message, frozen=True):
    items: list[ParameterInfo]


class Changed(Message, frozen=True):
    """One parameter was changed: a manifest for the next revision."""

    manifest: str
    requires_grad: dict[str, bool]  # what changes of it
    detail: bytes  # JSON: kept with the revision
    parameter: ParameterInfo  # as it is then


class InitializedParameter(Message, frozen=True):
    name: str
    shape: list[int]
    rule: int  # its number, from 0


class Initialized(Message, frozen=True):
    """Parameters got new first values: a manifest for the next revision."""

    manifest: str
    items: list[InitializedParameter]  # in the order it was done


class Updated(Message, frozen=True):
    """A forward that changed buffers: its reply, which tells the revision after `base`, and that one's manifest."""

    reply: Encoded
    base: NetworkRef
    manifest: str
    names: list[str]  # of the buffers


class StateDescribed(Message, frozen=True):
    prefix: str  # by names
    ties: list[list[str]]  # full state_dict names that are one parameter, the first in PyTorch's order first


class Kept(Message, frozen=True):
    """Tensors that are in the store; in the manifest one is called "tensor", those of a list "0", "1", ..."""

    kind: Literal["tensor", "list", "dict"]
    manifest: str


class InputInfo(Message, frozen=True):
    name: str
    required: bool


class Resident(Message, frozen=True):
    network_id: str
    revision: int
    bytes: int


class Status(Message, frozen=True):
    device: str
    device_type: str  # "cpu" or "cuda"
    device_name: str  # "NVIDIA H100 80GB HBM3", or the CPU's name
    memory_total_bytes: int | None
    memory_used_bytes: int | None
    process_bytes: int
    residents: list[Resident]


class Failure(Message, frozen=True):
    """A `LabError` on its way from a worker."""

    kind: str
    code: str
    detail: str
    places: list[tuple[str, str]]
    extra: bytes  # JSON


Reply = (
    Encoded
    | Checked
    | BlockChecked
    | Built
    | ParameterList
    | Changed
    | StateDescribed
    | Kept
    | Initialized
    | Updated
    | Status
    | Failure
)


class Start(Message, frozen=True):
    """First message to a worker: what it is and what it may use."""

    device: str  # "cpu:0"
    settings: bytes  # Settings as JSON


class Ready(Message, frozen=True):
    """First message from a worker: it has loaded PyTorch and answers from now on."""

    pid: int


def to_failure(error: LabError) -> Failure:
    return Failure(
        kind=type(error).__name__,
        code=error.code,
        detail=error.detail,
        places=[(place.pointer, place.message) for place in error.places],
        extra=msgspec.json.encode(error.extra),
    )


def from_failure(failure: Failure) -> LabError:
    kind = errors.BY_NAME.get(failure.kind, LabError)
    return kind(
        failure.detail,
        code=failure.code,
        places=[Place(pointer, message) for pointer, message in failure.places],
        extra=msgspec.json.decode(failure.extra),
    )


# --- frames ---

PayloadT = TypeVar("PayloadT")

_LENGTH_BYTES = 8
_encoder = msgspec.msgpack.Encoder()


def frame(sequence: int, message: Message) -> bytes:
    """Packs a message for a stream: its length (8 bytes, little-endian), then `[sequence, message]`."""
    payload = _encoder.encode((sequence, message))
    return len(payload).to_bytes(_LENGTH_BYTES, "little") + payload


class FrameReader(Generic[PayloadT]):
    """Cuts a stream of bytes back into the messages that `frame` packed, checked to be of `kind`."""

    def __init__(self, kind: object) -> None:
        self._decoder = msgspec.msgpack.Decoder(tuple[int, kind])  # type: ignore[valid-type]  # a type made at run time
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> list[tuple[int, PayloadT]]:
        """Takes the next bytes and gives `(sequence, message)` for each message that is whole now.

        Raises: msgspec.DecodeError when the bytes are not such messages.
        """
        buffer = self._buffer
        buffer += data
        messages = []
        start = 0
        while len(buffer) - start >= _LENGTH_BYTES:
            body = start + _LENGTH_BYTES
            end = body + int.from_bytes(buffer[start:body], "little")
            if len(buffer) < end:
                break
            with memoryview(buffer) as view:
                messages.append(self._decoder.decode(view[body:end]))
            start = end
        del buffer[:start]
        return messages
