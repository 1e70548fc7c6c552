"""Running a network, for the reference: the route itself reads and writes bytes only."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas.tensors import Tensor, TensorIn


class ForwardRequest(BaseModel):
    """Inputs to run a network on."""

    model_config = ConfigDict(extra="forbid")

    inputs: TensorIn | dict[str, TensorIn] = Field(
        description="One tensor (a list, a number, or an object with `data`), or an object of tensors by input name."
    )
    mode: Literal["eval", "train"] = Field("eval", description="As `net.eval()` or `net.train()`; nothing is kept.")
    update_buffers: bool = Field(False, description="In mode `train`: keep what the layers do to their buffers.")
    revision: int | None = Field(None, description="Run at this revision in place of the newest.")
    seed: int | None = Field(None, description="`torch.manual_seed(seed)` just before the call.")
    capture: list[str] = Field([], description="Paths of modules whose outputs to return as well.")


class ForwardReply(BaseModel):
    """What came out."""

    outputs: dict[str, Tensor] = Field(description="Outputs by name; one without a name is called `output`.")
    captured: dict[str, Tensor] | None = Field(None, description="What the modules under `capture` put out.")
    revision: int
    device: str
