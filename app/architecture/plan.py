"""What to make, module by module, with every size known: the outcome of planning, before any memory is taken.

A plan is a graph of immutable nodes that may be made many times; equal parts of a network share one node. Whatever
must be one module in several places (a block given as an argument, an entry of `shared`) is a `Slot`, filled once
where its scope is made. Made by `planner.py`; turned into modules by `make.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import torch
from torch import nn

from app.architecture.forwards import OwnForward
from app.architecture.layers import Layer
from app.architecture.spec import TensorLiteral, Tie
from app.language.syntax import Expression


@dataclass(frozen=True, eq=False)
class Plan:
    """Something that becomes one module.

    `size` counts the paths to modules in it, a module with two names twice (what walks names takes so long);
    `bytes` those of the parameters and buffers it makes.
    """

    is_block: ClassVar[bool] = True
    size: int
    bytes: int


class Child(NamedTuple):
    name: str
    plan: Plan
    pointer: str


@dataclass(frozen=True, eq=False)
class LayerPlan(Plan):
    """A layer of PyTorch. `nested`: some argument is a plan, made before the layer, or a tensor, copied for it."""

    layer: Layer
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    nested: bool


@dataclass(frozen=True, eq=False)
class ContainerPlan(Plan):
    kind: type[nn.Module]
    children: tuple[Child, ...]


@dataclass(frozen=True, eq=False)
class Slot:
    """One module used in several places of its scope."""

    name: str
    plan: Plan


@dataclass(frozen=True, eq=False)
class SlotPlan(Plan):
    """The module in a slot, again."""

    slot: Slot


@dataclass(frozen=True, eq=False)
class ScopePlan(Plan):
    """`given` slots are filled first (arguments are made before what takes them), `shared` ones where they are
    first used, or at their place: before `body`, or after it."""

    given: tuple[Slot, ...]
    shared: tuple[Slot, ...]
    shared_first: bool
    body: Plan
    named: bool = False  # a named block: what goes wrong inside is told where the block is used


@dataclass(frozen=True, eq=False)
class FirstValue:
    name: str
    source: Expression | TensorLiteral
    trained: bool  # a parameter, else a constant
    pointer: str


Section = tuple[Child, ...] | tuple[FirstValue, ...] | tuple[Slot, ...]


@dataclass(frozen=True, eq=False)
class BlockPlan(Plan):
    """A block of one's own: its sections in the order they are drawn."""

    kind: type[nn.Module]
    sections: Sequence[Section]
    ties: tuple[Tie, ...]
    values: Mapping[str, object] = field(default_factory=dict)  # hyperparameters, for first values
    pointer: str = ""
    forward: OwnForward | None = None


def tensor_bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()
