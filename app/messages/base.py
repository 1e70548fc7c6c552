"""What every task and reply is made of."""

import msgspec


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
