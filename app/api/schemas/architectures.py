"""Architectures as requests hold them, and what a check of one answers.

The architecture itself is checked by a worker, which can say far more about a mistake than a schema can; the schema
here is for the reader and for tools. Its forms are told in `ARCHITECTURE_SCHEMA`.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, WithJsonSchema

from app.api.schemas.tensors import SCHEMA_MARK

MLP: dict[str, Any] = {
    "children": {"hidden": "Linear(20, 256)", "out": "Linear(256, 10)"},
    "inputs": ["X"],
    "forward": ["return out(F.relu(hidden(X)))"],
}

_ARCHITECTURE_WORDS = """A block. A block is one of:

* a **call** in text: a layer of `torch.nn` or a named block, as one would write it: `"Linear(20, 256)"`;
* a **list** of blocks, short for a Sequential: `["Linear(20, 256)", "ReLU()", "Linear(256, 10)"]`;
* a **layer** with arguments: `{"type": "Linear", "args": [20, 256]}` or `"kwargs": {"in_features": 20, ...}`;
* a **container**: `{"type": "Sequential", "layers": [...]}`, where `layers` may be an object with names, may hold
  repeats `{"repeat": 4, "name": "block {i}", "block": ...}` and `{"ref": "name"}` of a child under `shared`;
* a **block of one's own**: `children`, `parameters`, `constants`, `ties`, `hyperparameters`, `inputs` and a `forward`
  (text, or a list of lines), or `nodes` and `outputs` in place of `forward`.

`blocks` beside any object form defines named blocks for use inside it."""

ARGUMENT = {"description": "A number, a text, a truth value, a list, null, or a block."}
ARCHITECTURE_SCHEMA: dict[str, Any] = {
    "title": "Architecture",
    "description": _ARCHITECTURE_WORDS,
    "anyOf": [
        {"type": "string", "title": "Call", "description": "A layer or a named block, as a call."},
        {
            "type": "array",
            "title": "Sequence",
            "description": "Blocks run one after the other.",
            "items": {"description": "A block, in any of these forms."},  # few generators follow a schema to itself
        },
        {
            "type": "object",
            "title": "Layer or container",
            "required": ["type"],
            "properties": {
                "type": {"type": "string", "description": "A layer of torch.nn, or a named block."},
                "args": {"type": "array", "items": ARGUMENT, "description": "Arguments by position."},
                "kwargs": {"description": "Arguments by name, an object."},
                "layers": {"description": "Children of a container, a list or an object."},
                "shared": {"description": "Blocks that `ref` may name, each used more than once, an object."},
                "blocks": {"description": "Named blocks for use inside, an object."},
                "hyperparameters": {"description": "Names that text inside may use, an object or a list."},
            },
        },
        {
            "type": "object",
            "title": "Block of one's own",
            "properties": {
                "hyperparameters": {
                    "description": "Names with defaults, an object with null for one that must be given; or a list.",
                },
                "children": {"description": "Blocks by name, an object; or a hyperparameter that holds them."},
                "parameters": {"description": "Expressions that give first values, by name, an object."},
                "constants": {"description": "Buffers: saved, never trained; an object."},
                "ties": {"description": "Pairs [left, right] meaning left = right, a list."},
                "inputs": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "Names; `mask=None` has a default.",
                },
                "forward": {"description": "Statements of the language, as text or a list of lines."},
                "nodes": {"description": "A graph in place of `forward`, a list of objects."},
                "outputs": {"description": "What the graph gives, a list or an object."},
                "blocks": {"description": "Named blocks for use inside, an object."},
            },
        },
    ],
    "examples": [MLP, ["Linear(20, 256)", "ReLU()", "Linear(256, 10)"], "Linear(20, 256)"],
}

Architecture = Annotated[Any, WithJsonSchema({SCHEMA_MARK: "Architecture"})]


class StrictBody(BaseModel):
    """A request body: unknown fields and values of the wrong JSON type are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ShapeAndDtype(StrictBody):
    """The shape and dtype of an input that is only imagined."""

    shape: list[Annotated[int, Field(ge=0, le=2**31 - 1)]] = Field(max_length=32, examples=[[2, 20]])
    dtype: str | None = Field(None, description="Default: the architecture's dtype.", examples=["int64"])


Shape = Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1)]], Field(max_length=32)]


def _kind_of_json(value: object) -> str | None:
    """Picks the branch of a union by the kind of JSON value, so that errors are told of that branch alone."""
    if isinstance(value, list):
        return "<list>"
    return "<object>" if isinstance(value, dict | BaseModel) else None


InputShape = Annotated[
    Annotated[Shape, Tag("<list>")] | Annotated[ShapeAndDtype, Tag("<object>")], Discriminator(_kind_of_json)
]
InputShapes = Annotated[
    Annotated[Shape, Tag("<list>")] | Annotated[dict[str, InputShape], Tag("<object>")], Discriminator(_kind_of_json)
]


class ArchitectureToCheck(StrictBody):
    """An architecture, and the shapes of the inputs to imagine."""

    architecture: Architecture
    input_shapes: InputShapes | None = Field(
        None,
        description="Shapes to try the network with: a list for its only input, or an object with each input's name.",
        examples=[[2, 20]],
    )
    dtype: str = Field("float32", description="Floating dtype of its parameters.", examples=["float32"])
    seed: int | None = Field(None, description="Taken and ignored: nothing is drawn.", examples=[7])


class TensorShape(BaseModel):
    dtype: str = Field(examples=["float32"])
    shape: list[int] = Field(examples=[[2, 10]])


class CheckedArchitecture(BaseModel):
    """What the architecture would make. Nothing was built and nothing is stored."""

    parameter_count: int = Field(description="Elements of all parameters, each tied one once.")
    parameter_bytes: int = Field(description="Bytes of those.")
    tree: str = Field(description="What `print(net)` prints.")
    inputs: list[str] = Field(description="Names of the inputs.")
    output_shapes: dict[str, TensorShape] | None = Field(
        description="Outputs by name, for the given `input_shapes`; null without them."
    )
    note: str | None = Field(description="Why there are no `output_shapes` although `input_shapes` were given.")
