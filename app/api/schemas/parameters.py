"""Changes of a parameter, for the reference: workers read the bodies themselves. And its values, counted."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas.tensors import TensorIn


class Edit(BaseModel):
    """One change of a part: by `value` or by `expression`, one of the two."""

    model_config = ConfigDict(extra="forbid")

    index: str = Field("...", description="A NumPy basic index as text. Default: all of it.", examples=["0, :"])
    value: TensorIn | None = Field(None, description="A number, or a tensor that fits the part.")
    expression: str | None = Field(
        None, description="Over `param`, which is the part as it is.", examples=["param * (abs(param) >= 5)"]
    )


class EditRequest(BaseModel):
    """Edits, made one after the other, all of them or none."""

    model_config = ConfigDict(extra="forbid")

    edits: list[Edit] = []
    requires_grad: bool | None = Field(None, description="Whether it is trained; parameters only.")
    seed: int | None = Field(None, description="`torch.manual_seed(seed)` before the first edit.")


class ReplaceRequest(BaseModel):
    """A whole value. The tensor may stand by itself, too."""

    model_config = ConfigDict(extra="forbid")

    value: TensorIn


class Histogram(BaseModel):
    """The finite values of a parameter or buffer, counted. What has no meaning (the mean of no values) is null."""

    name: str
    of: Literal["value", "gradient"]
    dtype: str
    shape: list[int]
    counts: list[int]
    edges: list[float] = Field(description="One more than counts; values between two edges are counted together.")
    mean: float | None
    std: float | None = Field(description="Unbiased, as `tensor.std()`.")
    min: float | None
    max: float | None
    zeros: float = Field(description="The share of zeros among all values.")
    non_finite: float = Field(description="The share of NaN and infinities among all values.")
    revision: int
