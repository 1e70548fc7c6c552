"""From a plan to modules, on one device: `meta` for sizes alone, the CPU for first values.

Draws in PyTorch's order: what is written first is drawn first, and arguments before what takes them. The default
generator gives the numbers; on `meta` nothing is drawn. Called by `build.py` and, to measure, by `planner.py`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import nn

from app.architecture.first_values import FirstValues
from app.architecture.native import watch
from app.architecture.paths import assign, lookup
from app.architecture.plan import (
    BlockPlan,
    Child,
    ContainerPlan,
    FirstValue,
    LayerPlan,
    Plan,
    ScopePlan,
    Slot,
    SlotPlan,
)
from app.architecture.spec import Tie
from app.errors import LabError, Unprocessable, in_place
from app.language.running import running
from app.settings import Limits

CONSTRUCTION = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)


class Frame:
    """The slots of one scope while it is made."""

    __slots__ = ("filled", "open", "parent")

    def __init__(self, parent: "Frame | None", slots: tuple[Slot, ...]) -> None:
        self.parent = parent
        self.open = set(slots)
        self.filled: dict[Slot, nn.Module] = {}


def make(plan: Plan, device: str, limits: Limits, pointer: str) -> nn.Module:
    """Makes the module of `plan`, which stands at `pointer`; first values are float32. Raises Unprocessable."""
    with float32_default(), running(device=torch.device(device), dtype=torch.float32, limits=limits):
        holder = nn.Module()
        Maker(device, limits).children(holder, (Child("network", plan, pointer),), None)
        return holder.get_submodule("network")


@contextmanager
def float32_default() -> Iterator[None]:
    """First values are drawn in float32, whatever the process has set."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class Maker:
    """Makes modules on one device."""

    def __init__(self, device: str, limits: Limits) -> None:
        self.device = device
        self.meta = device == "meta"
        self.limits = limits
        self.checked: set[BlockPlan] = set()  # those whose forward was found to read what is there

    def make(self, plan: Plan, frame: Frame | None) -> nn.Module:
        if isinstance(plan, LayerPlan):
            return self.layer(plan, frame)
        if isinstance(plan, ContainerPlan):
            module = plan.kind()
            self.children(module, plan.children, frame)
            return module
        if isinstance(plan, BlockPlan):
            return self.block(plan, frame)
        if isinstance(plan, SlotPlan):
            return self.slot(plan.slot, frame)
        assert isinstance(plan, ScopePlan)
        return self.scope(plan, frame)

    def layer(self, plan: LayerPlan, frame: Frame | None) -> nn.Module:
        args, kwargs = plan.args, plan.kwargs
        if plan.nested:
            args = tuple(self.argument(value, frame) for value in args)
            kwargs = {name: self.argument(value, frame) for name, value in kwargs.items()}
        if not (self.meta and plan.layer.takes_device):
            return watch(plan.layer.module(*args, **kwargs))
        kind: Any = plan.layer.module
        module = _without_drawing(kind)(*args, **kwargs, device="meta")
        module.__class__ = plan.layer.module
        return watch(module)

    def argument(self, value: object, frame: Frame | None) -> object:
        if isinstance(value, Plan):
            return self.make(value, frame)
        if isinstance(value, torch.Tensor):
            return value.to(self.device, copy=True)
        return value

    def children(self, module: nn.Module, children: tuple[Child, ...], frame: Frame | None) -> None:
        for name, plan, pointer in children:
            try:
                module.add_module(name, self.make(plan, frame))
            except CONSTRUCTION as error:
                raise construction_problem(error, pointer) from error
            except LabError as error:
                if isinstance(plan, ScopePlan) and plan.named:
                    raise in_place(pointer, error.detail, code=error.code) from error
                raise

    def scope(self, plan: ScopePlan, frame: Frame | None) -> nn.Module:
        inner = Frame(frame, plan.shared)
        for slot in plan.given:
            inner.filled[slot] = self.make(slot.plan, frame)
        if plan.shared_first:
            self.fill(plan.shared, inner)
        module = self.make(plan.body, inner)
        self.fill(plan.shared, inner)
        return module

    def fill(self, slots: tuple[Slot, ...], frame: Frame | None) -> None:
        for slot in slots:
            self.slot(slot, frame)

    def slot(self, slot: Slot, frame: Frame | None) -> nn.Module:
        at = frame
        while at is not None:
            if slot in at.filled:
                return at.filled[slot]
            if slot in at.open:
                at.filled[slot] = self.make(slot.plan, at)
                return at.filled[slot]
            at = at.parent
        return self.make(slot.plan, frame)  # measured by itself, outside its scope

    def block(self, plan: BlockPlan, frame: Frame | None) -> nn.Module:
        module = plan.kind()
        first = FirstValues(plan.values, self.device, self.limits)
        for section in plan.sections:
            for part in section:
                if isinstance(part, FirstValue) and part.trained:
                    module.register_parameter(part.name, nn.Parameter(first.draw(part)))
                elif isinstance(part, FirstValue):
                    module.register_buffer(part.name, first.draw(part))
                elif isinstance(part, Slot):
                    self.slot(part, frame)
            children = tuple(part for part in section if isinstance(part, Child))
            self.children(module, children, frame)
        for tie in plan.ties:
            self.tie(module, tie)
        if plan.forward is not None and plan not in self.checked:
            plan.forward.check_reads(module)
            self.checked.add(plan)
        return module

    def tie(self, module: nn.Module, tie: Tie) -> None:
        left, right = lookup(module, tie.left, f"{tie.pointer}/0"), lookup(module, tie.right, f"{tie.pointer}/1")
        if _sort(left) != _sort(right):
            raise in_place(tie.pointer, f"{tie.left} is {_sort(left)} and {tie.right} {_sort(right)}", code="bad-tie")
        if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor) and left.shape != right.shape:
            shapes = f"{tie.left} has shape {list(left.shape)} and {tie.right} has {list(right.shape)}"
            raise in_place(tie.pointer, f"what is tied has one shape: {shapes}", code="bad-tie")
        assign(module, tie.left, right)


@cache
def _without_drawing(kind: Any) -> type[nn.Module]:
    """The class `kind`, save that nothing is drawn when one is made: most of the time on `meta` would go there."""
    drawing = {name: _draw_nothing for name in ("reset_parameters", "_reset_parameters") if hasattr(kind, name)}
    return type(kind.__name__, (kind,), drawing)


def _draw_nothing(_module: nn.Module) -> None:
    """Stands for `reset_parameters` on `meta`."""


def _sort(value: object) -> str:
    kinds = {nn.Parameter: "a parameter", torch.Tensor: "a buffer"}
    return next((words for kind, words in kinds.items() if isinstance(value, kind)), "a module")


def construction_problem(error: Exception, pointer: str) -> Unprocessable:
    """Says why PyTorch could not make a layer."""
    code, message = construction_words(error)
    return in_place(pointer, message, code=code)


def construction_words(error: Exception) -> tuple[str, str]:
    """Gives the code and the words for what a constructor of PyTorch raised."""
    text = str(error).split("\n")[0][:300]
    if isinstance(error, MemoryError) or any(
        word in text for word in ("overflow", "out of memory", "can't allocate", "too large")
    ):
        return "limit-exceeded", f"more memory than a network may take: {text}"
    return "bad-arguments", text or type(error).__name__
