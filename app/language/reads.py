"""What a forward is sure to read of its children, such as `linear.weight`, so that a slip shows before it runs.

Works on the tree that is printed. Sure is what runs whenever the forward does: branches of an `if`, bodies of loops,
and all that follows a `return` inside them show when they run, since a block may be written for children of several
kinds. Called by `app.architecture` on modules as they are made.
"""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from app.language.errors import LanguageError
from app.language.expressions import place
from app.language.members import child_at, item, member

Step = tuple[Literal["member", "item"], str | int]


@dataclass(frozen=True)
class Read:
    """`self.tower[0].weight` as steps from the block, and its 1-based place. `called`: what it leads to is called."""

    steps: tuple[Step, ...]
    called: bool
    line: int
    column: int


def sure_reads(body: Sequence[ast.stmt]) -> list[Read]:
    """The reads of a printed forward, from a child onwards, that run whenever it does."""
    found: list[Read] = []
    for statement in body:
        for expression in _sure_expressions(statement):
            found += _reads(expression)
        if any(isinstance(node, ast.Return) for node in ast.walk(statement)):
            break
    return found


def follow(module: nn.Module, read: Read) -> None:
    """Follows `read` through a block's module. Raises LanguageError, with its place, where it leads nowhere."""
    value: object = module
    try:
        for number, (kind, step) in enumerate(read.steps):
            if value is module:
                value = child_at(module, step) if isinstance(step, int) else _own(module, step)
            elif isinstance(value, nn.Module):
                value = member(value, str(step)) if kind == "member" else item(value, step)
            else:
                last = number == len(read.steps) - 1
                if isinstance(value, Tensor) and kind == "member" and not (last and read.called):
                    member(value, str(step))
                return  # what else is asked of a tensor shows when it runs
    except LanguageError as error:
        raise LanguageError(error.message, code=error.code, line=read.line, column=read.column) from None


def _own(module: nn.Module, name: str) -> object:
    """A member of the block itself; None for what is no member, a hyperparameter."""
    return next((kept[name] for kept in (module._modules, module._parameters, module._buffers) if name in kept), None)  # noqa: SLF001  # the module's own registers


def _sure_expressions(statement: ast.stmt) -> Iterator[ast.expr]:
    if isinstance(statement, ast.Assign | ast.Expr | ast.Return) and statement.value is not None:
        yield statement.value
    elif isinstance(statement, ast.If | ast.While):
        yield statement.test
    elif isinstance(statement, ast.For):
        yield statement.iter


def _reads(node: ast.AST, *, called: bool = False) -> Iterator[Read]:
    steps = _steps(node)
    if steps is not None:
        if len(steps) > 1:
            yield Read(steps, called, *place(node))
    elif isinstance(node, ast.Call):
        yield from _reads(node.func, called=True)
        for argument in (*node.args, *node.keywords):
            yield from _reads(argument)
    else:
        for part in _sure_parts(node):
            yield from _reads(part)


def _sure_parts(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of an expression that are always worked out."""
    if isinstance(node, ast.BoolOp):
        yield node.values[0]
    elif isinstance(node, ast.IfExp):
        yield node.test
    elif isinstance(node, ast.Compare):
        yield from (node.left, node.comparators[0])
    else:
        yield from ast.iter_child_nodes(node)


def _steps(node: ast.AST) -> tuple[Step, ...] | None:
    """The steps of a path that begins at `self`; None for anything else."""
    if isinstance(node, ast.Attribute):
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            return (("member", node.attr),)
        before = _steps(node.value)
        return None if before is None else (*before, ("member", node.attr))
    if isinstance(node, ast.Subscript):
        index = _constant(node.slice)
        before = () if ast.unparse(node.value) == "list(self._modules.values())" else _steps(node.value)
        return None if before is None or index is None else (*before, ("item", index))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
        name = _constant(node.args[1])
        return (("member", name),) if isinstance(name, str) else None
    return None


def _constant(node: ast.expr) -> str | int | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _constant(node.operand)
        return -value if isinstance(value, int) else None
    return node.value if isinstance(node, ast.Constant) and type(node.value) in (str, int) else None  # type: ignore[return-value]  # as the types say
