"""Tasks over whole states, saved tensors and the differences between revisions, and their replies."""

from typing import Literal

import msgspec

from app.messages.base import Message, NetworkRef


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
    dtypes: dict[str, str] = msgspec.field(
        default_factory=dict
    )  # what numbers without a dtype become, by the tensor's name; others float32


class WriteTensors(Message, frozen=True):
    """Write stored tensors as JSON. Reply: `Encoded`."""

    manifest: str
    names: dict[str, str]  # name in the reply -> name in the manifest
    kind: Literal["tensor", "list", "dict"] = "dict"


class StateDescribed(Message, frozen=True):
    prefix: str  # by names
    ties: list[list[str]]  # full state_dict names that are one parameter, the first in PyTorch's order first


class Kept(Message, frozen=True):
    """Tensors that are in the store; in the manifest one is called "tensor", those of a list "0", "1", ..."""

    kind: Literal["tensor", "list", "dict"]
    manifest: str
