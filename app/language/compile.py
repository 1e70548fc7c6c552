"""From text to functions: `evaluate` for expressions, `compile_forward` and `compile_graph` for a block's forward.

Owns the cache of compiled code and the binding of every name that code may reach. Knows no modules but the ones it
is called with. Called by `app.architecture`.
"""

import ast
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from types import CodeType, FunctionType, MappingProxyType
from typing import Any

import torch

from app.errors import LabError
from app.language import members, operators
from app.language.bodies import Body, emit_body
from app.language.emit import Emitter
from app.language.errors import LanguageError, UnknownName
from app.language.failures import FILENAME, explain, place_of
from app.language.functions import BARE, DOTTED, METHODS
from app.language.graph import GraphCall, graph_source
from app.language.reads import Read, sure_reads
from app.language.running import current, running, with_limits
from app.language.scope import ExpressionNames, Scope
from app.language.statements import parse_program
from app.language.syntax import Expression, Input, parse_expression
from app.language.trees import outer
from app.language.words import DTYPE_ALIASES, DTYPES
from app.settings import Limits

__all__ = [
    "Forward",
    "GraphCall",
    "Input",
    "Scope",
    "compile_forward",
    "compile_graph",
    "evaluate",
    "explain",
    "place_of",
    "running",
]

_NO_CALLS: Mapping[str, Callable[..., object]] = MappingProxyType({})


def _bindings() -> dict[str, Any]:
    """Every name that compiled code may reach besides its own locals.

    `__import__` is there for PyTorch's C code alone, which imports through its caller's builtins: no tree that was
    checked can name it.
    """
    bound: dict[str, Any] = {
        "__builtins__": {"__import__": __import__},
        "@slice": slice,
        "@call": current,
        "@settle": explain,
    }
    bound |= {"@inf": float("inf"), "@nan": float("nan"), "@pi": torch.pi}
    bound |= {"@LanguageError": LanguageError, "@UnboundLocalError": UnboundLocalError}
    bound |= {f"@torch.{name}": getattr(torch, name) for name in DTYPES | DTYPE_ALIASES}
    bound |= {f"@{name}": getattr(operators, name) for name in OPERATOR_NAMES}
    bound |= {f"@{name}": getattr(members, name) for name in MEMBER_NAMES}
    bound |= {f"@{entry.key}": entry.run for entry in [*DOTTED.values(), *BARE.values()]}
    bound |= {"@torch.max itself": torch.max, "@torch.min itself": torch.min}
    bound |= {f"@method {entry.name}": entry.method for entry in METHODS.values() if entry.method is not None}
    return bound


OPERATOR_NAMES = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "floor_divide",
    "modulo",
    "power",
    "matrix_multiply",
    "bit_and",
    "bit_or",
    "bit_xor",
    "negative",
    "positive",
    "invert",
    "equal",
    "unequal",
    "less",
    "less_equal",
    "greater",
    "greater_equal",
    "contains",
    "lacks",
    "numbers_from",
    "numbered",
    "side_by_side",
    "backwards",
    "walk",
    "entries",
]
MEMBER_NAMES = [
    "member",
    "subject",
    "callable_module",
    "item",
    "child_at",
    "children_of",
    "count_children",
    "append",
    "pop",
    "output",
]
BINDINGS = _bindings()


# --- expressions ---


def evaluate(
    expression: Expression | str,
    values: Mapping[str, object],
    *,
    calls: Mapping[str, Callable[..., object]] = _NO_CALLS,
    limits: Limits,
) -> Any:
    """Gives the value of an expression over `values`.

    `values` hide functions; `calls` are names that may be called besides the catalogue, and before it. Everything
    that goes wrong is a LanguageError, save that a LabError raised by one of `calls` passes as it is.
    """
    if isinstance(expression, str):
        expression = parse_expression(expression, limits)
    known = frozenset(name for name in expression.names | expression.called if name in values)
    callable_names = frozenset(name for name in expression.called if name in calls)
    try:
        function = _compile_expression(expression, known, callable_names)
    except UnknownName:
        return _compile_expression(expression, frozenset(values), frozenset(calls))  # fails too, with near names
    with with_limits(limits):
        try:
            return function(values, calls)
        except LanguageError as error:
            raise explain(error) from error.__cause__
        except LabError:
            raise
        except Exception as error:  # PyTorch raises whatever Python can, AssertionError and AttributeError too
            raise explain(error) from error


@lru_cache(maxsize=8192)
def _compile_expression(
    expression: Expression, values: frozenset[str], calls: frozenset[str]
) -> Callable[[Mapping[str, object], Mapping[str, Callable[..., object]]], Any]:
    names = ExpressionNames(values, calls)
    tree = Emitter(names).emit(expression.tree).run
    arguments = ast.arguments([], [ast.arg("@values"), ast.arg("@calls")], None, [], [], None, [])
    returned = ast.copy_location(ast.Return(tree), tree)
    return FunctionType(_compile("expression", arguments, [returned]), BINDINGS)


def _compile(name: str, arguments: ast.arguments, body: list[ast.stmt]) -> CodeType:
    """Compiles one function and gives its code."""
    function = ast.FunctionDef(name, arguments, body, [], None, None)
    function.lineno, function.col_offset = 1, 0
    module = ast.fix_missing_locations(ast.Module([function], []))
    try:
        code = compile(module, FILENAME, "exec", dont_inherit=True, optimize=2)
    except (SyntaxError, RecursionError, MemoryError, ValueError, OverflowError) as error:
        raise LanguageError(f"the text cannot be compiled: {error}", code="limit-exceeded", line=1, column=1) from None
    return next(constant for constant in code.co_consts if isinstance(constant, CodeType))


# --- forwards ---


class Forward:
    """A block's forward, compiled. `tree` is clean and printable: ordinary PyTorch code with members as `self.x`."""

    def __init__(self, tree: ast.FunctionDef, code: CodeType, scope: Scope) -> None:
        self.tree = tree
        self.scope = scope
        self._code = code

    @cached_property
    def reads(self) -> list[Read]:
        """What it is sure to read of its children, from any child onwards."""
        return sure_reads(self.tree.body)

    @property
    def hyperparameters(self) -> frozenset[str]:
        """Names of the hyperparameters that it reads."""
        return frozenset(text for text in self.scope.hyperparameters if f"@value {text}" in self._code.co_names)

    def bind(self, hyperparameters: Mapping[str, object]) -> Callable[..., Any]:
        """Gives `function(self_module, *inputs, **inputs)` with these hyperparameters.

        Lists among hyperparameters become tuples. Errors come out as they were raised, save that those of the
        language are LanguageErrors with line and column; `explain` makes one of any other.
        """
        bound = {f"@value {name}": _frozen(value) for name, value in hyperparameters.items()}
        missing = self.scope.hyperparameters - self.scope.members - set(hyperparameters)
        if missing:
            raise LanguageError(f"no value for the hyperparameter {min(missing)}", code="missing-hyperparameter")
        defaults = tuple(given.default for given in self.scope.inputs if not given.required)
        return FunctionType(self._code, BINDINGS | bound, "forward", defaults)


def _frozen(value: object) -> object:
    return tuple(_frozen(part) for part in value) if isinstance(value, list | tuple) else value


def compile_forward(source: str | Sequence[str], scope: Scope, limits: Limits) -> Forward:
    """Checks and compiles a forward: one string, or a list of lines. Raises LanguageError with line and column."""
    if not isinstance(source, str):
        if not isinstance(source, list | tuple) or not all(isinstance(line, str) for line in source):
            raise LanguageError("forward is text: a string or a list of lines", line=1, column=1)
        source = tuple(source)
    return _compile_forward(source, scope, limits)


@lru_cache(maxsize=512)
def _compile_forward(source: str | tuple[str, ...], scope: Scope, limits: Limits) -> Forward:
    return _make_forward(emit_body(parse_program(source, limits), scope), scope)


def _make_forward(body: Body, scope: Scope) -> Forward:
    shown = ast.FunctionDef("forward", _arguments(scope), body.shown, [], None, None)
    code = _compile("forward", _arguments(scope), body.run)
    return Forward(ast.fix_missing_locations(shown), code, scope)


def _arguments(scope: Scope) -> ast.arguments:
    required = [given.name for given in scope.inputs]
    defaults: list[ast.expr] = [_literal(given.default) for given in scope.inputs if not given.required]
    return ast.arguments([], [ast.arg("self"), *map(ast.arg, required)], None, [], [], None, defaults)


def _literal(value: object) -> ast.expr:
    """Prints the default of an input; what runs gets the value itself."""
    if isinstance(value, tuple):
        return ast.Tuple([_literal(part) for part in value], ast.Load())
    if isinstance(value, float) and not math.isfinite(value):
        return ast.Call(outer("float"), [ast.Constant(str(value))], [])
    assert value is None or isinstance(value, str | int | float)
    return ast.Constant(value)


def compile_graph(
    calls: Sequence[GraphCall], outputs: Sequence[str] | Mapping[str, str], scope: Scope, limits: Limits
) -> Forward:
    """Compiles the nodes of a graph, given in the order they run. Raises LanguageError (unknown-name, ...)."""
    return _make_forward(emit_body(graph_source(calls, outputs, scope, limits), scope), scope)
