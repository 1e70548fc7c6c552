"""Tensors as JSON, for the reference; workers read and write them."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

SCHEMA_MARK = "x-schema"  # stands for a reference to the component of this name; pydantic knows its own ones only

TENSOR_DATA: dict[str, Any] = {
    "title": "TensorData",
    "description": "Nested lists, a number, a truth value, or a non-finite number in words.",
    "anyOf": [
        {"type": "array", "items": {"description": "Any of these."}},  # not itself: few generators can follow that
        {"type": "number"},
        {"type": "boolean"},
        {"enum": ["NaN", "Infinity", "-Infinity"]},
    ],
}
TensorData = Annotated[Any, WithJsonSchema({SCHEMA_MARK: "TensorData"})]


class Tensor(BaseModel):
    """A tensor. Floats round-trip exactly; non-finite numbers are the strings "NaN", "Infinity" and "-Infinity"."""

    dtype: str = Field(description="PyTorch's name of it.", examples=["float32"])
    shape: list[int] = Field(examples=[[2]])
    data: TensorData


class TensorToRead(BaseModel):
    """A tensor with its dtype; `shape` lets `data` be flat."""

    model_config = ConfigDict(extra="forbid")

    dtype: str | None = Field(None, description="Default: the network's floating dtype.", examples=["int64"])
    shape: list[int] | None = Field(None, examples=[[2, 2]])
    data: TensorData


class NamedTensor(BaseModel):
    """A tensor that lives on a device, by its name."""

    model_config = ConfigDict(extra="forbid")

    tensor: str = Field(description="Its name among `GET /v1/tensors`.")
    move: bool = Field(False, description="Bring it to the network's device if it is on another.")


TensorIn = TensorToRead | NamedTensor | TensorData
