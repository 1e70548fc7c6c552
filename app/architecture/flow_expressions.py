"""Where values go in the expressions of a forward: each call of a function or child and each operator is a node.

An abstract run over the printed tree: numbers and shapes are no flow, a name holds the nodes its value may come from.
`dataflow.py` adds statements; the `Painter` says what a call of a child looks like.
"""

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import nn

from app.architecture.flow_values import (
    NOTHING,
    Called,
    Place,
    Value,
    children_of,
    constant_of,
    is_library,
    is_spread,
    merged,
    picked,
    place_of,
    shown,
    sources_of,
)
from app.architecture.own import OwnBlock
from app.language.trees import is_outer
from app.pictures.graph import Edge, Graph, Kind, Node

NO_FLOW = frozenset({"shape", "ndim", "dtype", "device", "training"})
NUMBERS = frozenset({"size", "dim", "numel", "len", "range"})  # calls whose results are no flow
PASSED_ON = frozenset({"data", "values", "indices", "int", "float", "item"})
SIGNS: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.MatMult: "@",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.USub: "-",
    ast.Invert: "~",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}


class Painter(Protocol):
    """What a flow asks of who draws the network."""

    def new_id(self) -> str: ...
    def call(self, called: Sequence[Called]) -> Node: ...
    def tensor(self, name: str, module: nn.Module, key: str) -> Node: ...
    def made(self, node: str, owner: nn.Module, place: Place) -> None: ...
    def label(self, node: str) -> str: ...


@dataclass
class Expressions:
    """The graph of one body as it grows, and the names in it."""

    module: OwnBlock
    painter: Painter
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    names: dict[str, Value] = field(default_factory=dict)
    tensors: dict[str, str] = field(default_factory=dict)  # nodes of parameters and constants

    # --- nodes ---

    def add(self, kind: Kind, title: str, sources: Sequence[str] = ()) -> str:
        return self.put(Node(self.painter.new_id(), kind, (title,)), sources)

    def put(self, node: Node, sources: Sequence[str]) -> str:
        self.nodes.append(node)
        self.edges += [Edge(source, node.id, self.painter.label(source)) for source in dict.fromkeys(sources)]
        return node.id

    def operation(self, label: str, sources: Sequence[str], node: ast.expr) -> Value:
        made = self.add("operation", label, sources)
        self.painter.made(made, self.module, place_of(node))
        return Value((made,))

    def graph(self) -> Graph:
        return Graph(tuple(self.nodes), tuple(self.edges))

    # --- names ---

    def find(self, name: str) -> Value | None:
        """The value of a local, None where there is none."""
        return self.names.get(name)

    def member(self, name: str, module: nn.Module, path: str) -> Value:
        """`self.name`, or that of a module reached from self."""
        key = f"{path}.{name}" if path else name
        child = module._modules.get(name)  # noqa: SLF001 - the names as PyTorch keeps them
        if child is not None:
            return Value(modules=((key, child),))
        if module._parameters.get(name) is not None or module._buffers.get(name) is not None:  # noqa: SLF001 - as above
            if key not in self.tensors:
                self.tensors[key] = self.put(self.painter.tensor(name, module, key), ())
            return Value((self.tensors[key],))
        return Value(modules=children_of(module, path)) if is_spread(name, module) else NOTHING

    def reach(self, node: ast.Attribute) -> tuple[Value, Value]:
        """The value before the dot, and what the dot leads to where that is self or a module."""
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            return NOTHING, self.member(node.attr, self.module, "")
        target = self.value(node.value)
        return target, merged([self.member(node.attr, module, path) for path, module in target.modules])

    # --- expressions ---

    def value(self, node: ast.expr) -> Value:
        """What an expression gives; the calls and operators in it become nodes."""
        read: Callable[[ast.expr], Value] = getattr(self, f"_{type(node).__name__.lower()}", self._parts)
        return read(node)

    def _parts(self, node: ast.expr) -> Value:
        return merged([self.value(child) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)])

    def _name(self, node: ast.Name) -> Value:
        return NOTHING if is_outer(node) else self.find(node.id) or NOTHING

    def _tuple(self, node: ast.Tuple | ast.List) -> Value:
        return Value(parts=tuple(map(self.value, node.elts)))

    _list = _tuple

    def _ifexp(self, node: ast.IfExp) -> Value:
        return merged([self.value(node.body), self.value(node.orelse)])

    def _attribute(self, node: ast.Attribute) -> Value:
        if node.attr in NO_FLOW or is_library(node):
            return NOTHING
        target, reached = self.reach(node)
        if reached.modules or reached.sources or not sources_of(target) or node.attr in PASSED_ON:
            return merged([reached, Value(sources_of(target))])
        return self.operation(node.attr, sources_of(target), node)

    def _subscript(self, node: ast.Subscript) -> Value:
        value, index = self.value(node.value), constant_of(node.slice)
        if value.modules:
            whole = isinstance(node.value, ast.Call) or is_spread(shown(node.value), self.module)
            if not whole:
                return Value(modules=tuple(found for called in value.modules for found in picked(called, index)))
            known = isinstance(index, int) and -len(value.modules) <= index < len(value.modules)
            return Value(modules=(value.modules[index],) if known and isinstance(index, int) else value.modules)
        if value.parts is not None and isinstance(index, int) and -len(value.parts) <= index < len(value.parts):
            return value.parts[index]
        sources = merged([value, self.value(node.slice)]).sources
        return self.operation(f"[{shown(node.slice)}]", sources, node) if sources else NOTHING

    def _binop(self, node: ast.BinOp) -> Value:
        left, right = self.value(node.left), self.value(node.right)
        both = merged([left, right])
        if left.parts is not None or right.parts is not None or not both.sources:  # lists joined, numbers computed
            return both
        label = SIGNS[type(node.op)]
        if not sources_of(right):
            label = f"{label} {shown(node.right, inner=True)}"
        elif not sources_of(left):
            label = f"{shown(node.left, inner=True)} {label}"
        return self.operation(label, both.sources, node)

    def _unaryop(self, node: ast.UnaryOp) -> Value:
        value = self.value(node.operand)
        if not sources_of(value) or type(node.op) not in SIGNS:
            return value
        return self.operation(SIGNS[type(node.op)], sources_of(value), node)

    def _compare(self, node: ast.Compare) -> Value:
        operands = [self.value(operand) for operand in (node.left, *node.comparators)]
        sources = merged(operands).sources
        if not sources or type(node.ops[0]) not in SIGNS:
            return NOTHING
        right = "" if sources_of(operands[-1]) else f" {shown(node.comparators[-1])}"
        return self.operation(SIGNS[type(node.ops[0])] + right, sources, node)

    # --- calls ---

    def _call(self, node: ast.Call) -> Value:
        function = node.func
        if isinstance(function, ast.Name) and is_outer(function) and function.id in ("getattr", "list"):
            return self._members(node)
        if is_library(function):
            return self._function(node, ast.unparse(function).rpartition(".")[2], [])
        if not isinstance(function, ast.Attribute):
            return self._modules(node, self.value(function).modules)
        target, reached = self.reach(function)
        if reached.modules:
            return self._modules(node, reached.modules)
        if function.attr == "append" and isinstance(function.value, ast.Name):
            self.names[function.value.id] = merged([target, *map(self.value, node.args)])
            return NOTHING
        if function.attr == "pop":
            return merged([target])
        return self._function(node, function.attr, [target])

    def _members(self, node: ast.Call) -> Value:
        """`getattr(self, "block 0")`, or the list of all children."""
        if len(node.args) == 2 and isinstance(node.args[1], ast.Constant):
            return self.member(str(node.args[1].value), self.module, "")
        return Value(modules=children_of(self.module, ""))

    def _modules(self, node: ast.Call, modules: tuple[Called, ...]) -> Value:
        sources = merged([self.value(argument) for argument in _arguments(node)]).sources
        return Value((self.put(self.painter.call(modules), sources),)) if modules else Value(sources)

    def _function(self, node: ast.Call, name: str, given: list[Value]) -> Value:
        values = {id(argument): self.value(argument) for argument in _arguments(node)}
        if name in NUMBERS:
            return NOTHING
        sources = merged([*given, *values.values()]).sources
        if name in PASSED_ON or not (sources or ast.unparse(node.func).startswith("torch.")):
            return Value(sources)
        named = [(None, argument) for argument in node.args]
        named += [(keyword.arg, keyword.value) for keyword in node.keywords]  # type: ignore[misc]  # a name or None
        words = [
            f"{key}={shown(argument)}" if key else shown(argument)
            for key, argument in named
            if not sources_of(values[id(argument)])
        ]
        return self.operation(f"{name}({', '.join(words)})" if words else name, sources, node)


def _arguments(node: ast.Call) -> list[ast.expr]:
    return [*node.args, *(keyword.value for keyword in node.keywords)]
