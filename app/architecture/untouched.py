"""What a call could change in a network, and how it is undone: buffers in mode `train`, and what works in place.

PyTorch's batch norms update their buffers in mode `train`, embeddings with `max_norm` their weights in any mode, and
layers with `inplace=True` whatever they are given. Called by `call.py` and the worker.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import TypeGuard
from weakref import WeakKeyDictionary

import torch
from torch import nn

from app.architecture.own import OwnBlock


@dataclass(frozen=True)
class Changes:
    """What calls of one network may change, and where its first floating tensor is (a module and a name)."""

    renormalised: tuple[nn.Module, ...]  # embeddings with max_norm
    updated: tuple[nn.Module, ...]  # modules whose buffers change in mode train
    in_place: tuple[nn.Module, ...]  # modules that write into what they are given
    anchor: tuple[nn.Module, str] | None


_NOTHING: AbstractContextManager[None] = nullcontext()
_KNOWN: "WeakKeyDictionary[nn.Module, Changes]" = WeakKeyDictionary()


def changes_of(net: nn.Module) -> Changes:
    """Finds what calls of `net` may change; remembered for each network."""
    found = _KNOWN.get(net)
    if found is None:
        modules = list(net.modules())
        found = Changes(
            tuple(module for module in modules if getattr(module, "max_norm", None) is not None),
            tuple(
                module
                for module in modules
                if not isinstance(module, OwnBlock) and any(True for _ in module.buffers(recurse=False))
            ),
            tuple(module for module in modules if getattr(module, "inplace", False) is True),
            next(_floating(modules), None),
        )
        _KNOWN[net] = found
    return found


def _floating(modules: Sequence[nn.Module]) -> Iterator[tuple[nn.Module, str]]:
    for module in modules:
        for name, tensor in chain(module.named_parameters(recurse=False), module.named_buffers(recurse=False)):
            if tensor.is_floating_point():
                yield module, name


def untouched(net: nn.Module) -> AbstractContextManager[None]:
    """Leaves parameters and buffers of `net` as they were: what batch norms and embeddings updated is put back."""
    changes = changes_of(net)
    return _put_back(changes) if changes.renormalised or changes.updated else _NOTHING


@contextmanager
def _put_back(changes: Changes) -> Iterator[None]:
    written = [module.weight for module in changes.renormalised if isinstance(module.weight, torch.Tensor)]
    for module in changes.updated:
        if module.training:
            written += module.buffers(recurse=False)
    kept = [(tensor, tensor.detach().clone()) for tensor in written]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, before in kept:
                tensor.data.copy_(before)


@contextmanager
def guarded(net: nn.Module) -> Iterator[None]:
    """Keeps layers that work in place from writing into the parameters and buffers of `net`."""
    modules = changes_of(net).in_place
    kept = {tensor.untyped_storage().data_ptr() for tensor in chain(net.parameters(), net.buffers())}
    guards = [module.register_forward_pre_hook(_Guard(kept), with_kwargs=True) for module in modules]
    try:
        yield
    finally:
        for guard in guards:
            guard.remove()


class _Guard:
    """Before a layer that works in place: hands it a copy of what is a parameter or a buffer."""

    def __init__(self, kept: set[int]) -> None:
        self.kept = kept

    def __call__(
        self, _module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> tuple[tuple[object, ...], dict[str, object]]:
        return tuple(map(self.apart, args)), {name: self.apart(value) for name, value in kwargs.items()}

    def apart(self, value: object) -> object:
        return value.clone() if self.holds(value) else value

    def holds(self, value: object) -> TypeGuard[torch.Tensor]:
        return isinstance(value, torch.Tensor) and value.untyped_storage().data_ptr() in self.kept
