"""Tasks that give a network in other forms: as a picture, as source, as ONNX."""

from app.messages.architectures import ShapeSpec
from app.messages.base import Message, NetworkRef


class DrawNetwork(Message, frozen=True):
    """Draw the module at `path` ("" is the network itself) and what is in it. Reply: `Encoded`.

    `input_shapes` are those of the whole network; None: no shapes are shown.
    """

    network: NetworkRef
    title: str
    path: str
    depth: int | None
    input_shapes: dict[str, ShapeSpec] | None
    accept: str


class WriteSource(Message, frozen=True):
    """Write a network as one Python file of plain PyTorch. Reply: `Encoded`."""

    network: NetworkRef
    title: str


class ExportNetwork(Message, frozen=True):
    """Export a network as ONNX. Reply: `Encoded`.

    `input_shapes` None: shapes are guessed from its layers. `dynamic`: the first size of each input may be any.
    """

    network: NetworkRef
    title: str
    input_shapes: dict[str, ShapeSpec] | None
    dynamic: bool
