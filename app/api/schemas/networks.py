"""Networks: what makes one, what changes one, and what is told of one."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from app.api.schemas.architectures import Architecture, StrictBody
from app.api.schemas.initialization import Init
from app.api.schemas.pages import NextPageToken
from app.api.schemas.tensors import Tensor

NAME_RULE = "1 to 128 letters, digits, `.`, `_` or `-`, the first a letter, digit or `_`"

FALLBACK = "Take a CPU where that device is not there."
LabelName = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/\-]*$")]
LabelValue = Annotated[str, StringConstraints(max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")]
Labels = Annotated[dict[LabelName, LabelValue], Field(max_length=64)]
RevisionNumber = Annotated[int, Field(ge=1, le=2**53)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**64 - 1)]


class NewNetwork(StrictBody):
    """A network to make."""

    name: str | None = Field(None, description=f"{NAME_RULE}. Without it a name is made up.", examples=["mlp"])
    architecture: Architecture
    seed: Seed | None = Field(
        None,
        description="Gives the very parameters that `torch.manual_seed(seed)` and the same classes give in PyTorch. "
        "Without it one is drawn, and told in the reply.",
        examples=[7],
    )
    device: str | None = Field(
        None,
        description="Where it lives: one of `GET /v1/devices` (its `default` where nothing is said), `cpu`, `cuda`, or "
        "`auto`: the one with the fewest bytes on it.",
        examples=["auto"],
    )
    fallback: bool = Field(False, description=FALLBACK, examples=[True])
    dtype: str = Field("float32", description="Floating dtype of its parameters.", examples=["float32"])
    labels: Labels = Field({}, description="Words of your own, to find it by.", examples=[{"chapter": "5.1"}])
    init: Init | None = None


class Retention(StrictBody):
    """How many revisions a network keeps."""

    keep_last: Annotated[int, Field(ge=1, le=2**53)] = Field(
        description="The newest so many stay, and those with a tag.", examples=[10]
    )


class Batching(StrictBody):
    """How requests that come together may share one run of the network."""

    max_size: Annotated[int, Field(ge=2, le=64)] = Field(
        description="So many requests share a run at most.", examples=[32]
    )
    max_wait_ms: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = Field(
        2.0,
        description="So long the first request waits for others at most; it waits only where others came last time.",
        examples=[2],
    )


class NewClone(StrictBody):
    """A network that begins as another one is. Tensors are shared, not copied, until one of the two changes them."""

    name: str | None = Field(None, description=f"{NAME_RULE}. Without it a name is made up.", examples=["mlp-copy"])
    revision: RevisionNumber | None = Field(None, description="Default: the newest.", examples=[1])
    device: str | None = Field(None, description="Default: where the other one is.", examples=["auto"])
    fallback: bool = Field(False, description=FALLBACK, examples=[True])
    labels: Labels | None = Field(None, description="Default: those of the other one.", examples=[{"kept": "yes"}])


class ChangedNetwork(StrictBody):
    """What to change. What is left out stays; labels are replaced as a whole."""

    name: str | None = Field(None, description=f"A new name: {NAME_RULE}.", examples=["mlp-2"])
    labels: Labels | None = Field(None, examples=[{"chapter": "5.1", "kept": "yes"}])
    retention: Retention | None = Field(
        None, description="How many revisions stay; null keeps all.", examples=[{"keep_last": 10}]
    )
    batching: Batching | None = Field(
        None,
        description="How requests share runs; null: each runs alone. Only for networks that are proven to keep the "
        "rows of a batch apart.",
        examples=[{"max_size": 32, "max_wait_ms": 2}],
    )


class NewDevice(StrictBody):
    """Where a network shall live."""

    device: str = Field(description="`auto`, `cpu`, `cuda`, or one of `GET /v1/devices`.", examples=["cpu"])
    fallback: bool = Field(False, description=FALLBACK, examples=[True])


class NetworkLinks(BaseModel):
    """Addresses of what belongs to a network."""

    self: str
    architecture: str
    modules: str
    parameters: str
    forward: str
    revisions: str


class Network(BaseModel):
    """A network, without its numbers."""

    name: str
    revision: int = Field(description="Counts every change of its tensors; also in `ETag`.")
    device: str
    dtype: str
    parameter_count: int = Field(description="Elements of all parameters, each tied one once.")
    parameter_bytes: int
    labels: dict[str, str]
    retention: Retention | None = Field(description="How many revisions stay; null: all.")
    batching: Batching | None = Field(description="How requests share runs; null: each runs alone.")
    seed: int | None = Field(description="What its first values were drawn with.")
    inputs: list[str] = Field(description="Names of the inputs that a forward takes.")
    created_at: datetime
    updated_at: datetime
    links: NetworkLinks


class NetworkPage(BaseModel):
    """A page of networks, in the order of their names."""

    items: list[Network]
    next_page_token: NextPageToken


class ModuleParameter(BaseModel):
    name: str
    shape: list[int]
    dtype: str


class Module(BaseModel):
    """A module and those below it."""

    path: str = Field(description="Its path from the network, empty for the network itself.")
    type: str = Field(examples=["Linear"])
    repr: str = Field(description="What `repr(module)` gives, for a module without children one line.")
    children: list["Module"]
    parameters: list[ModuleParameter]


class Parameter(BaseModel):
    """A parameter or buffer, without its numbers."""

    name: str = Field(description="Its name in `state_dict`.")
    kind: Literal["parameter", "buffer"]
    shape: list[int]
    dtype: str
    device: str
    requires_grad: bool
    tied_to: list[str] = Field(description="Its other names.")
    link: str = Field(description="The address of its value.")


class ChangedParameter(Parameter):
    """A parameter or buffer after a change, without its numbers."""

    revision: int = Field(description="The revision that the change made.")


class ParameterPage(BaseModel):
    """Parameters, then buffers, in PyTorch's order."""

    items: list[Parameter]
    next_page_token: NextPageToken
    revision: int


class ParameterWithValue(BaseModel):
    """A parameter or buffer with its numbers, or the part of them that `index` names."""

    name: str
    kind: Literal["parameter", "buffer"]
    dtype: str
    shape: list[int] = Field(description="The shape of the whole, whatever `index` takes of it.")
    device: str
    requires_grad: bool
    tied_to: list[str]
    grad: Tensor | None = Field(description="Its gradient, or that part of it; null while there is none.")
    grad_revision: int | None = Field(description="The revision whose gradients backward left; null: none are kept.")
    index: str | None = None
    value: Tensor
    revision: int
