"""Plans layers of PyTorch: arguments checked, sizes measured on the `meta` device, each kind of use once.

Called by `planner.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain

import torch
from torch import nn

from app.architecture.arguments import is_block
from app.architecture.binding import frozen
from app.architecture.constructors import STACKED, BadArguments, bind, in_words
from app.architecture.layers import Layer
from app.architecture.make import CONSTRUCTION, Maker, construction_words
from app.architecture.plan import LayerPlan, Plan, tensor_bytes
from app.settings import Limits


class LayerPlanner:
    """Plans uses of layers for one network, remembering those already measured."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.known: dict[object, LayerPlan] = {}

    def plan(self, layer: Layer, args: Sequence[object], kwargs: Mapping[str, object]) -> LayerPlan:
        """Plans one use. Raises BadArguments."""
        key = (layer.name, frozen(tuple(args)), frozen(kwargs))
        if key not in self.known:
            use = _Use(key, layer, tuple(args), kwargs)
            whole = any(isinstance(value, Plan | torch.Tensor) for value in chain(args, kwargs.values()))
            self.known[key] = _measure(use, self.limits) if whole else _measure_once(use, self.limits)
        return self.known[key]

    def blocks_of(self, layer: Layer, args: Sequence[object], kwargs: Mapping[str, object]) -> list[Plan]:
        """Reads the blocks in a call of a container: `Sequential(a, b)` or `ModuleList([a, b])`."""
        if layer.module is nn.ModuleDict and (args or kwargs):
            raise BadArguments(f"a ModuleDict is written {layer.signature.removeprefix('ModuleDict, as ')}")
        if kwargs:
            raise BadArguments(f"{layer.name} takes blocks by position", next(iter(kwargs)))
        blocks: Sequence[object] = args
        if layer.module is nn.ModuleList and len(args) == 1 and isinstance(args[0], tuple):
            blocks = args[0]
        elif layer.module is nn.ModuleList and args:
            raise BadArguments("ModuleList takes one list of blocks: ModuleList([Linear(2, 2), ReLU()])")
        plans: list[Plan] = []
        for position, block in enumerate(blocks):
            if not is_block(block):
                raise BadArguments(f"{layer.name} takes blocks, not {in_words(block)}", position)
            assert isinstance(block, Plan)
            plans.append(block)
        return plans


@dataclass(frozen=True)
class _Use:
    """One use of a layer; `key` alone tells two apart (1, 1.0 and True are equal to Python)."""

    key: object
    layer: Layer = field(compare=False)
    args: tuple[object, ...] = field(compare=False)
    kwargs: Mapping[str, object] = field(compare=False)


def _measure(use: "_Use", limits: Limits) -> LayerPlan:
    """Makes the layer on `meta` and counts its modules and bytes. Raises BadArguments."""
    layer = use.layer
    args, kwargs = bind(layer, use.args, use.kwargs, limits)
    given = [value for value in chain(args, kwargs.values()) if isinstance(value, Plan)]
    made_first = any(isinstance(value, Plan | torch.Tensor) for value in chain(args, kwargs.values()))
    if layer.takes_any and given:
        raise BadArguments(f"{layer.name} ignores what it is given; leave the block out")
    _check_stack(use, given, limits)
    plan = LayerPlan(1, 0, layer, args, kwargs, made_first)
    try:
        module = Maker("meta", limits).make(plan, None)
    except CONSTRUCTION as error:
        code, message = construction_words(error)
        raise BadArguments(f"{layer.name}: {message}", None, code) from None
    size = sum(1 for _ in module.modules()) + sum(part.size for part in given)
    memory = sum(map(tensor_bytes, chain(module.parameters(), module.buffers())))
    memory += sum(part.bytes for part in given)
    if size > limits.layers:
        raise BadArguments(f"{layer.name} would make {size} modules", None, "limit-exceeded")
    if memory > limits.parameter_bytes:
        message = f"{layer.name} would take {memory:,} bytes; at most {limits.parameter_bytes:,} are allowed"
        raise BadArguments(message, None, "limit-exceeded")
    return LayerPlan(size, memory, layer, args, kwargs, made_first)


def _check_stack(use: "_Use", given: Sequence[Plan], limits: Limits) -> None:
    """Refuses a stack of too many copies before one is made."""
    layer, args, kwargs = use.layer, use.args, use.kwargs
    named = {**dict(zip((one.name for one in layer.parameters), args, strict=False)), **kwargs}
    copies = sum(value for name, value in named.items() if name in STACKED and isinstance(value, int))
    if copies * max((part.size for part in given), default=0) > limits.layers:
        message = f"{layer.name} would make more than {limits.layers} modules"
        raise BadArguments(message, None, "limit-exceeded")
    if copies * max((part.bytes for part in given), default=0) > limits.parameter_bytes:
        message = f"{layer.name} would take more than {limits.parameter_bytes:,} bytes"
        raise BadArguments(message, None, "limit-exceeded")


_measure_once = lru_cache(maxsize=8192)(_measure)  # shared by networks; small, since it holds no tensors
