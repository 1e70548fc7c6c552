"""Plans a block of one's own: its members in the order they are written, and its forward compiled to a class.

Called by `planner.py`, whose planner it is handed for the blocks inside.
"""

from typing import Protocol

import torch

from app.architecture.constructors import in_words
from app.architecture.first_values import FirstValues
from app.architecture.forwards import compile_own
from app.architecture.own import Written, make_class
from app.architecture.plan import BlockPlan, Child, FirstValue, Plan, Section, Slot, tensor_bytes
from app.architecture.scopes import Scope
from app.architecture.spec import Block, Own, TensorLiteral, Text
from app.errors import in_place
from app.language.running import running
from app.language.syntax import Expression
from app.settings import Limits


class BlockPlanner(Protocol):
    """What this file needs of `planner.Planner`."""

    limits: Limits

    def block(self, block: Block, scope: Scope, name: str | None = None) -> Plan: ...
    def evaluate(self, expression: Expression, scope: Scope, pointer: str) -> object: ...
    def check_size(self, size: int, pointer: str) -> None: ...
    def check_bytes(self, memory: int, pointer: str) -> None: ...


def plan_own(planner: BlockPlanner, block: Own, scope: Scope, name: str) -> BlockPlan:
    """Plans `block`; its class is called `name`. Raises Unprocessable."""
    children, spread = _children(planner, block, scope)
    values = {key: value for key, value in scope.values.items() if _is_plain(value)}
    sections: list[Section] = []
    first = FirstValues(values, "meta", planner.limits)
    size, memory = 1 + sum(child.plan.size for child in children), sum(child.plan.bytes for child in children)
    for section in block.header.sections or ("children", "parameters", "constants"):
        if section == "children":
            sections.append(children)
        elif section == "shared":
            sections.append(tuple(slot for slot in map(scope.shared.get, block.header.shared) if slot is not None))
        elif section in ("parameters", "constants"):
            written = block.parameters if section == "parameters" else block.constants
            drawn = tuple(
                FirstValue(
                    key,
                    value if isinstance(value, TensorLiteral) else value.expression,
                    section == "parameters",
                    value.pointer,
                )
                for key, value in written.items()
            )
            sections.append(drawn)
            memory += sum(_measure(first, value) for value in drawn)
    planner.check_size(size, block.pointer)
    planner.check_bytes(memory, block.pointer)
    members = frozenset(child.name for child in children)
    forward = compile_own(block, members, spread, values, planner.limits)  # refuses what reads a tensor
    made_of = Written(block.inputs, None, {}, spread)
    if forward is not None:
        made_of = Written(block.inputs, forward.forward, forward.hyperparameters, spread)
    kind = make_class(name, made_of)
    return BlockPlan(size, memory, kind, tuple(sections), block.ties, values, block.pointer, forward)


def _children(planner: BlockPlanner, block: Own, scope: Scope) -> tuple[tuple[Child, ...], str | None]:
    """Plans the children, and names the hyperparameter that holds them all, if one does."""
    if not isinstance(block.children, Text):
        children = tuple(
            Child(name, planner.block(child, scope), child.pointer) for name, child in block.children.items()
        )
        return children, None
    pointer = block.children.pointer
    value = planner.evaluate(block.children.expression, scope, pointer)
    plans = value if isinstance(value, tuple) else (value,)
    for index, plan in enumerate(plans):
        if not isinstance(plan, Plan):
            raise in_place(pointer, _not_a_child(plan, index), code="bad-arguments")
    text = block.children.expression.text.strip()
    return (
        tuple(Child(str(index), plan, pointer) for index, plan in enumerate(plans)),
        text if text in scope.values else None,
    )


def _not_a_child(value: object, index: int) -> str:
    message = f"children are blocks; child {index} is"
    if isinstance(value, tuple) and any(isinstance(item, Plan | Slot) for item in value):
        return f'{message} a list of blocks; write {{"type": "Sequential", "layers": [...]}} where one block is meant'
    return f"{message} {in_words(value)}"


def _is_plain(value: object) -> bool:
    """Tells whether a hyperparameter may be read in forward and first values: not a block."""
    if isinstance(value, tuple):
        return all(_is_plain(item) for item in value)
    return not isinstance(value, Plan | Slot)


def _measure(first: FirstValues, value: FirstValue) -> int:
    with running(device="meta", dtype=torch.float32, limits=first.limits):
        return tensor_bytes(first.draw(value))
