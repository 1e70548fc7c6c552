"""Arithmetic, comparison and truth of plain numbers, of which some are unknown and some count the rows.

A number that counts the rows may be multiplied and divided into sizes; for all else it is refused, since it is one
number for a request alone and another for a batch. Called by `expressions.py`.
"""

import ast
from collections.abc import Callable
from typing import Any

from app.architecture.rowwise.forms import UNKNOWN, VARIOUS, Elements, Form, Value, has_rows, mixed
from app.architecture.rowwise.sizes import Size, counts_rows, fresh, is_whole, product, quotient, same
from app.language import operators
from app.language.errors import LanguageError

SIGNS: dict[type[ast.AST], tuple[str, str, Callable[..., Any]]] = {  # sign, function of tensors, function of numbers
    ast.Add: ("+", "add", operators.add),
    ast.Sub: ("-", "sub", operators.subtract),
    ast.Mult: ("*", "mul", operators.multiply),
    ast.Div: ("/", "div", operators.divide),
    ast.FloorDiv: ("//", "floor_divide", operators.floor_divide),
    ast.Mod: ("%", "remainder", operators.modulo),
    ast.Pow: ("**", "pow", operators.power),
    ast.MatMult: ("@", "matmul", operators.matrix_multiply),
    ast.BitAnd: ("&", "bitwise_and", operators.bit_and),
    ast.BitOr: ("|", "bitwise_or", operators.bit_or),
    ast.BitXor: ("^", "bitwise_xor", operators.bit_xor),
    ast.USub: ("-", "neg", operators.negative),
    ast.UAdd: ("+", "positive", operators.positive),
    ast.Invert: ("~", "bitwise_not", operators.invert),
    ast.Eq: ("==", "eq", operators.equal),
    ast.NotEq: ("!=", "ne", operators.unequal),
    ast.Lt: ("<", "lt", operators.less),
    ast.LtE: ("<=", "le", operators.less_equal),
    ast.Gt: (">", "gt", operators.greater),
    ast.GtE: (">=", "ge", operators.greater_equal),
}
PLAIN = (int, float, str, type(None))


def compute(sign: str, run: Callable[..., Any], *operands: Value) -> Value:
    """The value of an operator over plain numbers, texts and None."""
    if sign == "*" and all(map(is_whole, operands)):
        found = product([operand for operand in operands if is_whole(operand)])
        return found if found is not None else mixed(sign, "multiplies the number of rows by itself")
    if sign == "//" and len(operands) == 2:
        over, under = operands
        if is_whole(over) and is_whole(under) and not (isinstance(over, int) and isinstance(under, int)):
            found = quotient(over, under)
            if found is not None:
                return found
    if any(map(has_rows, operands)):
        mixed(sign, "computes with the number of rows")
    if all(isinstance(operand, PLAIN) for operand in operands):
        return plainly(sign, run, *operands)
    if sign in ("+", "-", "//", "%") and all(map(is_whole, operands)):
        return fresh()
    return UNKNOWN


def plainly(sign: str, run: Callable[..., Any], *operands: Value) -> Value:
    """Computes with known numbers. Raises Mixed for what the language refuses when it runs."""
    try:
        result: Value = run(*operands)
    except (LanguageError, TypeError, ValueError, ArithmeticError) as error:
        mixed(sign, f"fails: {error}")
    return result


def compare(sign: str, run: Callable[..., Any], a: Value, b: Value) -> Value:
    """A comparison of values that are no tensors: true, false, or UNKNOWN."""
    if isinstance(a, tuple) and isinstance(b, tuple) and sign in ("==", "!="):
        parts = [compare("==", operators.equal, *pair) for pair in zip(a, b, strict=False)]
        if len(a) != len(b) or False in parts:
            return sign == "!="
        return UNKNOWN if UNKNOWN in parts else sign == "=="
    if is_whole(a) and is_whole(b) and same(a, b):
        return sign in ("==", "<=", ">=")
    if has_rows(a) or has_rows(b):
        mixed(sign, "compares the number of rows")
    if isinstance(a, PLAIN) and isinstance(b, PLAIN):
        return plainly(sign, run, a, b)
    return UNKNOWN


def truth(what: str, value: Value) -> bool | None:
    """Whether a value counts as true; None where that is not known, but is the same in every batch."""
    if has_rows(value) and not isinstance(value, tuple | Elements):
        counted = "the number of rows" if counts_rows(value) else "values of the rows"
        mixed(
            what, f"decides by {counted}" if value is not VARIOUS else "decides by a value that is not known beforehand"
        )
    if isinstance(value, Form | Size) or value is UNKNOWN:
        return None
    if isinstance(value, Elements):
        return None if value.known is None else bool(value.known)
    return bool(value)
