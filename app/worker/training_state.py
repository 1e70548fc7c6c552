"""What a run goes on with besides the network: the state of optimizer, scheduler and generators, to bytes and back.

Nested values of any of PyTorch's optimizers and schedulers become plain ones for MessagePack, with a mark where a
tensor was; the tensors go to the store. Everything comes back bit for bit. Called by `training.py`.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
import torch
from torch import Tensor

from app.messages.training import Curve

Tensors = dict[str, Tensor]


class Best(msgspec.Struct):
    """The best number that early stopping has seen, and for how many looks none was better."""

    value: float
    step: int
    looks_since: int = 0


class Position(msgspec.Struct):
    """Where a run is: after `step` steps in all, `batch` of them in epoch number `epoch` (from 0)."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    epoch_loss: float = 0.0  # sum over the samples of this epoch so far
    epoch_samples: int = 0
    seconds: float = 0.0  # that the run took so far, on all its attempts
    last_loss: float | None = None  # the mean of the last epoch that ended
    validation: dict[str, float | None] | None = None
    best: Best | None = None


class Note(msgspec.Struct):
    """A checkpoint without its tensors."""

    position: Position
    curve: Curve
    optimizer: Any  # as `pack` gives it
    scheduler: Any


def pack(value: object, name: str, tensors: Tensors) -> Any:
    """A value that MessagePack can hold; its tensors are put into `tensors` under names that begin with `name`.

    Raises: TypeError for a value of a kind that no optimizer has.
    """
    if isinstance(value, Tensor):
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, Mapping):
        entries = [[key, pack(part, f"{name}.{key}", tensors)] for key, part in value.items()]
        return {"counter" if isinstance(value, Counter) else "map": entries}
    if isinstance(value, list | tuple):
        parts = [pack(part, f"{name}.{number}", tensors) for number, part in enumerate(value)]
        return {"tuple": parts} if isinstance(value, tuple) else parts
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{name} is a {type(value).__name__}, which cannot be kept")


def unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """What was packed."""
    if isinstance(value, list):
        return [unpack(part, tensors) for part in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "tuple":
        return tuple(unpack(part, tensors) for part in content)
    found = {key: unpack(part, tensors) for key, part in content}
    return Counter(found) if kind == "counter" else found


def generator_states(device: torch.device) -> Tensors:
    """The states of the generators that layers draw from."""
    states = {"generator.cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["generator.cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_generators(tensors: Mapping[str, Tensor], device: torch.device) -> None:
    """Puts generators where they were. One of a device that the run was not on goes on from the seed."""
    torch.set_rng_state(tensors["generator.cpu"].cpu())
    if device.type == "cuda" and "generator.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["generator.cuda"].cpu(), device)
