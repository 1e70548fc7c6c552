"""Running a network, for the reference: the route itself reads and writes bytes only."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas.tensors import Tensor, TensorIn


class SavedTensor(BaseModel):
    """Saved tensors as inputs: an artifact of one tensor, one item of a list or dict, or a dict for all inputs."""

    model_config = ConfigDict(extra="forbid")

    artifact: str = Field(description="Its name.")
    item: int | str | None = Field(None, description="Which tensor of a list (a number) or of a dict (a key).")


class ForwardRequest(BaseModel):
    """Inputs to run a network on."""

    model_config = ConfigDict(extra="forbid")

    inputs: TensorIn | SavedTensor | dict[str, TensorIn | SavedTensor] = Field(
        description="One tensor (a list, a number, or an object with `data`), or an object of tensors by input name. "
        'Where a tensor may stand, `{"artifact": name}` and `{"tensor": name}` may too.'
    )
    mode: Literal["eval", "train"] = Field("eval", description="As `net.eval()` or `net.train()`; nothing is kept.")
    update_buffers: bool = Field(False, description="In mode `train`: keep what the layers do to their buffers.")
    revision: int | None = Field(None, description="Run at this revision in place of the newest.")
    seed: int | None = Field(None, description="`torch.manual_seed(seed)` just before the call.")
    move: bool = Field(False, description="Bring tensors of other devices to the network's; else they are refused.")
    capture: list[str] = Field([], description="Paths of modules whose outputs to return as well.")


class ForwardReply(BaseModel):
    """What came out."""

    outputs: dict[str, Tensor] = Field(description="Outputs by name; one without a name is called `output`.")
    captured: dict[str, Tensor] | None = Field(None, description="What the modules under `capture` put out.")
    revision: int
    device: str
