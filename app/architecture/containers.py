"""Plans containers: their entries, repeats expanded, children named.

Called by `planner.py`, whose planner it is handed for the blocks inside.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import nn

from app.architecture.arguments import is_block
from app.architecture.constructors import in_words
from app.architecture.layers import CONTAINERS
from app.architecture.names import child_name_problem
from app.architecture.plan import Child, ContainerPlan, Plan
from app.architecture.scopes import Scope, define
from app.architecture.spec import Block, Container, Hyperparameter, Repeat, Template, Text
from app.errors import in_place
from app.language.syntax import Expression
from app.settings import Limits


class ContainerPlanner(Protocol):
    """What this file needs of `planner.Planner`."""

    limits: Limits

    def block(self, block: Block, scope: Scope, name: str | None = None) -> Plan: ...
    def default(self, hyperparameter: Hyperparameter, scope: Scope) -> object: ...
    def evaluate(self, expression: Expression, scope: Scope, pointer: str) -> object: ...
    def step(self, pointer: str) -> None: ...
    def check_size(self, size: int, pointer: str) -> None: ...
    def check_bytes(self, memory: int, pointer: str) -> None: ...
    def total(self, parts: Sequence[Plan], pointer: str) -> tuple[int, int]: ...


class Named(NamedTuple):
    """A child and its name; None: it is named by its position."""

    name: str | None
    plan: Plan
    pointer: str


def plan_container(planner: ContainerPlanner, block: Container, scope: Scope, name: str | None) -> ContainerPlan:
    """Plans a Sequential, ModuleList or ModuleDict; as a named block it has a class of that name."""
    kind = CONTAINERS[block.type]
    children: dict[str, Child] = {}
    for entry in block.entries:
        for named in _entry(planner, entry.block, entry.label, scope):
            child = Child(str(len(children)) if named.name is None else named.name, named.plan, named.pointer)
            _check_name(child, named.name, kind)
            if child.name in children:
                raise in_place(child.pointer, f"two children would be named {child.name!r}", code="duplicate-name")
            children[child.name] = child
        planner.check_size(len(children), block.pointer)
    if name is not None:
        kind = type(name, (kind,), {})
    plans = [child.plan for child in children.values()]
    return ContainerPlan(*planner.total(plans, block.pointer), kind, tuple(children.values()))


def _check_name(child: Child, name: str | None, kind: type[nn.Module]) -> None:
    if name is None:
        return
    problem = child_name_problem(child.name, kind)
    if kind is nn.ModuleList and problem is None:
        problem = "the children of a ModuleList are named by position; leave names out, or use a ModuleDict"
    if problem is not None:
        raise in_place(child.pointer, problem, code="bad-name")


def _entry(planner: ContainerPlanner, block: Block | Repeat, label: str | None, scope: Scope) -> list[Named]:
    """Plans one entry of layers: one child, or those of a repeat (whose key is no name)."""
    if isinstance(block, Repeat):
        return _repeat(planner, block, scope)
    return [Named(label, planner.block(block, scope), block.pointer)]


def _repeat(planner: ContainerPlanner, block: Repeat, scope: Scope) -> list[Named]:
    inner = _inside(planner, block, scope)
    count = _count(planner, block, inner)
    found: list[Named] = []
    same: list[Named] | None = None
    size = memory = 0
    for index in range(count):
        planner.step(block.pointer)
        counted = Scope({**inner.values, "i": index}, inner.blocks, inner.shared)
        if same is None or block.varies:
            same = _entry(planner, block.block, None, counted)
            ahead = 1 if block.varies else count
            size += ahead * sum(part.plan.size for part in same)
            memory += ahead * sum(part.plan.bytes for part in same)
            planner.check_size(size, block.pointer)
            planner.check_bytes(memory, block.pointer)
        name = None if block.name is None else _name(planner, block.name, counted)
        found += [Named(part.name if name is None else name, part.plan, block.pointer) for part in same]
    return found


def _inside(planner: ContainerPlanner, block: Repeat, scope: Scope) -> Scope:
    """Gives the scope inside a repeat, with the names of its header."""
    if block.header.empty:
        return scope
    if block.header.shared:
        message = 'what is shared is named outside of the repeat, or inside its "block"'
        raise in_place(block.pointer + "/shared", message, code="unknown-key")
    values = dict(scope.values)
    inner = Scope(values, scope.blocks, scope.shared)
    for hyperparameter in block.header.hyperparameters:
        value = planner.default(hyperparameter, Scope(dict(values), scope.blocks, scope.shared))
        if is_block(value):
            message = 'a repeat has numbers and texts among its hyperparameters; blocks are named in "shared"'
            raise in_place(hyperparameter.pointer, message, code="bad-arguments")
        values[hyperparameter.name] = value
    define(block.header.blocks, inner)
    return inner


def _count(planner: ContainerPlanner, block: Repeat, scope: Scope) -> int:
    count: object = block.count
    pointer = block.pointer + "/repeat"
    if isinstance(count, Text):
        count = planner.evaluate(count.expression, scope, pointer)
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise in_place(pointer, f"repeat is a count, 0 or more; this gives {in_words(count)}", code="bad-arguments")
    if count > planner.limits.expansion:
        message = f"{count} repeats are more than the {planner.limits.expansion} that one network may have"
        raise in_place(pointer, message, code="limit-exceeded")
    return count


def _name(planner: ContainerPlanner, template: Template, scope: Scope) -> str:
    parts: list[str] = []
    for part in template.parts:
        if isinstance(part, str):
            parts.append(part)
            continue
        value = planner.evaluate(part, scope, template.pointer)
        if not isinstance(value, int | float | str):
            message = f"a name is made of numbers and texts, not of {in_words(value)}"
            raise in_place(template.pointer, message, code="bad-name")
        parts.append(str(value))
    return "".join(parts)
