"""Which shapes go through a network: a call of it on the `meta` device, watched at every child and every operation.

What a forward does at a place of its text is known by that place, so that a diagram finds it again. A call that stops
half-way leaves what was seen until then. Called by `diagram.py`.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from app.architecture.flow_values import Place
from app.language.failures import FILENAME
from app.tensors.torch_dtypes import dtype_name

MOST_SHOWN = 3  # shapes of one value, or of one place that saw several


@dataclass
class Observed:
    """Shapes in words: what modules took (by position or name) and gave, and what operations of a forward gave."""

    inputs: dict[tuple[int, int | str], list[str]] = field(default_factory=dict)
    outputs: dict[int, list[str]] = field(default_factory=dict)
    operations: dict[tuple[int, Place], list[str]] = field(default_factory=dict)

    def of_module(self, module: nn.Module) -> str:
        return " or ".join(self.outputs.get(id(module), []))

    def of_input(self, module: nn.Module, position: int, name: str) -> str:
        found = self.inputs.get((id(module), name)) or self.inputs.get((id(module), position), [])
        return " or ".join(found)

    def of_operation(self, owner: nn.Module, place: Place) -> str:
        return " or ".join(self.operations.get((id(owner), place), []))

    def note_inputs(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        for key, value in [*enumerate(args), *kwargs.items()]:
            _note(self.inputs, (id(module), key), value)

    def note_outputs(self, module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        _note(self.outputs, id(module), output)


@contextmanager
def observing(net: nn.Module) -> Iterator[Observed]:
    """Watches calls of `net` while it lasts."""
    observed = Observed()
    handles = [module.register_forward_pre_hook(observed.note_inputs, with_kwargs=True) for module in net.modules()]
    handles += [module.register_forward_hook(observed.note_outputs) for module in net.modules()]
    try:
        with _Operations(observed):
            yield observed
    finally:
        for handle in handles:
            handle.remove()


class _Operations(TorchFunctionMode):
    """Sees every function of PyTorch that is called; those in PyTorch's own layers are told by the layer's hook."""

    def __init__(self, observed: Observed) -> None:
        super().__init__()
        self.observed = observed
        self.positions: dict[CodeType, list[tuple[int | None, int | None, int | None, int | None]]] = {}

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        frame = sys._getframe(1)  # noqa: SLF001 - where the call stands is what is asked for
        found = self.place_in(frame)
        if found is not None:
            _note(self.observed.operations, found, result)
        return result

    def place_in(self, frame: FrameType | None) -> tuple[int, Place] | None:
        """The innermost place in a written forward that a call comes from."""
        while frame is not None and frame.f_code.co_filename != FILENAME:
            frame = frame.f_back
        if frame is None or "self" not in frame.f_locals:
            return None
        code = frame.f_code
        if code not in self.positions:
            self.positions[code] = list(code.co_positions())
        line, end_line, column, end_column = self.positions[code][frame.f_lasti // 2]
        if line is None or column is None:
            return None
        return id(frame.f_locals["self"]), (line, column, end_line or 0, end_column or 0)


def _note(seen: dict[Any, list[str]], key: Any, value: Any) -> None:
    words = _words(value)
    known = seen.setdefault(key, [])
    if words and words not in known and len(known) < MOST_SHOWN:
        known.append(words if len(known) < MOST_SHOWN - 1 else "…")


def _words(value: Any) -> str:
    """The shapes of a value: `[2, 20]`, with its dtype where that is not a floating one; of several, each."""
    if isinstance(value, Tensor):
        plain = value.is_floating_point()
        return str(list(value.shape)) + ("" if plain else f" {dtype_name(value.dtype)}")
    if isinstance(value, dict):
        value = tuple(value.values())
    if not isinstance(value, list | tuple) or isinstance(value, torch.Size):
        return ""
    parts = [words for words in map(_words, value[: MOST_SHOWN + 1]) if words]
    return ", ".join(parts[:MOST_SHOWN]) + (", …" if len(value) > MOST_SHOWN and parts else "")
