"""One step of training and one look at the validation data: what happens between a batch and new parameters.

Knows neither epochs nor checkpoints. Called by `training.py`, and by `training_plan.py` to try a first batch.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import LBFGS
from torch.optim.optimizer import Optimizer

from app.architecture.call import call
from app.architecture.failures import describe_failure
from app.architecture.losses import Loss, evaluate_loss, read_loss, values_of
from app.errors import LabError, Unavailable, in_place, pointer_to
from app.messages.training import TrainingPlan
from app.settings import Limits
from app.worker.training_data import Batch, Samples

ResultT = TypeVar("ResultT")


class Steps:
    """Runs batches through a network on its device. `parameters` are those that are trained."""

    def __init__(
        self,
        net: nn.Module,
        parameters: Iterable[nn.Parameter],
        plan: TrainingPlan,
        *,
        device: torch.device,
        dtype: torch.dtype,
        limits: Limits,
    ) -> None:
        self.net = net
        self.parameters = list(parameters)
        self._loss = read_loss(plan.loss, limits)
        self._metrics = {
            name: read_loss(text, limits, pointer_to("validation", "metrics", name))
            for name, text in plan.metrics.items()
        }
        self._clip = plan.clip
        self._device, self._dtype, self._limits = device, dtype, limits

    def step(self, optimizer: Optimizer, batch: Batch) -> Tensor:
        """Moves the parameters once, and gives the loss that moved them.

        Raises: what the network or the loss meets; Unprocessable for what PyTorch says of the step.
        """
        if isinstance(optimizer, LBFGS):  # it asks for the loss as often as it likes
            step: Callable[[Callable[[], Tensor]], Tensor] = optimizer.step
            return self.guarded("/optimizer", lambda: step(lambda: self._backward(optimizer, batch)))
        loss = self._backward(optimizer, batch)
        self.guarded("/optimizer", optimizer.step)
        return loss

    def _backward(self, optimizer: Optimizer, batch: Batch) -> Tensor:
        optimizer.zero_grad()
        loss = self.loss(batch)
        self.guarded("/loss", loss.backward)
        self.guarded("/clip", self._cut)
        return loss.detach()

    def _cut(self) -> None:
        if self._clip.norm is not None:
            clip_grad_norm_(self.parameters, self._clip.norm, self._clip.norm_type)
        if self._clip.value is not None:
            clip_grad_value_(self.parameters, self._clip.value)

    def loss(self, batch: Batch) -> Tensor:
        """The loss of a batch in the mode that the network is in. Raises as `step`."""
        outputs, values = self._run(batch)
        return self._evaluate(self._loss, outputs, values)

    def validate(self, samples: Samples, batch_size: int) -> dict[str, float | None]:
        """The loss and the metrics on samples in mode `eval`: means over batches, weighted by their sizes.

        A number that is not finite is None. The network is in mode `train` afterwards.
        """
        sums = dict.fromkeys(("loss", *self._metrics), 0.0)
        self.net.eval()
        with torch.no_grad():
            for batch in samples.in_order(batch_size):
                for name, value in self.look(batch).items():
                    sums[name] += float(value) * batch.count
        self.net.train()
        means = {name: total / samples.count for name, total in sums.items()}
        return {name: mean if math.isfinite(mean) else None for name, mean in means.items()}

    def look(self, batch: Batch) -> dict[str, Tensor]:
        """The loss and the metrics of one batch."""
        outputs, values = self._run(batch)
        expressions = {"loss": self._loss, **self._metrics}
        return {name: self._evaluate(expression, outputs, values) for name, expression in expressions.items()}

    def _run(self, batch: Batch) -> tuple[Mapping[str, Tensor], dict[str, Tensor]]:
        called = call(self.net, batch.inputs, limits=self._limits, device=self._device, dtype=self._dtype)
        return called.outputs, values_of(called.outputs, batch.targets, batch.inputs)

    def _evaluate(self, loss: Loss, outputs: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Tensor:
        return evaluate_loss(loss, outputs, values, dtype=self._dtype, limits=self._limits)

    def guarded(self, pointer: str, action: Callable[[], ResultT]) -> ResultT:
        """Runs a part of PyTorch, and says in words what it refuses."""
        try:
            return action()
        except LabError:
            raise
        except Exception as error:
            told = describe_failure(self.net, error, {})
            raise told if isinstance(told, Unavailable) else in_place(pointer, told.detail, code=told.code) from error
