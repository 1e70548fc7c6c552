"""Tasks of the Open Inference Protocol: running a network, and telling what it takes and gives."""

from app.messages.base import Message, NetworkRef


class RunInference(Message, frozen=True, omit_defaults=True):
    """Run a network on a request of the protocol. Reply: `Inferred`.

    `body` is the request's body, unread and in its `encoding` ("gzip", "deflate"). `header_length` is how much of it is
    JSON; None: all, 0: nothing, it is the only input's bytes. `reply_encoding`: "gzip" or "deflate"; "": as it is.
    """

    network: NetworkRef
    name: str
    body: bytes
    encoding: str = ""
    header_length: int | None = None
    reply_encoding: str = ""


class Inferred(Message, frozen=True):
    """A reply as it goes out, how much of it is JSON (None: all), and how long its parts took."""

    body: bytes
    header_length: int | None
    decode_ns: int
    run_ns: int
    encode_ns: int


class FindSignature(Message, frozen=True):
    """Find out what a network takes and gives. Reply: `SignatureFound`."""

    network: NetworkRef


class TensorSpec(Message, frozen=True):
    """One input or output. `shape` None: unknown; a size of -1 may be any."""

    name: str
    dtype: str | None
    shape: list[int] | None


class SignatureFound(Message, frozen=True):
    inputs: list[TensorSpec]  # those that must be given
    outputs: list[TensorSpec] | None  # None: they depend on values
