"""Tasks that check, build and describe architectures, and their replies."""

from typing import Literal

from app.messages.base import Message, NetworkRef


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
    network_id: str | None = None  # under which the worker keeps it loaded; None: it does not


class ListModules(Message, frozen=True):
    """Describe the module at `path` ("" is the network itself) and those below it. Reply: `Encoded`."""

    network: NetworkRef
    path: str
    accept: str


class ReadCatalog(Message, frozen=True):
    """Describe what the language and architectures may use. Reply: `Encoded` (JSON)."""

    kind: Literal["layers", "functions", "initializers", "optimizers", "schedulers"]


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


class InputInfo(Message, frozen=True):
    name: str
    required: bool


class Built(Message, frozen=True):
    resolved: bytes  # JSON: the architecture that needs no library
    manifest: str
    parameter_count: int  # each tied parameter once; buffers not counted
    parameter_bytes: int
    inputs: list[str]
    layout: bytes | None = None  # JSON: modules, names and ties
