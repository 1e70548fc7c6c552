"""What every task and reply is made of."""

import msgspec


class Message(msgspec.Struct, frozen=True, tag=True):
    """Base of everything sent: the class's name is the tag on the wire."""


class Batching(msgspec.Struct, frozen=True, array_like=True):
    """How requests of one network may share a run."""

    max_size: int  # requests in one run
    max_wait_ms: float  # longest that the first of them waits for others


class NetworkRef(Message, frozen=True, omit_defaults=True):
    """One network at one revision, as a worker needs it: where to find its architecture and its tensors."""

    network_id: str
    revision: int
    manifest: str  # digest of the revision's manifest in the store
    dtype: str  # the network's floating dtype, "float32"
    device: str  # where it is placed, "cpu:0"
    batching: Batching | None = None  # None: each request runs alone


class Encoded(Message, frozen=True):
    """A reply body as it goes out, byte for byte."""

    media_type: str
    body: bytes
    revision: int | None = None  # the revision that was read or run, where the request could choose one
