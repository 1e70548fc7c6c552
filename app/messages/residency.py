"""What is in a device's memory: told by workers whenever it changes, and brought or sent away by tasks."""

from typing import Literal

import msgspec

from app.messages.base import Message, NetworkRef

ResidentKind = Literal["network", "tensor"]


class Resident(Message, frozen=True):
    """Something in a device's memory. A network takes its tensors and the Python objects around them."""

    kind: ResidentKind
    id: str
    revision: int  # of a network; 1 for a tensor
    bytes: int


class Holding(Message, frozen=True):
    """How a worker's residents changed, sent before the reply to the task that changed them."""

    came: list[Resident]  # or are now at another revision
    left: list[tuple[ResidentKind, str]]
    evicted: int  # how many of them left to make room for others
    device_bytes: int | None  # what PyTorch has taken of a GPU's memory for this process; None on a CPU


class LoadNetwork(Message, frozen=True):
    """Bring a network to the device before anybody runs it there. Reply: `Loaded`."""

    network: NetworkRef


class Loaded(Message, frozen=True):
    bytes: int


class Release(Message, frozen=True):
    """Let go of residents and give their memory back to the system. Reply: `Released`."""

    networks: list[str] = msgspec.field(default_factory=list)
    tensors: list[str] = msgspec.field(default_factory=list)


class Released(Message, frozen=True):
    device: str
    bytes: int
