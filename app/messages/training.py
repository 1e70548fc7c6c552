"""Training: what a run is to do, the tasks that plan and run it, and what is told of it on the way."""

from typing import Any, Literal

import msgspec

from app.messages.base import Message, NetworkRef


class Clip(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds of gradients before each step: of their norm all together, of each element, or both."""

    norm: float | None = None
    norm_type: float = 2.0
    value: float | None = None


class EarlyStop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ends a run when a number has not become better for `patience` looks at it."""

    monitor: str = "loss"  # the loss, or a metric
    mode: Literal["min", "max"] = "min"
    patience: int = 3
    min_delta: float = 0.0
    restore_best: bool = False


class Checkpoints(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often a run is kept on its way; None: not by that measure. Of its revisions the newest `keep_last` stay."""

    every_steps: int | None = None
    every_seconds: float | None = 60.0
    keep_last: int = 3


class TrainingPlan(msgspec.Struct, frozen=True):
    """Everything that decides what a run ends in, besides the network and the data."""

    loss: str
    optimizer: Any  # JSON, as `app.architecture.optimizers` reads it
    seed: int
    batch_size: int
    shuffle: bool
    drop_last: bool
    epochs: int | None  # None: as many as `steps` takes
    steps: int | None
    scheduler: Any = None  # JSON
    scheduler_every: Literal["step", "epoch"] = "epoch"
    clip: Clip = Clip()
    frozen: list[str] = msgspec.field(default_factory=list)  # first names of parameters
    metrics: dict[str, str] = msgspec.field(default_factory=dict)  # of validation: expressions by name
    validation_batch_size: int = 0
    validation_every: int = 1  # epochs
    early_stop: EarlyStop | None = None
    checkpoints: Checkpoints = Checkpoints()


class PlanTraining(Message, frozen=True):
    """Check a request for training as far as that goes, and keep its data in the store. Reply: `Planned`.

    `body` is the request's body (JSON), unread; `seed` is for one that says none.
    """

    network: NetworkRef
    body: bytes
    seed: int


class Planned(Message, frozen=True):
    """A run that can begin. Tensors of `data` are called `inputs.x`, `targets.y`, `validation.inputs.x`, ..."""

    plan: TrainingPlan
    data: str  # manifest
    samples: int
    steps: int  # in all, unless it stops early
    warnings: list[str] = msgspec.field(default_factory=list)


class Train(Message, frozen=True):
    """Run `plan` from `network` on, or from a checkpoint. Reply: `Trained`.

    On the way it tells `TrainingNews`. `note` and `state` are of the newest checkpoint, `network` at its revision.
    """

    network: NetworkRef
    plan: TrainingPlan
    data: str  # manifest
    note: bytes | None = None
    state: str | None = None  # manifest


class TrainingCheckpoint(msgspec.Struct, frozen=True):
    """A run as it was after a step: tensors for the next revision, and what it goes on with."""

    manifest: str
    state: str  # manifest of optimizer, generators and the like
    note: bytes
    step: int
    epoch: int
    loss: float | None


class TrainingNews(msgspec.Struct, frozen=True, omit_defaults=True):
    """The detail of a `Progress` message of a run, as JSON: `shown` is for people."""

    shown: dict[str, Any]
    curve: bytes | None = None
    checkpoint: TrainingCheckpoint | None = None


class DrawCurve(Message, frozen=True):
    """Draw the curve of a run. Reply: `Encoded`."""

    title: str
    curve: "Curve"
    accept: str  # a picture's media type


class Trained(Message, frozen=True):
    """A run that came to its end: tensors for the next revision."""

    manifest: str
    curve: bytes
    steps: int
    epochs: int  # that were completed
    stopped: Literal["done", "early"]
    loss: float | None  # the mean of the last epoch, or of the part of it that was run
    validation: dict[str, float | None] | None
    best: dict[str, Any] | None = None  # of early stopping: step and value


class EpochPoint(msgspec.Struct, frozen=True):
    """One epoch of a run: its mean loss, the learning rate that it ended with, and what validation gave, if it was."""

    epoch: int  # 1 for the first
    step: int  # its last
    loss: float | None
    lr: float
    validation: dict[str, float | None] | None = None


class Curve(msgspec.Struct):
    """The losses of a run, each point of `stride` steps: the last of them, their mean, the lowest and the highest.

    Points have room for so many; when they are full, each two become one.
    """

    stride: int = 1
    steps: list[int] = msgspec.field(default_factory=list)
    mean: list[float] = msgspec.field(default_factory=list)
    low: list[float] = msgspec.field(default_factory=list)
    high: list[float] = msgspec.field(default_factory=list)
    waiting: list[float] = msgspec.field(default_factory=list)  # losses of the point that is not whole yet
    epochs: list[EpochPoint] = msgspec.field(default_factory=list)
