"""A training run: epochs of batches, and on the way progress, validation, early stopping and checkpoints.

The network is taken out of the residents, so nothing else sees it half trained. After the same checkpoint the same
numbers follow, bit for bit on a CPU: a checkpoint holds all that the rest of the run depends on, and making one
disturbs nothing. The service makes revisions of what is told here. Called by the handlers.
"""

import logging
import math
import time
from typing import Any, Literal

import msgspec
import torch
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from app.architecture.optimizers import make_optimizer, make_scheduler
from app.errors import Busy, Unavailable, Unprocessable
from app.messages import Train, Trained
from app.messages.training import Curve, EpochPoint, TrainingCheckpoint, TrainingNews
from app.worker.backward import trained_parameters
from app.worker.context import Worker
from app.worker.training_curve import add_epoch, add_loss
from app.worker.training_data import Order, read_data
from app.worker.training_state import (
    Best,
    Note,
    Position,
    generator_states,
    pack,
    restore_generators,
    unpack,
)
from app.worker.training_steps import Steps
from app.worker.transfer import bytes_of_each, keep_state, read_tensors

logger = logging.getLogger(__name__)

REPORT_SECONDS = 0.5  # between two reports, at least
CURVE_SECONDS = 2.0  # between two curves that are told with them
CPU = torch.device("cpu")


def train(worker: Worker, task: Train) -> Trained:
    """Runs a plan to its end, from the network as it is or from a checkpoint.

    Raises: what the network, the loss or the optimizer meets; Unprocessable `not-finite` when the loss is no number.
    """
    device = worker.residents.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        return _Run(worker, task).run()


class _Run:
    def __init__(self, worker: Worker, task: Train) -> None:
        self.worker, self.plan, self.device = worker, task.plan, worker.residents.device
        loaded = worker.residents.take(task.network)
        self.net = loaded.module.train()
        found = trained_parameters(worker, task.network, loaded)
        for name in task.plan.frozen:
            if (parameter := found.pop(name, None)) is not None:  # frozen by somebody else since the run was planned
                parameter.requires_grad_(False)
        if not found:
            raise Unprocessable("No parameter of the network is trained any more.", code="no-gradient")
        self.steps = Steps(
            self.net, found.values(), self.plan, device=self.device, dtype=loaded.dtype, limits=worker.limits
        )
        self.optimizer = make_optimizer(self.plan.optimizer, found.values(), worker.limits)
        scheduler = self.plan.scheduler
        self.scheduler = make_scheduler(scheduler, self.optimizer, worker.limits) if scheduler is not None else None
        self.data = read_data(worker, task.data)
        self.order = Order(
            self.data.samples.count,
            self.plan.batch_size,
            self.plan.seed,
            shuffle=self.plan.shuffle,
            drop_last=self.plan.drop_last,
        )
        self.total = total_steps(self.plan.epochs, self.plan.steps, self.order.batches)
        self.position, self.curve = Position(), Curve()
        self.best_state: dict[str, Tensor] = {}
        self.losses: list[Tensor] = []  # of steps that are not on the curve yet, on the device
        self.counts: list[int] = []  # how many samples each of them was of
        self.owed = False  # a checkpoint that could not be written when it was due
        torch.manual_seed(self.plan.seed)
        self.order_state = self.order.state  # before the order of this epoch was drawn
        if task.note is not None and task.state is not None:
            self._restore(task.note, task.state)
        self.started = self.reported = self.curve_told = self.kept = time.monotonic()
        self.steps_before, self.seconds_before = self.position.step, self.position.seconds

    # --- the loop ---

    def run(self) -> Trained:
        stopped: Literal["done", "early"] = "done"
        while self.position.step < self.total or self.position.batch == self.order.batches:
            self._run_epoch()
            if self.position.batch < self.order.batches:
                break  # the last step was in the middle of an epoch
            if self._end_epoch():
                stopped = "early"
                break
        self._report()
        return self._finish(stopped)

    def _run_epoch(self) -> None:
        """What is left of this epoch, or of the run."""
        position = self.position
        self.order.state = self.order_state
        batches = self.order.draw(self.device)
        for positions in batches[position.batch :]:
            if position.step == self.total:
                return
            batch = self.data.samples.take(positions)
            self.losses.append(self.steps.step(self.optimizer, batch))
            self.counts.append(batch.count)
            position.step += 1
            position.batch += 1
            if self.scheduler is not None and self.plan.scheduler_every == "step":
                self._advance_schedule(None)
            self._after_step()

    def _after_step(self) -> None:
        now = time.monotonic()
        every = self.plan.checkpoints
        due = every.every_steps is not None and self.position.step % every.every_steps == 0
        due = due or (every.every_seconds is not None and now - self.kept >= every.every_seconds)
        if now - self.reported >= REPORT_SECONDS:
            self._report()
            due = due or self.owed
        if due and self.position.step < self.total:
            self._keep()

    def _keep(self) -> None:
        """Makes a checkpoint and tells of it. While the database is away it is owed, and the run goes on."""
        try:
            checkpoint = self._checkpoint()
        except (Unavailable, Busy) as error:
            self.owed = True
            logger.warning("a checkpoint waits for the database: %s", error.detail)
        else:
            self.owed = False
            self._report(checkpoint)

    def _end_epoch(self) -> bool:
        """Looks at the epoch that ended, and gets ready for the next; True if the run is to stop."""
        self._flush()
        position, plan = self.position, self.plan
        position.epoch += 1
        position.last_loss = position.epoch_loss / position.epoch_samples
        looked = None
        if self.data.validation is not None and (
            position.epoch % plan.validation_every == 0 or position.step == self.total
        ):
            looked = position.validation = self.steps.validate(self.data.validation, plan.validation_batch_size)
        lr = self._lr()
        if self.scheduler is not None and plan.scheduler_every == "epoch":
            self._advance_schedule(looked)
        add_epoch(self.curve, EpochPoint(position.epoch, position.step, position.last_loss, lr, looked))
        self.order_state = self.order.state
        position.batch, position.epoch_loss, position.epoch_samples = 0, 0.0, 0
        return self._is_over(looked)

    def _advance_schedule(self, looked: dict[str, float | None] | None) -> None:
        scheduler = self.scheduler
        assert scheduler is not None
        if not isinstance(scheduler, ReduceLROnPlateau):
            self.steps.guarded("/scheduler", scheduler.step)
        elif (value := self._value("loss", looked)) is not None:
            scheduler.step(value)

    def _value(self, name: str, looked: dict[str, float | None] | None) -> float | None:
        """The newest number of that name: of validation where there is one, else the loss of the epoch."""
        return self.position.last_loss if self.data.validation is None else (looked or {}).get(name)

    def _is_over(self, looked: dict[str, float | None] | None) -> bool:
        stop, position = self.plan.early_stop, self.position
        if stop is None or (self.data.validation is not None and looked is None):
            return False
        value = self._value(stop.monitor, looked)
        best = position.best
        if value is not None and (best is None or _is_better(value, best.value, stop.mode, stop.min_delta)):
            position.best = Best(value, position.step)
            if stop.restore_best:
                self.best_state = {name: tensor.detach().clone() for name, tensor in self.net.state_dict().items()}
            return False
        if best is None:
            return False
        best.looks_since += 1
        return best.looks_since >= stop.patience

    def _finish(self, stopped: Literal["done", "early"]) -> Trained:
        position, best = self.position, self.position.best
        if self.best_state:
            self.net.load_state_dict(self.best_state)
        loss = position.epoch_loss / position.epoch_samples if position.epoch_samples else position.last_loss
        return Trained(
            manifest=keep_state(self.worker.store, self.net),
            curve=msgspec.msgpack.encode(self.curve),
            steps=position.step,
            epochs=position.epoch,
            stopped=stopped,
            loss=loss,
            validation=position.validation,
            best=None if best is None else {"step": best.step, "value": best.value},
        )

    # --- what is told ---

    def _flush(self) -> None:
        """Puts the losses since the last time on the curve. Raises: Unprocessable `not-finite`."""
        if not self.losses:
            return
        values = torch.stack(self.losses).tolist()
        first = self.position.step - len(values) + 1
        for number, (loss, count) in enumerate(zip(values, self.counts, strict=True)):
            if not math.isfinite(loss):
                raise _not_finite(loss, first + number)
            add_loss(self.curve, first + number, loss)
            self.position.epoch_loss += loss * count
            self.position.epoch_samples += count
        self.losses, self.counts = [], []

    def _report(self, checkpoint: TrainingCheckpoint | None = None) -> None:
        self._flush()
        now = time.monotonic()
        self.reported = now
        curve = None
        if checkpoint is not None or now - self.curve_told >= CURVE_SECONDS:
            curve, self.curve_told = msgspec.msgpack.encode(self.curve), now
        news = TrainingNews(self._shown(now), curve, checkpoint)
        self.worker.turn.report(self.position.step / self.total, msgspec.json.encode(news))

    def _shown(self, now: float) -> dict[str, Any]:
        position = self.position
        rate = (position.step - self.steps_before) / max(now - self.started, 1e-9)
        shown: dict[str, Any] = {
            "step": position.step,
            "steps": self.total,
            "epoch": position.epoch + (position.batch > 0),  # that of the last step
            "loss": self.curve.waiting[-1] if self.curve.waiting else self.curve.mean[-1],
            "lr": self._lr(),
            "steps_per_second": round(rate, 3),
            "samples_per_second": round(rate * self.plan.batch_size, 3),
            "seconds": round(self.seconds_before + now - self.started, 3),
            "seconds_left": round((self.total - position.step) / rate, 3) if rate else None,
        }
        if position.validation is not None:
            shown["validation"] = position.validation
        return shown

    def _lr(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    # --- checkpoints ---

    def _checkpoint(self) -> TrainingCheckpoint:
        """Puts all of the run into the store. Nothing refers to it until the service has made a revision of it."""
        self._flush()
        self.kept = time.monotonic()
        self.position.seconds = self.seconds_before + self.kept - self.started
        tensors: dict[str, Tensor] = {"generator.order": self.order_state, **generator_states(self.device)}
        optimizer = pack(self.optimizer.state_dict(), "optimizer", tensors)
        scheduler = None if self.scheduler is None else pack(self.scheduler.state_dict(), "scheduler", tensors)
        tensors |= {f"best.{name}": tensor for name, tensor in self.best_state.items()}
        note = Note(self.position, self.curve, optimizer, scheduler)
        return TrainingCheckpoint(
            manifest=keep_state(self.worker.store, self.net),
            state=self.worker.store.put(bytes_of_each(tensors)),
            note=msgspec.msgpack.encode(note),
            step=self.position.step,
            epoch=self.position.epoch,
            loss=self.position.epoch_loss / self.position.epoch_samples,
        )

    def _restore(self, text: bytes, state: str) -> None:
        note = msgspec.msgpack.decode(text, type=Note)
        store = self.worker.store
        tensors = read_tensors(store, store.manifest(state), CPU)
        self.position, self.curve = note.position, note.curve
        self.optimizer.load_state_dict(unpack(note.optimizer, tensors))
        if self.scheduler is not None:
            self.scheduler.load_state_dict(unpack(note.scheduler, tensors))
        self.order_state = tensors["generator.order"]
        self.best_state = {
            name.removeprefix("best."): tensor for name, tensor in tensors.items() if name.startswith("best.")
        }
        restore_generators(tensors, self.device)


def total_steps(epochs: int | None, steps: int | None, batches: int) -> int:
    """How many steps a run takes unless it stops early."""
    of_epochs = None if epochs is None else epochs * batches
    return min(bound for bound in (of_epochs, steps) if bound is not None)


def _is_better(value: float, best: float, mode: Literal["min", "max"], min_delta: float) -> bool:
    return value < best - min_delta if mode == "min" else value > best + min_delta


def _not_finite(loss: float, step: int) -> Unprocessable:
    message = (
        f"The loss of step {step} is {loss}, so there is nothing to go on with. A smaller learning rate or `clip` may "
        "help; the newest checkpoint is kept."
    )
    return Unprocessable(message, code="not-finite", extra={"step": step})
