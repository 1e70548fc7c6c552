"""What the expressions of a printed forward surely are: a tensor, a number, a shape; or unknown, and then anything.

Called by `printed.py`, which writes Python's own functions for numbers and PyTorch's for tensors.
"""

import ast
from collections.abc import Iterator
from typing import Literal

from app.language.functions import METHODS
from app.language.scope import Scope
from app.language.trees import is_outer, root
from app.language.words import NUMBER_FUNCTIONS

Kind = Literal["tensor", "number", "shape", "unknown"]

NUMBER_METHODS = frozenset({"dim", "element_size", "item", "ndimension", "nelement", "numel", "stride", "size"})
SAME_KIND = frozenset({"T", "mT", "data"})


class Kinds:
    """The kinds of the locals of one forward, found by looking at all that is assigned to each."""

    def __init__(self, function: ast.FunctionDef, scope: Scope, numbers: frozenset[str]) -> None:
        self.scope = scope
        self.numbers = numbers  # hyperparameters that are plain numbers
        self.known: dict[str, Kind] = {given.name: "unknown" for given in scope.inputs}
        bound = [pair for statement in ast.walk(function) for pair in _bound(statement)]
        before: dict[str, Kind] | None = None
        while before != self.known:
            before = dict(self.known)
            found: dict[str, Kind] = {}
            for target, value, walked in bound:
                self._bind(target, value, walked, found)
            for name, kind in found.items():
                self.known[name] = kind if self.known.get(name, kind) == kind else "unknown"

    def of(self, node: ast.expr) -> Kind:
        """What `node` surely is."""
        if isinstance(node, ast.Constant):
            return "number" if isinstance(node.value, int | float) else "unknown"
        if isinstance(node, ast.Name):
            return "unknown" if is_outer(node) else self.known.get(node.id, "unknown")
        if isinstance(node, ast.Attribute):
            return self._attribute(node)
        if isinstance(node, ast.Subscript):
            kind = self.of(node.value)
            return "number" if kind == "shape" and not isinstance(node.slice, ast.Slice) else kind
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.BinOp):
            return _joined(self.of(node.left), self.of(node.right))
        if isinstance(node, ast.UnaryOp):
            return self.of(node.operand) if not isinstance(node.op, ast.Not) else "unknown"
        if isinstance(node, ast.IfExp):
            body, orelse = self.of(node.body), self.of(node.orelse)
            return body if body == orelse else "unknown"
        return "unknown"

    def _attribute(self, node: ast.Attribute) -> Kind:
        if is_outer(root(node)):
            return "number"  # torch.pi, torch.inf
        if node.attr == "shape":
            return "shape"
        if node.attr == "ndim":
            return "number"
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            if node.attr in self.scope.parameters | self.scope.constants:
                return "tensor"
            return "number" if node.attr in self.numbers else "unknown"
        return self.of(node.value) if node.attr in SAME_KIND else "unknown"

    def _call(self, node: ast.Call) -> Kind:
        function = node.func
        name = ast.unparse(function).rpartition(".")[2]
        if is_outer(root(function)):
            if name in ("len", "int", "float"):
                return "number"
            if name == "getattr":
                return "unknown"
            if name in NUMBER_FUNCTIONS:
                return self.of(node.args[0]) if node.args and name not in ("min", "max", "sum") else "unknown"
            return "tensor" if isinstance(function, ast.Attribute) else "unknown"
        if not isinstance(function, ast.Attribute):
            return "unknown"
        if name in NUMBER_METHODS:
            return "shape" if name in ("size", "stride") and not node.args and not node.keywords else "number"
        return "tensor" if name in METHODS and not _of_self(function) else "unknown"

    def _bind(self, target: ast.expr, value: ast.expr, walked: bool, found: dict[str, Kind]) -> None:
        if isinstance(target, ast.Name):
            kind = self._round(value) if walked else self.of(value)
            found[target.id] = kind if found.get(target.id, kind) == kind else "unknown"
        elif isinstance(target, ast.Tuple | ast.List):
            for position, element in enumerate(target.elts):
                part = _part(value, position, len(target.elts), walked)
                self._bind(element, *(part or (ast.Subscript(value, ast.Constant(0), ast.Load()), False)), found)

    def _round(self, value: ast.expr) -> Kind:
        """What one round of a walk over `value` gives."""
        if isinstance(value, ast.Call) and is_outer(value.func) and ast.unparse(value.func) == "range":
            return "number"
        return self.of(ast.Subscript(value, ast.Constant(0), ast.Load()))


def _bound(statement: ast.AST) -> Iterator[tuple[ast.expr, ast.expr, bool]]:
    if isinstance(statement, ast.Assign):
        yield statement.targets[0], statement.value, False
    elif isinstance(statement, ast.For):
        yield statement.target, statement.iter, True


def _part(value: ast.expr, position: int, count: int, walked: bool) -> tuple[ast.expr, bool] | None:
    """The expression that one of several targets is bound to; None where they are parts of one value."""
    if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == count and not walked:
        return value.elts[position], False
    if walked and isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and is_outer(value.func):
        if value.func.id == "enumerate" and value.args:
            return (ast.Constant(0), False) if position == 0 else (value.args[0], True)
        if value.func.id == "zip" and len(value.args) == count:
            return value.args[position], True
    return None


def _joined(left: Kind, right: Kind) -> Kind:
    if "tensor" in (left, right):
        return "tensor"
    return "number" if left == right == "number" else "unknown"


def _of_self(function: ast.Attribute) -> bool:
    return isinstance(function.value, ast.Name) and function.value.id == "self"
