"""The pieces that `emit.py` builds its two trees of: pairs, names, calls, places. Knows no rules of the language."""

import ast
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Pair:
    """One expression twice. `kind` is what it surely is: module, number (a plain one), list, value (no child), or
    unknown."""

    shown: ast.expr
    run: ast.expr
    kind: str = "unknown"


class Names(Protocol):
    """How a scope answers for bare names; None where it has no such name."""

    def read(self, name: str) -> Pair | None: ...
    def call(self, name: str) -> Pair | None: ...
    def of_self(self, name: str) -> Pair | None: ...
    def known(self) -> set[str]: ...


class Outer(ast.Load):
    """Where a printed name stands for something of Python or PyTorch, not for anything of the user's."""


class Bare(Outer):
    """Where a function was called by its name alone: `max(a, b)` may be Python's, `torch.max(a, b)` is PyTorch's."""


def name(identifier: str) -> ast.Name:
    return ast.Name(identifier, ast.Load())


def outer(identifier: str) -> ast.Name:
    """A printed name that no user's name may hide: `torch`, `F`, `len`."""
    return ast.Name(identifier, Outer())


def root(node: ast.expr) -> ast.expr:
    """What stands before the first dot."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node


def is_outer(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, Outer)


def call(function: ast.expr, *args: ast.expr) -> ast.Call:
    return ast.Call(function, list(args), [])


def runtime(function: str, *args: ast.expr) -> ast.Call:
    """A call of one of our own functions, by the name that `compile.py` binds it to."""
    return call(name("@" + function), *args)


def attribute(value: ast.expr, attr: str) -> ast.Attribute:
    return ast.Attribute(value, attr, ast.Load())


def path(text: str, *, bare: bool = False) -> ast.expr:
    """The tree of a dotted name of PyTorch or Python, `torch.linalg.norm`; or of what `self` has."""
    first, *rest = text.split(".")
    tree: ast.expr = name(first) if first == "self" else ast.Name(first, Bare() if bare else Outer())
    for part in rest:
        tree = attribute(tree, part)
    return tree


def index_tree(node: ast.expr) -> ast.expr:
    """An index as an argument: a slice is not an expression of its own, so it becomes a call of slice."""
    if isinstance(node, ast.Slice):
        return runtime("slice", *(part or ast.Constant(None) for part in (node.lower, node.upper, node.step)))
    if isinstance(node, ast.Tuple):
        return ast.Tuple([index_tree(element) for element in node.elts], ast.Load())
    return node


def placed(tree: ast.expr, node: ast.AST) -> ast.expr:
    """Gives every new node in `tree` the place of the text it came from."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        child = waiting.pop()
        if hasattr(child, "lineno"):
            continue
        if isinstance(child, ast.expr | ast.keyword):
            ast.copy_location(child, node)
        waiting.extend(ast.iter_child_nodes(child))
    return tree
