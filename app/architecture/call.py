"""Runs a network on given inputs: names in, names out, and every failure in words that help.

Leaves the caller's tensors as they were. Sets neither mode nor gradients nor a seed, and leaves buffers that PyTorch's
layers update to `untouched.py`; the worker, which calls this, does.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain

import torch
from torch import nn

from app.architecture.describe import find_module
from app.architecture.failures import describe_failure
from app.architecture.inputs import inputs_of, match_inputs
from app.architecture.outputs import name_outputs
from app.architecture.untouched import changes_of, guarded
from app.errors import LabError, NotFound, in_place
from app.language.running import running
from app.settings import Limits

__all__ = ["Called", "call", "inputs_of"]


@dataclass(frozen=True)
class Called:
    """Named outputs, and the captured values by the paths asked for.

    A child that gave several tensors is captured under `path.output_0`, `path.output_1_0` and so on; one that was
    called several times has what its last call gave, and one that was not called is left out.
    """

    outputs: dict[str, torch.Tensor]
    captured: dict[str, torch.Tensor] = field(default_factory=dict)


def call(
    net: nn.Module,
    inputs: torch.Tensor | Mapping[str, torch.Tensor],
    *,
    capture: Sequence[str] = (),
    limits: Limits,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> Called:
    """Calls `net` with one tensor, or with tensors by the names of its inputs.

    Tensors that the forward makes are of `device` and of the floating `dtype`; left out, of those of the network's
    first floating parameter or buffer, else of the inputs'. Every failure is a LabError: Unprocessable with the
    child that raised, the line of its forward, and a code of the contract (shape-mismatch, bad-arguments,
    limit-exceeded, bad-output, unknown-name).
    """
    args, kwargs = match_inputs(net, inputs)
    writes_in_place = bool(changes_of(net).in_place)
    if writes_in_place:
        args, kwargs = tuple(value.clone() for value in args), {name: value.clone() for name, value in kwargs.items()}
    if device is None or dtype is None:
        known = _place(net, chain(args, kwargs.values()))
        device, dtype = device or known[0], dtype or known[1]
    taken: dict[str, object] = {}
    try:
        with running(device=device, dtype=dtype, limits=limits):
            if writes_in_place or capture:
                with guarded(net), capturing(net, capture) as taken:
                    result = net(*args, **kwargs)
            else:
                result = net(*args, **kwargs)
    except LabError:
        raise
    except Exception as error:
        raise describe_failure(net, error, kwargs) from error
    outputs = name_outputs(result, device=device, dtype=dtype)
    captured: dict[str, torch.Tensor] = {}
    for path, value in taken.items():
        if isinstance(value, torch.Tensor):
            captured[path] = value
        else:
            captured |= name_outputs(_prefixed(path, value), device=device, dtype=dtype)
    return Called(outputs, captured)


def _prefixed(path: str, value: object) -> dict[str, object]:
    if isinstance(value, dict):
        return {f"{path}.{key}": part for key, part in value.items()}
    return {f"{path}.output": value}


def _place(net: nn.Module, given: Iterator[torch.Tensor]) -> tuple[torch.device, torch.dtype]:
    anchor = changes_of(net).anchor
    if anchor is not None and isinstance(found := getattr(*anchor), torch.Tensor):
        return found.device, found.dtype
    first: torch.Tensor | None = None
    for tensor in chain(net.parameters(), net.buffers(), given):
        first = tensor if first is None else first
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return torch.device("cpu") if first is None else first.device, torch.float32


@contextmanager
def capturing(net: nn.Module, paths: Sequence[str]) -> Iterator[dict[str, object]]:
    """Takes what the modules at `paths` give, while it lasts. Raises Unprocessable for an unknown path."""
    taken: dict[str, object] = {}
    handles = []
    try:
        for index, path in enumerate(paths):
            try:
                _, module = find_module(net, path)
            except NotFound as error:
                raise in_place(f"/capture/{index}", error.detail, code="unknown-name") from None
            handles.append(module.register_forward_hook(Capture(path, taken)))
        yield taken
    finally:
        for handle in handles:
            handle.remove()


class Capture:
    """A forward hook that keeps what its module gave, apart from later changes in place."""

    def __init__(self, path: str, taken: dict[str, object]) -> None:
        self.path = path
        self.taken = taken

    def __call__(self, _module: nn.Module, _args: tuple[object, ...], output: object) -> None:
        self.taken[self.path] = _copied(output)


def _copied(value: object) -> object:
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, tuple | list):
        return tuple(map(_copied, value))
    if isinstance(value, dict):
        return {key: _copied(part) for key, part in value.items()}
    return value
