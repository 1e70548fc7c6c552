"""Tasks about tensors that live on a device, and their replies."""

from app.messages.base import Message


class TensorRef(Message, frozen=True):
    """One tensor that lives on a device. Its manifest has one entry, `tensor`."""

    tensor_id: str
    manifest: str


class MakeTensor(Message, frozen=True):
    """Make a tensor: of a file, or of JSON that holds values or an expression over tensors of the workspace.

    Reply: `TensorMade` where `tensor_id` is given, under which the worker keeps it; else `Encoded`, the tensor as
    `accept` says. Reply `Elsewhere` where the tensors of the expression are on another device than the worker's.
    """

    workspace: str
    body: bytes
    content_type: str
    device: str | None = None  # where the tensor must be; None: with the tensors that it is made of
    tensor_id: str | None = None
    accept: str = "application/json"


class LoadTensor(Message, frozen=True):
    """Bring a tensor to the device. Reply: `Loaded`."""

    tensor: TensorRef


class ReadTensor(Message, frozen=True):
    """Read a tensor, or the part `index` (a NumPy basic index) of it. Reply: `Encoded`."""

    manifest: str
    name: str
    device: str
    index: str | None
    accept: str


class TensorMade(Message, frozen=True):
    manifest: str
    device: str
    dtype: str
    shape: list[int]
    byte_count: int


class Elsewhere(Message, frozen=True):
    """The task is for the worker of another device."""

    device: str
