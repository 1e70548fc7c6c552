"""The values of one parameter or buffer, counted. Called by the handlers."""

import math

import torch
from torch import Tensor

from app.errors import in_place
from app.messages import Encoded, ReadHistogram
from app.tensors.codecs.json_writing import dump
from app.worker.context import Worker
from app.worker.gradients import find_gradient
from app.worker.parameters import JSON, find_tensor, read_part

PIECE = 2**22  # elements looked at at once


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
    reply: dict[str, object] = {"name": name, "of": task.of, "dtype": stored.dtype, "shape": list(value.shape)}
    reply |= count_values(value, task.bins)
    reply["revision"] = task.network.revision
    return Encoded(JSON, dump(reply), task.network.revision)


def count_values(value: Tensor, bins: int) -> dict[str, object]:
    """The histogram of a tensor's finite values, in doubles. `edges` are NumPy's: as wide as 1 where all are equal."""
    pieces = torch.split(value.reshape(-1), PIECE)
    total, zeros, finite_count, summed = value.numel(), 0, 0, 0.0
    low, high = math.inf, -math.inf
    for piece in pieces:
        finite = _finite(piece)
        zeros += int((finite == 0).sum())
        finite_count += finite.numel()
        if finite.numel():
            summed += float(finite.sum())
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    mean = summed / finite_count if finite_count else None
    shares = {
        "zeros": zeros / total if total else 0.0,
        "non_finite": (total - finite_count) / total if total else 0.0,
    }
    if mean is None:
        nothing = {"mean": None, "std": None, "min": None, "max": None}
        return {"counts": [0] * bins, "edges": torch.linspace(0, 1, bins + 1).tolist(), **nothing, **shares}
    first, last = (low, high) if low < high else (low - 0.5, high + 0.5)
    counts = torch.zeros(bins, dtype=torch.float64)
    squares = 0.0
    for piece in pieces:
        finite = _finite(piece)
        counts += torch.histogram(finite, bins=bins, range=(first, last)).hist
        squares += float((finite - mean).square().sum())
    edges = torch.linspace(first, last, bins + 1, dtype=torch.float64).tolist()
    std = math.sqrt(squares / (finite_count - 1)) if finite_count > 1 else None
    numbers = {"mean": mean, "std": std, "min": low, "max": high}
    return {"counts": counts.long().tolist(), "edges": edges, **numbers, **shares}


def _finite(piece: Tensor) -> Tensor:
    wide = piece.double()
    return wide[wide.isfinite()]
