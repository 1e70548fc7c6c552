"""The allow-list of expressions: builds each node afresh, or refuses it in words that help.

Called by `syntax.py` and `statements.py`. It knows nothing of names and functions, only of form.
"""

import ast
import math
import re
from collections.abc import Callable

from app.language.errors import LanguageError
from app.language.words import FORBIDDEN_KEYWORDS
from app.settings import Limits

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
INTEGER_LIMIT = 2**63

REFUSED: dict[type[ast.AST], str] = {
    ast.Lambda: "functions cannot be written here; use a block",
    ast.ListComp: "comprehensions are not in the language; use a for loop that appends to a list",
    ast.SetComp: "comprehensions are not in the language; use a for loop",
    ast.DictComp: "comprehensions are not in the language; use a for loop",
    ast.GeneratorExp: "generators are not in the language; use a for loop that appends to a list",
    ast.JoinedStr: "f-strings are not in the language; quoted text stands as it is",
    ast.NamedExpr: ":= is not in the language; assign on a line of its own",
    ast.Await: "await is not in the language",
    ast.Yield: "yield is not in the language; collect values in a list and return it",
    ast.YieldFrom: "yield is not in the language; collect values in a list and return it",
    ast.Set: "sets are not in the language; use a list",
    ast.Dict: 'a dict may stand only after return, as in return {"mean": m}',
    ast.Starred: "* unpacking is not in the language; name each element",
}
BINARY = (
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow),
    *(ast.MatMult, ast.BitAnd, ast.BitOr, ast.BitXor),
)
UNARY = (ast.USub, ast.UAdd, ast.Not, ast.Invert)
COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Is, ast.IsNot, ast.In, ast.NotIn)


def place(node: ast.AST) -> tuple[int, int]:
    """Gives the 1-based line and column of a node."""
    return getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1


def refuse(node: ast.AST, message: str, code: str = "bad-expression") -> LanguageError:
    """Makes an error that stands at `node`."""
    line, column = place(node)
    return LanguageError(message, code=code, line=line, column=column)


class ExpressionCleaner:
    """Checks expressions and rebuilds them, counting nodes and depth over its whole life."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._nodes = 0
        self._depth = 0
        self._kinds: dict[type[ast.AST], Callable[..., ast.expr]] = {
            ast.Constant: self._constant,
            ast.Name: self._name,
            ast.BinOp: self._binary,
            ast.UnaryOp: self._unary,
            ast.BoolOp: self._boolean,
            ast.Compare: self._compare,
            ast.IfExp: self._conditional,
            ast.Tuple: self._sequence,
            ast.List: self._sequence,
            ast.Subscript: self._subscript,
            ast.Slice: self._slice,
            ast.Attribute: self._attribute,
            ast.Call: self._call,
        }

    def clean(self, node: ast.expr) -> ast.expr:
        """Gives a fresh tree equal to `node`, or raises LanguageError."""
        self.enter(node)
        try:
            build = self._kinds.get(type(node))
            if build is None:
                reason = REFUSED.get(type(node), f"{type(node).__name__} is not in the language")
                raise refuse(node, reason)
            return ast.copy_location(build(node), node)
        finally:
            self._depth -= 1

    def enter(self, node: ast.AST) -> None:
        """Counts one node, one level deeper."""
        self._nodes += 1
        self._depth += 1
        if self._nodes > self.limits.program_nodes:
            raise refuse(node, f"the text has more than {self.limits.program_nodes} parts", "limit-exceeded")
        if self._depth > self.limits.nesting:
            raise refuse(node, f"the text is nested more than {self.limits.nesting} deep", "limit-exceeded")

    def leave(self) -> None:
        """Goes one level up."""
        self._depth -= 1

    def name(self, text: str, line: int, column: int) -> str:
        """Checks an identifier: ASCII letters, digits and _, and not between double underscores."""
        if not IDENTIFIER.match(text):
            shown = text.encode("ascii", "backslashreplace").decode()[:60]
            raise LanguageError(
                f"{shown!r} is not a name: names are ASCII letters, digits and _", line=line, column=column
            )
        if text.startswith("__"):
            raise LanguageError("names with two leading underscores are not allowed", line=line, column=column)
        return text

    def _name(self, node: ast.Name) -> ast.expr:
        return ast.Name(self.name(node.id, *place(node)), ast.Load())

    def _constant(self, node: ast.Constant) -> ast.expr:
        value = node.value
        if value is None or value is Ellipsis or isinstance(value, bool):
            return ast.Constant(value)
        if isinstance(value, int):
            if value > INTEGER_LIMIT:
                raise refuse(node, "integers are limited to 64 bits", "limit-exceeded")
            return ast.Constant(value)
        if isinstance(value, float):
            if not math.isfinite(value):
                raise refuse(node, "this number is too large for a float; infinity is written inf", "limit-exceeded")
            return ast.Constant(value)
        if isinstance(value, str):
            if any(0xD800 <= ord(c) <= 0xDFFF or c == "\0" for c in value):
                raise refuse(node, "text may hold no NUL and no surrogates")
            return ast.Constant(value)
        if isinstance(value, complex):
            raise refuse(node, "imaginary numbers are written complex(real, imag) over tensors")
        raise refuse(node, f"{type(value).__name__} literals are not in the language")

    def _binary(self, node: ast.BinOp) -> ast.expr:
        if not isinstance(node.op, BINARY):
            raise refuse(node, "<< and >> are not in the language; multiply by or divide (//) with a power of 2")
        return ast.BinOp(self.clean(node.left), type(node.op)(), self.clean(node.right))

    def _unary(self, node: ast.UnaryOp) -> ast.expr:
        assert isinstance(node.op, UNARY)
        return ast.UnaryOp(type(node.op)(), self.clean(node.operand))

    def _boolean(self, node: ast.BoolOp) -> ast.expr:
        return ast.BoolOp(type(node.op)(), [self.clean(value) for value in node.values])

    def _compare(self, node: ast.Compare) -> ast.expr:
        operands = [node.left, *node.comparators]
        for index, op in enumerate(node.ops):
            assert isinstance(op, COMPARISONS)
            if isinstance(op, ast.Is | ast.IsNot) and not any(
                isinstance(side, ast.Constant) and side.value is None for side in operands[index : index + 2]
            ):
                raise refuse(node, "is compares with None only; compare values with == or !=")
        cleaned = [self.clean(operand) for operand in operands]
        return ast.Compare(cleaned[0], [type(op)() for op in node.ops], cleaned[1:])

    def _conditional(self, node: ast.IfExp) -> ast.expr:
        return ast.IfExp(self.clean(node.test), self.clean(node.body), self.clean(node.orelse))

    def _sequence(self, node: ast.Tuple | ast.List) -> ast.expr:
        if len(node.elts) > self.limits.list_length:
            raise refuse(node, f"a list has more than {self.limits.list_length} elements", "limit-exceeded")
        return type(node)([self.clean(element) for element in node.elts], ast.Load())

    def _subscript(self, node: ast.Subscript) -> ast.expr:
        return ast.Subscript(self.clean(node.value), self.clean(node.slice), ast.Load())

    def _slice(self, node: ast.Slice) -> ast.expr:
        parts = [None if part is None else self.clean(part) for part in (node.lower, node.upper, node.step)]
        return ast.Slice(*parts)

    def _attribute(self, node: ast.Attribute) -> ast.expr:
        line, column = node.end_lineno or 1, (node.end_col_offset or 0) - len(node.attr) + 1
        return ast.Attribute(self.clean(node.value), self.name(node.attr, line, max(column, 1)), ast.Load())

    def _call(self, node: ast.Call) -> ast.expr:
        if not isinstance(node.func, ast.Name | ast.Attribute | ast.Subscript) and not _makes_layer(node.func):
            raise refuse(
                node, 'only functions, methods and children are called, as relu(x), x.abs(), self["block 0"](x)'
            )
        keywords: list[ast.keyword] = []
        for keyword in node.keywords:
            if keyword.arg is None:
                raise refuse(keyword, "** unpacking is not in the language; write each keyword argument")
            name = self.name(keyword.arg, *place(keyword))
            keywords.append(ast.copy_location(ast.keyword(name, self.clean(keyword.value)), keyword))
        return ast.Call(self.clean(node.func), [self.clean(argument) for argument in node.args], keywords)


def _makes_layer(node: ast.expr) -> bool:
    """Whether a class is called, by its capital letter: in a loss, `MSELoss()(output, y)`, what it makes is called."""
    if not isinstance(node, ast.Call):
        return False
    called = ast.unparse(node.func).removeprefix("torch.").removeprefix("nn.")
    return called.isidentifier() and called[0].isupper()


def refused_keyword(name: str, value: ast.expr) -> str | None:
    """Says why a catalogue function may not be given this keyword, or None where it may."""
    constant = value.value if isinstance(value, ast.Constant) else value
    if name == "inplace":
        return (
            None if constant is False else "inplace=True is refused: forward changes no tensor in place; leave it out"
        )
    if name == "requires_grad" and constant is False:
        return None
    return FORBIDDEN_KEYWORDS.get(name)
