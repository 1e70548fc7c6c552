"""From the nodes of an explicit graph to the statements of a forward. Called by `compile.py`."""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.language.errors import LanguageError, suggest
from app.language.expressions import IDENTIFIER, ExpressionCleaner
from app.language.reader import read_expression
from app.language.scope import Scope
from app.language.syntax import parse_expression
from app.settings import Limits


@dataclass(frozen=True)
class GraphCall:
    """One node: `id` becomes the value of `call(*inputs, *args, **kwargs)`.

    `inputs` are ids of inputs and nodes, a nested tuple for a list argument; `args` and `kwargs` hold JSON values.
    """

    id: str
    call: str
    inputs: tuple[Any, ...] = ()
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


def graph_source(
    calls: Sequence[GraphCall], outputs: Sequence[str] | Mapping[str, str], scope: Scope, limits: Limits
) -> list[ast.stmt]:
    """Writes the statements of a graph; line n is node n. Raises LanguageError (unknown-name, bad-name, ...)."""
    return GraphWriter(scope, limits).write(calls, outputs)


class GraphWriter:
    """Writes nodes one after another, knowing which ids are there already."""

    def __init__(self, scope: Scope, limits: Limits) -> None:
        self.scope = scope
        self.limits = limits
        self.called: set[str] = set()
        self.locals: dict[str, str] = {given.name: given.name for given in scope.inputs}

    def write(self, calls: Sequence[GraphCall], outputs: Sequence[str] | Mapping[str, str]) -> list[ast.stmt]:
        statements: list[ast.stmt] = []
        self.called = {node.call.split(".")[0] for node in calls}
        for line, node in enumerate(calls, start=1):
            statements.append(_at(line, self._node(node, line)))
        last = len(calls) + 1
        if not outputs:
            raise LanguageError("a graph needs at least one output", code="bad-output", line=last, column=1)
        statements.append(_at(last, ast.Return(self._outputs(outputs, last))))
        return statements

    def _node(self, node: GraphCall, line: int) -> ast.stmt:
        function = self._function(node.call, line)
        arguments = [self._input(given, line) for given in node.inputs]
        arguments += [self._value(given, line) for given in node.args]
        cleaner = ExpressionCleaner(self.limits)
        keywords = [
            ast.keyword(cleaner.name(key, line, 1), self._value(given, line)) for key, given in node.kwargs.items()
        ]
        local = self._fresh(node.id, line)
        self.locals[node.id] = local
        return ast.Assign([ast.Name(local, ast.Store())], ast.Call(function, arguments, keywords))

    def _fresh(self, text: str, line: int) -> str:
        if text in self.locals:
            raise LanguageError(f"the id {text} is used twice", code="duplicate-name", line=line, column=1)
        base = text if IDENTIFIER.match(text) and not text.startswith("__") else f"node_{len(self.locals)}"
        taken = {
            *self.called,
            *self.locals.values(),
            *self.scope.members,
            *self.scope.hyperparameters,
            "self",
            "torch",
            "F",
            "nn",
        }
        while base in taken:
            base += "_"
        return base

    def _function(self, text: str, line: int) -> ast.expr:
        if text in self.scope.members and not IDENTIFIER.match(text):
            return ast.Subscript(ast.Name("self", ast.Load()), ast.Constant(text), ast.Load())
        if text in self.scope.children:
            return ast.Attribute(ast.Name("self", ast.Load()), text, ast.Load())
        tree = ExpressionCleaner(self.limits).clean(read_expression(text, self.limits))
        if not isinstance(tree, ast.Name | ast.Attribute | ast.Subscript):
            raise LanguageError(f"{text[:60]!r} is not the name of a child or a function", line=line, column=1)
        return tree

    def _input(self, given: Any, line: int) -> ast.expr:
        if isinstance(given, tuple | list):
            return ast.List([self._input(part, line) for part in given], ast.Load())
        if given not in self.locals:
            known = [*self.locals]
            raise LanguageError(
                f"there is no input or node {given} before this one{suggest(str(given), known)}",
                code="unknown-name",
                line=line,
                column=1,
            )
        return ast.Name(self.locals[given], ast.Load())

    def _value(self, given: Any, line: int) -> ast.expr:
        """A JSON value as a tree; text is an expression where all its names are hyperparameters, else itself."""
        if isinstance(given, tuple | list):
            return ast.List([self._value(part, line) for part in given], ast.Load())
        if isinstance(given, str):
            return self._text(given)
        if given is None or isinstance(given, bool | int | float):
            tree: ast.expr = ast.Constant(given)
            tree.lineno, tree.col_offset = line, 0
            return ExpressionCleaner(self.limits).clean(tree) if given is not None else tree
        raise LanguageError("arguments of a node are numbers, texts, lists, true, false and null", line=line, column=1)

    def _text(self, given: str) -> ast.expr:
        try:
            expression = parse_expression(given, self.limits)
        except LanguageError:
            return ast.Constant(given)
        if expression.names <= self.scope.hyperparameters:
            return expression.tree
        return ast.Constant(given)

    def _outputs(self, outputs: Sequence[str] | Mapping[str, str], line: int) -> ast.expr:
        if isinstance(outputs, Mapping):
            keys: list[ast.expr | None] = [ast.Constant(key) for key in outputs]
            return ast.Dict(keys, [self._input(given, line) for given in outputs.values()])
        parts = [self._input(given, line) for given in outputs]
        return parts[0] if len(parts) == 1 else ast.Tuple(parts, ast.Load())


def _at(line: int, statement: ast.stmt) -> ast.stmt:
    """Puts a whole statement on one line, so that a failure names its node."""
    for node in ast.walk(statement):
        if isinstance(node, ast.expr | ast.stmt | ast.keyword):
            node.lineno = node.end_lineno = line
            node.col_offset = node.end_col_offset = 0
    return statement
