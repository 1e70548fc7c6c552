"""Gradients, for the reference: workers read the bodies of backward and write most of its replies."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas.forward import SavedTensor
from app.api.schemas.tensors import Tensor, TensorData, TensorIn


class BackwardRequest(BaseModel):
    """Inputs to run a network on, and the loss to take the gradient of."""

    model_config = ConfigDict(extra="forbid")

    inputs: TensorIn | SavedTensor | dict[str, TensorIn | SavedTensor] = Field(
        description="As in a forward: one tensor, or an object of tensors by input name."
    )
    targets: TensorIn | SavedTensor | dict[str, TensorIn | SavedTensor] = Field(
        {},
        description="What the loss compares with: an object of tensors by names of your own. One tensor is called `y` "
        "or `target`.",
    )
    loss: str | None = Field(
        None,
        description="An expression over outputs, targets and inputs that gives one number. Every loss of "
        "`torch.nn.functional` may be called, and every one of `torch.nn`: `CrossEntropyLoss()(output, y)`. Default: "
        "the sum of the only output.",
        examples=["mse_loss(output, y)"],
    )
    mode: Literal["eval", "train"] = Field("eval", description="As `net.eval()` or `net.train()`.")
    seed: int | None = Field(None, description="`torch.manual_seed(seed)` just before the call.")
    revision: int | None = Field(None, description="Run at this revision in place of the newest.")
    accumulate: bool = Field(False, description="Add to the gradients there are, as PyTorch does; else they go.")


class GradientSummary(BaseModel):
    """A gradient in a few numbers, of its finite values but for the norm. What has no meaning is null."""

    dtype: str
    shape: list[int]
    norm: TensorData = Field(description="The 2-norm of all its values.")
    mean: float | None
    std: float | None = Field(description="Unbiased, as `tensor.std()`.")
    min: float | None
    max: float | None
    zeros: float = Field(description="The share of zeros.")
    non_finite: float = Field(description="The share of NaN and infinities.")


class BackwardReply(BaseModel):
    """The loss, and its gradients: all of those of inputs, summaries of those of parameters."""

    loss: TensorData = Field(description="A number; one that is not finite is a word.")
    input_gradients: dict[str, Tensor] = Field(description="By input; inputs that are no floating numbers have none.")
    parameter_gradients: dict[str, GradientSummary] = Field(
        description="By parameter, each tied one once. Frozen parameters, constants and what the loss does not depend "
        "on have none."
    )
    revision: int
    device: str
    warnings: list[str] = Field([], description="What PyTorch warned of: a target that was spread over an output.")


class GradientsReply(BaseModel):
    """The gradients that a network has."""

    revision: int = Field(description="The revision they belong to.")
    current: bool = Field(description="Whether that is the newest revision.")
    passes: int = Field(description="How many backward passes were added up.")
    gradients: dict[str, GradientSummary]
    created_at: datetime
    updated_at: datetime
