"""The allow-list: from Python's tree to a fresh one that holds only what the language holds.

Nothing of the parser's tree is kept: each node is made anew from checked parts, so whatever reaches the compiler
was made here. Knows no functions and no scopes (`scope.py` does). Called by `app.architecture` to look at
expressions, and by `compile.py`.
"""

import ast
from dataclasses import dataclass
from functools import lru_cache
from keyword import iskeyword
from typing import TypeVar

from app.language.errors import LanguageError
from app.language.expressions import ExpressionCleaner
from app.language.reader import read_expression
from app.language.words import DTYPES, LITERALS, NAMESPACES
from app.settings import Limits

NodeT = TypeVar("NodeT", bound=ast.AST)


@dataclass(frozen=True)
class Expression:
    """One checked expression.

    `names`: bare names that are read; `called`: bare names that are called (`nn.Linear(...)` calls Linear). Literal
    words (inf, nan, pi, dtypes) and namespaces (torch, F) are in neither. `quoted` is the text itself when the
    expression is one string literal.
    """

    text: str
    names: frozenset[str]
    called: frozenset[str]
    tree: ast.expr
    quoted: str | None = None

    def __hash__(self) -> int:
        return hash(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and other.text == self.text


@dataclass(frozen=True)
class Input:
    """One input of a block. `default` counts only where it is not `required`."""

    name: str
    required: bool
    default: object = None


@lru_cache(maxsize=8192)
def parse_expression(text: str, limits: Limits) -> Expression:
    """Reads and checks one expression. Raises LanguageError (bad-expression, limit-exceeded)."""
    tree = ExpressionCleaner(limits).clean(read_expression(text, limits))
    names, called = _names(tree)
    quoted = tree.value if isinstance(tree, ast.Constant) and isinstance(tree.value, str) else None
    return Expression(text, frozenset(names), frozenset(called), tree, quoted)


def _names(tree: ast.expr) -> tuple[set[str], set[str]]:
    names: set[str] = set()
    called: set[str] = set()
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                called.add(node.func.id)
                skipped.add(id(node.func))
            elif dotted(node.func)[:-1] in (("nn",), ("torch", "nn")):
                called.add(dotted(node.func)[-1])
        if isinstance(node, ast.Attribute):
            path = dotted(node)
            if path and path[0] in NAMESPACES:
                skipped.add(id(_root(node)))
        if isinstance(node, ast.Name) and id(node) not in skipped and node.id not in LITERALS | DTYPES:
            names.add(node.id)
    return names, called


def _root(node: ast.expr) -> ast.expr:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node


def dotted(node: ast.expr) -> tuple[str, ...]:
    """Gives `("torch", "nn", "Linear")` for `torch.nn.Linear`, and () for anything but names joined by dots."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return (node.id, *reversed(parts)) if isinstance(node, ast.Name) else ()


@lru_cache(maxsize=1024)
def parse_input(text: str, limits: Limits) -> Input:
    """Reads one input as a block lists it: `X`, or `mask=None` with a literal as its default.

    Lists among defaults become tuples. Raises LanguageError.
    """
    if not isinstance(text, str):
        raise LanguageError('an input is a string, such as "X" or "mask=None"', code="bad-name")
    name, equals, default = text.partition("=")
    cleaner = ExpressionCleaner(limits)
    try:
        checked = cleaner.name(name.strip(), 1, 1)
    except LanguageError as error:
        raise LanguageError(error.message, code="bad-name") from None
    if checked in NAMESPACES or checked == "self" or iskeyword(checked):
        raise LanguageError(f"an input cannot be named {checked}: the language uses that name", code="bad-name")
    if not equals:
        return Input(checked, required=True)
    return Input(checked, required=False, default=_literal(read_expression(default, limits), cleaner))


def _literal(node: ast.expr, cleaner: ExpressionCleaner) -> object:
    node = cleaner.clean(node)
    match node:
        case ast.Constant(value=value) if value is not Ellipsis:
            return value
        case ast.Name(id=("inf" | "nan" | "pi") as name):
            return LITERAL_VALUES[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            number = _literal(operand, cleaner)
            if isinstance(number, int | float) and not isinstance(number, bool):
                return -number
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            return tuple(_literal(element, cleaner) for element in elements)
    raise LanguageError("the default of an input is a literal: None, a number, true or false as True or False, a text")


LITERAL_VALUES = {"inf": float("inf"), "nan": float("nan"), "pi": 3.141592653589793}
