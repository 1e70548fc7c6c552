"""The curve of a run: every loss goes in, so many points are kept; and the curve as a picture.

It grows in `training.py`; the handlers draw it.
"""

import math
from collections.abc import Callable

from app.messages import DrawCurve, Encoded
from app.messages.training import Curve, EpochPoint
from app.pictures.charts import Curve as Line
from app.pictures.charts import draw_curves, format_number
from app.worker.context import Worker
from app.worker.histogram import PICTURES

MOST_POINTS = 1024
MOST_EPOCHS = 1024


def add_loss(curve: Curve, step: int, loss: float) -> None:
    """Adds the loss of the next step; every step is in exactly one point."""
    curve.waiting.append(loss)
    if len(curve.waiting) < curve.stride:
        return
    curve.steps.append(step)
    curve.mean.append(math.fsum(curve.waiting) / len(curve.waiting))
    curve.low.append(min(curve.waiting))
    curve.high.append(max(curve.waiting))
    curve.waiting = []
    if len(curve.steps) == MOST_POINTS:
        _merge(curve)


def _merge(curve: Curve) -> None:
    curve.stride *= 2
    curve.steps = curve.steps[1::2]
    curve.mean = [(left + right) / 2 for left, right in zip(curve.mean[::2], curve.mean[1::2], strict=True)]
    curve.low = [min(pair) for pair in zip(curve.low[::2], curve.low[1::2], strict=True)]
    curve.high = [max(pair) for pair in zip(curve.high[::2], curve.high[1::2], strict=True)]


def add_epoch(curve: Curve, point: EpochPoint) -> None:
    """Adds an epoch; when there are many, every other of the older ones goes."""
    curve.epochs.append(point)
    if len(curve.epochs) > MOST_EPOCHS:
        curve.epochs = curve.epochs[1::2] if len(curve.epochs) % 2 == 0 else curve.epochs[::2]


def draw_curve(worker: Worker, task: DrawCurve) -> Encoded:  # noqa: ARG001  # every handler takes a worker
    """The losses of a run over its steps, those of its epochs, and what validation gave."""
    curve = task.curve
    lines = [Line("loss", list(zip(curve.steps, curve.mean, strict=True)))]
    lines.append(Line("loss of the epoch", _points(curve, lambda point: point.loss)))
    names = dict.fromkeys(name for point in curve.epochs for name in point.validation or ())
    lines += [Line(f"validation {name}", _points(curve, _of_validation(name))) for name in names]
    words = [f"step {curve.steps[-1]:,}, loss {format_number(curve.mean[-1])}"] if curve.steps else []
    if curve.stride > 1:
        words.append(f"each point the mean of {curve.stride} steps")
    drawing = draw_curves(task.title, ", ".join(words), [line for line in lines if line.points], "step", "loss")
    return Encoded(task.accept, PICTURES[task.accept](drawing))


def _of_validation(name: str) -> Callable[[EpochPoint], float | None]:
    return lambda point: (point.validation or {}).get(name)


def _points(curve: Curve, read: Callable[[EpochPoint], float | None]) -> list[tuple[float, float]]:
    found = ((point.step, read(point)) for point in curve.epochs)
    return [(step, value) for step, value in found if value is not None]
