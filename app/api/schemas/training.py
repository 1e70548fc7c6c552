"""Training, for the reference: a worker reads the bodies; and how a run went."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas.forward import SavedTensor
from app.api.schemas.tensors import TensorIn

Data = TensorIn | SavedTensor | dict[str, TensorIn | SavedTensor]
AS_INPUTS = 'One tensor, or an object of tensors by name; each may be `{"artifact": name}`.'


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MadeByName(Strict):
    """An optimizer or a scheduler, as a layer is written: its name, and arguments by position, by name, or both."""

    type: str = Field(examples=["Adam"])
    args: list[Any] = Field([], json_schema_extra={"items": {"description": "An argument by position."}})
    kwargs: dict[str, Any] = Field({}, examples=[{"lr": 0.01}])


class Clipping(Strict):
    """Bounds of gradients before each step: `clip_grad_norm_`, `clip_grad_value_`, or both."""

    norm: float | None = None
    norm_type: float = 2.0
    value: float | None = None


class ValidationData(Strict):
    """Data that is looked at in mode `eval` and not learnt from."""

    inputs: Data = Field(description=AS_INPUTS)
    targets: Data = Field({}, description=AS_INPUTS)
    metrics: dict[str, str] = Field(
        {},
        description="Expressions over outputs, targets and inputs that give one number, by names of your own.",
        examples=[{"accuracy": "(output.argmax(1) == y).float().mean()"}],
    )
    batch_size: int | None = Field(None, ge=1, description="Default: that of the training.")
    every_epochs: int = Field(1, ge=1, description="After every so many epochs, and after the last step.")


class EarlyStopping(Strict):
    """Ends the run when a number has not become better for a while."""

    monitor: str = Field("loss", description="`loss` or a metric: of validation where there is one.")
    mode: Literal["min", "max"] = "min"
    patience: int = Field(3, ge=1, description="So many looks without a better one end the run.")
    min_delta: float = Field(0.0, ge=0, description="Better is better by more than this.")
    restore_best: bool = Field(False, description="End with the parameters that gave the best number.")


class CheckpointInterval(Strict):
    """How often the run is kept on its way; each time makes a revision."""

    every_steps: int | None = Field(None, ge=1)
    every_seconds: float | None = Field(60.0, gt=0, description="null: not by time.")
    keep_last: int = Field(
        3, ge=1, description="Of this run's revisions the newest so many stay, and those with a tag."
    )


class TrainRequest(Strict):
    """What to learn, from what, and how long."""

    inputs: Data = Field(description=AS_INPUTS + " The first dimension of all counts the samples.")
    targets: Data = Field({}, description="What the loss compares with. A single tensor is called `y` or `target`.")
    loss: str = Field(description="As in `backward`: an expression of one number.", examples=["mse_loss(output, y)"])
    optimizer: str | MadeByName = Field(description="Any of `torch.optim`.", examples=["Adam(lr=0.01)"])
    scheduler: str | MadeByName | None = Field(
        None,
        description="Any of `torch.optim.lr_scheduler`. `lr_lambda` is an expression of `epoch`.",
        examples=["StepLR(10, gamma=0.5)"],
    )
    scheduler_every: Literal["step", "epoch"] | None = Field(
        None, description="When it goes on. Default: each epoch; `OneCycleLR` and `CyclicLR` each step."
    )
    epochs: int | None = Field(None, ge=1, description="Passes over the data. One of `epochs` and `steps` is needed.")
    steps: int | None = Field(None, ge=1, description="Of the optimizer; with both, what comes first ends the run.")
    batch_size: int = Field(32, ge=1)
    shuffle: bool = Field(True, description="In the order of PyTorch's `DataLoader` with a generator of this `seed`.")
    drop_last: bool = Field(False, description="Leave out a last batch that is not full.")
    seed: int | None = Field(
        None,
        description="`torch.manual_seed(seed)` at the start, and of the order. Without it one is drawn, and told.",
    )
    clip: float | Clipping | None = Field(None, description="A number bounds the norm of all gradients together.")
    frozen: list[str] = Field([], description="Paths of modules and parameters that are left as they are in this run.")
    validation: ValidationData | None = None
    early_stop: EarlyStopping | None = None
    checkpoint: CheckpointInterval = CheckpointInterval()


class BestLook(BaseModel):
    step: int
    value: float


class TrainingLinks(BaseModel):
    job: str
    curve: str


class TrainingReply(BaseModel):
    """What a run came to."""

    revision: int = Field(description="The one that it ended in.")
    steps: int
    epochs: int = Field(description="That were completed.")
    samples: int
    stopped: Literal["done", "early"]
    loss: float | None = Field(description="The mean over the last epoch, as far as it came.")
    validation: dict[str, float | None] | None = Field(description="What the last look gave.")
    best: BestLook | None = Field(description="What early stopping held for the best.")
    seed: int
    warnings: list[str] = Field(description="What PyTorch warned of: a target that was spread over an output.")
    links: TrainingLinks


class CurveEpoch(BaseModel):
    """One epoch."""

    epoch: int
    step: int = Field(description="Its last.")
    loss: float | None = Field(description="The mean over its samples.")
    lr: float
    validation: dict[str, float | None] | None


class CurveReply(BaseModel):
    """How the loss went. When there are too many points, each two become one: `stride` steps stand in each."""

    job: str
    stride: int
    steps: list[int] = Field(description="The last step of each point.")
    loss: list[float] = Field(description="The mean of its steps.")
    low: list[float]
    high: list[float]
    epochs: list[CurveEpoch]
