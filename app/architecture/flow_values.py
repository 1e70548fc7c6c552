"""What a data flow knows of values, and small questions about syntax that it asks. No PyTorch is run.

Called by `flow_expressions.py` and `dataflow.py`.
"""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from app.architecture.own import OwnBlock, written_of
from app.language.trees import is_outer, root
from app.pictures.shapes import cut

Called = tuple[str, nn.Module]  # a module, and its path from the block whose forward calls it
Place = tuple[int, int, int, int]  # line and column, and those of the end
LETTERS = 32  # of a text of the forward that stands in the diagram


@dataclass(frozen=True)
class Value:
    """What is known of a value: the nodes it comes from, the modules it may be, and its parts if it is a tuple."""

    sources: tuple[str, ...] = ()
    modules: tuple[Called, ...] = ()
    parts: "tuple[Value, ...] | None" = None


NOTHING = Value()


def merged(values: Sequence[Value]) -> Value:
    """A value that may be any of these, or is made of them."""
    sources = dict.fromkeys(source for value in values for source in sources_of(value))
    modules = {path: (path, module) for value in values for path, module in value.modules}
    return Value(tuple(sources), tuple(modules.values()))


def sources_of(value: Value) -> tuple[str, ...]:
    """The nodes that a value and its parts come from, each once."""
    inner = [source for part in value.parts or () for source in sources_of(part)]
    return tuple(dict.fromkeys([*value.sources, *inner]))


def replaced(value: Value, nodes: Mapping[str, tuple[str, ...]]) -> Value:
    """The value with other nodes in place of some."""
    sources = tuple(dict.fromkeys(new for old in value.sources for new in nodes.get(old, (old,))))
    parts = None if value.parts is None else tuple(replaced(part, nodes) for part in value.parts)
    return Value(sources, value.modules, parts)


def children_of(module: nn.Module, path: str) -> tuple[Called, ...]:
    """The children of the module at `path` in order, one that stands twice twice."""
    prefix = f"{path}." if path else ""
    return tuple((prefix + name, child) for name, child in module._modules.items() if child is not None)  # noqa: SLF001 - children() drops repeats


def picked(called: Called, index: object) -> tuple[Called, ...]:
    """The child of a module that an index leads to; all of them where it is not known."""
    path, module = called
    children = children_of(module, path)
    if isinstance(index, int) and not isinstance(index, bool) and -len(children) <= index < len(children):
        return (children[index],)
    if isinstance(index, str):
        prefix = f"{path}." if path else ""
        return tuple(child for child in children if child[0] == prefix + index)
    return children


def constant_of(node: ast.expr) -> object:
    """The constant that an index is, a negative number too; None for anything else."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        return -node.operand.value if isinstance(node.operand.value, int) else None
    return node.value if isinstance(node, ast.Constant) else None


def is_library(function: ast.expr) -> bool:
    """Tells a function of PyTorch or Python from a method or a child."""
    return is_outer(root(function))


def is_spread(name: str, module: nn.Module) -> bool:
    """Tells whether `self.name` means all children."""
    return isinstance(module, OwnBlock) and name == written_of(module).spread


def shown(node: ast.expr, *, inner: bool = False) -> str:
    """A text of the forward as its author wrote it, short; `inner`: beside an operator."""
    parts = node.elts if isinstance(node, ast.Tuple) and not inner else [node]
    text = ", ".join(map(ast.unparse, parts)).replace("self._modules.values()", "children()").replace("self.", "")
    return cut(f"({text})" if inner and isinstance(node, ast.BinOp | ast.IfExp | ast.BoolOp) else text, LETTERS)


def place_of(node: ast.expr) -> Place:
    """Where an expression stands in its text."""
    return node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0


def read_in(statements: Sequence[ast.stmt]) -> frozenset[str]:
    """Names that statements read."""
    nodes = (node for statement in statements for node in ast.walk(statement))
    return frozenset(node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load))


def assigned_in(statements: Sequence[ast.stmt]) -> tuple[str, ...]:
    """Names that statements assign to or append to, in order."""
    found: dict[str, None] = {}
    for statement in statements:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found[node.id] = None
            elif isinstance(node, ast.Attribute) and node.attr == "append" and isinstance(node.value, ast.Name):
                found[node.value.id] = None
    return tuple(found)


def flowing_in(statements: Sequence[ast.stmt], known: Sequence[str]) -> frozenset[str]:
    """Names that statements may assign more than plain numbers to: results of calls, and what is made of these."""
    flowing = set(known)
    pairs = [
        (set(assigned_in([node])), node.value)
        for statement in statements
        for node in ast.walk(statement)
        if isinstance(node, ast.Assign)
    ]
    before = -1
    while before < len(flowing):
        before = len(flowing)
        for names, value in pairs:
            if any(
                isinstance(part, ast.Call) or (isinstance(part, ast.Name) and part.id in flowing)
                for part in ast.walk(value)
            ):
                flowing |= names
    return frozenset(flowing)
