"""Tasks that read, edit and initialise parameters, and their replies."""

from typing import Literal

from app.messages.base import Encoded, Message, NetworkRef


class ListParameters(Message, frozen=True):
    """List parameters and buffers in PyTorch's order, or those under `prefix`. Reply: `ParameterList`.

    Of that list, up to `limit` that come after the first `skip`.
    """

    network: NetworkRef
    prefix: str | None = None
    skip: int = 0
    limit: int | None = None


Of = Literal["value", "gradient"]


class ReadParameter(Message, frozen=True):
    """Read one parameter or buffer, or the part `index` (a NumPy basic index) of it. Reply: `Encoded`.

    `of` says which of its two tensors a binary reply holds; JSON holds both.
    """

    network: NetworkRef
    parameter: str  # a state_dict name, or with positions: "[0][1].bias"
    index: str | None
    accept: str
    of: Of = "value"


class ReadHistogram(Message, frozen=True):
    """Count the values of one parameter or buffer, or of its gradient. Reply: `Encoded`, JSON or drawn."""

    network: NetworkRef
    parameter: str
    index: str | None
    bins: int
    accept: str
    of: Of = "value"


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
