"""The values of one parameter or buffer, counted, in numbers or as a picture. Called by the handlers."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from app.errors import in_place
from app.messages import Encoded, ReadHistogram
from app.pictures import png, svg
from app.pictures.charts import draw_histogram, format_number
from app.pictures.shapes import Drawing
from app.tensors.codecs.json_writing import dump
from app.worker.context import Worker
from app.worker.gradients import find_gradient
from app.worker.parameters import JSON, find_tensor, read_part

PIECE = 2**22  # elements looked at at once
HUGE = 1e150  # squares of more than this, or sums of the like, leave the doubles
SMALLER = 2.0**600
PICTURES = {svg.MEDIA_TYPE: svg.write_svg, png.MEDIA_TYPE: png.write_png}


def read_histogram(worker: Worker, task: ReadHistogram) -> Encoded:
    """Counts of the finite values between equally spaced edges, their mean, standard deviation (unbiased, as
    `tensor.std()`), minimum and maximum, and the shares of zeros and of non-finite values among all.

    Where a number has no meaning (the mean of no values, the deviation of one) it is null.

    Raises: NotFound for the name, Unprocessable for an index that does not fit and for complex numbers.
    """
    name, group, stored = find_tensor(worker, task.network, task.parameter)
    if task.of == "gradient":
        stored = find_gradient(worker, task.network, name, group)
    value = read_part(worker, stored, task.index)
    if value.is_complex():
        raise in_place("", f"{name!r} holds complex numbers, which have no order.", code="bad-dtype")
    counted = count_values(value, task.bins)
    revision = task.network.revision
    if task.accept in PICTURES:
        title = name if task.of == "value" else f"gradient of {name}"
        title += "" if task.index is None else f"[{task.index}]"
        drawing = _draw(title, list(value.shape), stored.dtype, revision, counted)
        return Encoded(task.accept, PICTURES[task.accept](drawing), revision)
    head = {"name": name, "of": task.of, "dtype": stored.dtype, "shape": list(value.shape)}
    return Encoded(JSON, dump(head | counted | {"revision": revision}), revision)


def _draw(title: str, shape: list[int], dtype: str, revision: int, counted: dict[str, Any]) -> Drawing:
    """The counts as bars, what they come to above them."""
    words = [f"{dtype} {shape}", f"revision {revision}"]
    words += [
        f"{key} {format_number(counted[key])}" for key in ("mean", "std", "min", "max") if counted[key] is not None
    ]
    words += [f"{counted[key]:.1%} {key.replace('_', '-')}" for key in ("zeros", "non_finite") if counted[key]]
    return draw_histogram(title, ", ".join(words), counted["counts"], counted["edges"])


def count_values(value: Tensor, bins: int) -> dict[str, Any]:
    """The histogram of a tensor's finite values, in doubles. `edges` are NumPy's: as wide as 1 where all are equal."""
    pieces = torch.split(value.reshape(-1), PIECE)
    total, zeros, count = value.numel(), 0, 0
    low, high = math.inf, -math.inf
    for piece in pieces:
        finite = _finite(piece)
        zeros += int((finite == 0).sum())
        count += finite.numel()
        if finite.numel():
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    shares = {
        "zeros": zeros / total if total else 0.0,
        "non_finite": (total - count) / total if total else 0.0,
    }
    if not count:
        nothing = {"mean": None, "std": None, "min": None, "max": None}
        return {"counts": [0] * bins, "edges": torch.linspace(0, 1, bins + 1).tolist(), **nothing, **shares}
    scale = SMALLER if max(abs(low), abs(high)) > HUGE else 1.0
    mean, deviation = _moments(pieces, count, scale)
    counts, edges = _spread(pieces, bins, low, high, scale)
    return {"counts": counts, "edges": edges, "mean": mean, "std": deviation, "min": low, "max": high, **shares}


def _moments(pieces: Sequence[Tensor], count: int, scale: float) -> tuple[float, float | None]:
    """Mean and standard deviation; None where one value has none, or where it is beyond floats."""
    mean = math.fsum(float((_finite(piece) / scale).sum()) for piece in pieces) / count
    if count == 1:
        return mean * scale, None
    squares = math.fsum(float((_finite(piece) / scale - mean).square().sum()) for piece in pieces)
    deviation = math.sqrt(squares / (count - 1)) * scale
    return mean * scale, deviation if math.isfinite(deviation) else None


def _spread(
    pieces: Sequence[Tensor], bins: int, low: float, high: float, scale: float
) -> tuple[list[int], list[float]]:
    first, last = (low / scale, high / scale) if low < high else (low / scale - 0.5, high / scale + 0.5)
    counts = torch.zeros(bins, dtype=torch.float64)
    for piece in pieces:
        counts += torch.histogram(_finite(piece) / scale, bins=bins, range=(first, last)).hist
    edges = torch.linspace(first, last, bins + 1, dtype=torch.float64) * scale
    return counts.long().tolist(), edges.tolist()


def _finite(piece: Tensor) -> Tensor:
    wide = piece.double()
    return wide[wide.isfinite()]
