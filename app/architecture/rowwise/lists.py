"""Functions of plain numbers, and lists and tuples: what they give and what a loop walks over.

Called by `expressions.py` and `walk.py`.
"""

import ast
from collections.abc import Mapping, Sequence

from torch import nn

from app.architecture.rowwise.forms import ANYTHING, UNKNOWN, Elements, Form, Value, forms_in, has_rows, join, mixed
from app.architecture.rowwise.numbers import PLAIN, SIGNS, compute, plainly
from app.architecture.rowwise.rules import follow
from app.architecture.rowwise.sizes import is_whole
from app.language.members import NUMBER_FUNCTIONS

# --- plain functions ---


def number(name: str, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """`len`, `int`, `float`, `sum`, `min`, `max` and other functions of plain numbers."""
    if name == "len" and len(args) == 1:
        return _length(args[0])
    if name == "sum" and len(args) == 1 and isinstance(args[0], tuple | Elements):
        return _sum(args[0])
    values = args[0] if len(args) == 1 and isinstance(args[0], tuple | Elements) else tuple(args)
    parts = list(values) if isinstance(values, tuple) else [values.each] if values.known is None else values.known
    if any(True for _ in forms_in(parts)) or kwargs:
        if has_rows(tuple(parts)):
            mixed(name, "takes a number from values of the rows")
        return UNKNOWN
    if name == "int" and is_whole(parts[0]):
        return parts[0]
    if has_rows(tuple(parts)):
        mixed(name, "computes with the number of rows")
    if name in NUMBER_FUNCTIONS and all(isinstance(part, PLAIN) for part in parts) and isinstance(values, tuple):
        return plainly(name, NUMBER_FUNCTIONS[name], *args)
    return UNKNOWN


def _length(value: Value) -> Value:
    if isinstance(value, Form):
        return value.known("len")[0] if value.sizes else UNKNOWN
    if isinstance(value, Elements):
        return UNKNOWN if value.known is None else len(value.known)
    if isinstance(value, nn.Module):
        return len(value._modules)  # noqa: SLF001  # every child, as compiled code counts them
    return (
        len(value) if isinstance(value, tuple) else mixed("len", "is asked of something that is not known beforehand")
    )


def _sum(values: tuple[Value, ...] | Elements) -> Value:
    parts = (
        list(values)
        if isinstance(values, tuple)
        else [values.each, values.each]
        if values.known is None
        else values.known
    )
    found: Value = 0
    for part in parts:
        both = isinstance(found, Form) or isinstance(part, Form)
        found = follow("add", "sum", (found, part), {}) if both else compute("+", SIGNS[ast.Add][2], found, part)
    return found


def of_lists(sign: str, *operands: Value) -> Value:
    """`+` of two lists or tuples, `*` of one and a number."""
    a, b = operands if len(operands) == 2 else (None, None)
    if sign == "*" and isinstance(b, tuple | Elements):
        a, b = b, a
    if sign == "+" and isinstance(a, tuple) and isinstance(b, tuple):
        return (*a, *b)
    if sign == "+" and isinstance(a, Elements) and isinstance(b, Elements):
        if a.known is None or b.known is None:
            inside = [part for one in (a, b) for part in ([one.each] if one.known is None else one.known)]
            return Elements(None, _one_of(inside))
        return Elements([*a.known, *b.known])
    if sign == "*" and isinstance(a, tuple | Elements) and not has_rows(b):
        parts = list(a) if isinstance(a, tuple) else a.known
        if isinstance(b, int) and parts is not None and len(parts) * b <= 10_000:
            return tuple(parts * b) if isinstance(a, tuple) else Elements(parts * b)
        return Elements(None, _one_of(parts or [UNKNOWN]))
    return mixed(sign, "is followed for two lists, or a list and a number")


def _one_of(values: Sequence[Value]) -> Value:
    found = values[0]
    for value in values[1:]:
        found = join(found, value)
    return found


# --- what a loop walks over ---

LOOPS = frozenset({"range", "enumerate", "zip", "reversed"})


def walk_over(name: str, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """`range`, `enumerate`, `zip` and `reversed`: the elements in order, or one that stands for all."""
    if name == "range":
        if any(map(has_rows, args)):
            mixed("range", "counts the rows")
        known = [arg for arg in args if isinstance(arg, int)]
        return (
            tuple(range(*known)[:10_001]) if len(known) == len(args) and 0 not in known[2:] else Elements(None, UNKNOWN)
        )
    walked = [elements_of(arg) for arg in args]
    if name == "reversed":
        return tuple(reversed(walked[0])) if isinstance(walked[0], tuple) else walked[0]
    if name == "enumerate":
        start = args[1] if len(args) > 1 else kwargs.get("start", 0)
        if isinstance(walked[0], tuple) and isinstance(start, int):
            return tuple(enumerate(walked[0], start))
        return Elements(None, (UNKNOWN, _each(walked[0])))
    if all(isinstance(one, tuple) for one in walked):
        return tuple(zip(*[one for one in walked if isinstance(one, tuple)], strict=False))
    return Elements(None, tuple(map(_each, walked)))


def _each(walked: tuple[Value, ...] | Elements) -> Value:
    return (_one_of(walked) if walked else UNKNOWN) if isinstance(walked, tuple) else walked.each


def elements_of(value: Value) -> tuple[Value, ...] | Elements:
    """What `for` walks over: a tuple where every element is known. Raises Mixed."""
    if isinstance(value, Form):
        if value.rows == 0:
            mixed("for", "walks over the rows")
        pieces = follow("unbind", "for", (value,), {})
        return pieces if isinstance(pieces, tuple | Elements) else Elements(None, ANYTHING)
    if isinstance(value, Elements):
        return value if value.known is None else tuple(value.known)
    if isinstance(value, nn.ModuleDict):
        return tuple(value.keys())
    if isinstance(value, nn.ModuleList | nn.Sequential):
        return tuple(value._modules.values())  # noqa: SLF001  # every child, as compiled code walks them
    return value if isinstance(value, tuple) else mixed("for", "walks over something that is not known beforehand")
