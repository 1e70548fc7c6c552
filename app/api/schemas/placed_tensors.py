"""Tensors that live on a device: what makes one, and what is told of one."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas.architectures import StrictBody
from app.api.schemas.networks import FALLBACK, NAME_RULE, Seed
from app.api.schemas.pages import NextPageToken
from app.api.schemas.tensors import TensorData, TensorIn

ON_DEVICE = "One of `GET /v1/devices`, `cpu`, `cuda`, or `auto`: the one with the fewest bytes on it."
EXPRESSION = "An expression of the language. Bare names are tensors, all on one device."
Names = Annotated[dict[str, str], Field(max_length=1_000)]


class NewTensor(BaseModel):
    """A tensor to make: of `value`, of `data` with or without `shape`, or of an `expression`."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, description=f"{NAME_RULE}. Without it a name is made up.", examples=["X"])
    device: str | None = Field(
        None,
        description=f"{ON_DEVICE} Without it: where the tensors of the expression are, else the default one.",
        examples=["cpu:0"],
    )
    fallback: bool = Field(False, description=FALLBACK, examples=[True])
    dtype: str | None = Field(None, description="Default: float32 for numbers, or what the expression gives.")
    value: TensorIn | None = Field(None, description="Nested lists, a number, or an object with `data`.")
    data: TensorData = Field(None, description="Nested lists, or flat ones with a `shape`.")
    shape: list[int] | None = Field(None, examples=[[2, 2]])
    expression: str | None = Field(None, description=EXPRESSION, examples=["ones(2, 3)"])
    tensors: Names = Field({}, description="Names in the expression for tensors that are called otherwise.")
    seed: Seed | None = Field(None, description="`torch.manual_seed(seed)` just before the expression.")


class Copy(StrictBody):
    """Where a copy shall be."""

    device: str = Field(description=ON_DEVICE, examples=["cpu:0"])
    name: str | None = Field(None, description=f"{NAME_RULE}. Without it a name is made up.", examples=["Z"])
    fallback: bool = Field(False, description=FALLBACK, examples=[True])


class Evaluation(StrictBody):
    """An expression over tensors."""

    expression: str = Field(description=EXPRESSION, examples=["Y + Z"])
    name: str | None = Field(None, description="Keeps the value as a tensor of this name.", examples=["W"])
    tensors: Names = Field({}, description="Names in the expression for tensors that are called otherwise.")
    dtype: str | None = Field(None, description="What the value is cast to.", examples=["float64"])
    seed: Seed | None = Field(None, description="`torch.manual_seed(seed)` just before the expression.")


class TensorLinks(BaseModel):
    self: str
    copy_to: str


class PlacedTensor(BaseModel):
    """A tensor that lives on a device, without its numbers."""

    name: str
    device: str
    dtype: str
    shape: list[int]
    byte_count: int
    created_at: datetime
    links: TensorLinks


class PlacedTensorPage(BaseModel):
    """A page of tensors, in the order of their names."""

    items: list[PlacedTensor]
    next_page_token: NextPageToken


class PlacedValue(BaseModel):
    """A tensor with its numbers, or with the part of them that `index` takes."""

    name: str
    device: str
    dtype: str
    shape: list[int]
    data: TensorData
    index: str | None = None


class Value(BaseModel):
    """What an expression gave, and where."""

    dtype: str
    shape: list[int]
    data: TensorData
    device: str
