"""What `value[index]` gives. Of a tensor with rows, the rows are taken whole (`:`), or nothing is taken of them.

Called by `expressions.py`.
"""

from collections.abc import Sequence

from torch import nn

from app.architecture.rowwise.forms import (
    ANYTHING,
    UNKNOWN,
    Elements,
    Form,
    Mixed,
    Results,
    Value,
    has_rows,
    join,
    mixed,
)
from app.architecture.rowwise.sizes import Size, Whole, fresh, is_whole
from app.language.members import item as language_item

WHOLE = slice(None)
INDEX = "indexing"


def pick(value: Value, index: Value) -> Value:
    """Follows `value[index]`. Raises Mixed."""
    if isinstance(value, Form):
        return _of_form(value, index)
    if isinstance(value, Results) and isinstance(index, str):
        if index not in value.names:
            mixed(INDEX, f"asks for {index!r}, which is not there")
        return value[value.names.index(index)]
    if isinstance(value, tuple | Elements):
        return _of_list(value, index)
    if isinstance(value, nn.Module) and isinstance(index, int | str):
        found: Value = language_item(value, index)
        return found
    return mixed(INDEX, "is followed with positions that are known beforehand")


def _of_list(value: tuple[Value, ...] | Elements, index: Value) -> Value:
    if isinstance(value, Elements) and value.known is None:
        return value if isinstance(index, slice) else value.each
    parts: Sequence[Value] = value if isinstance(value, tuple) else value.known or []
    if isinstance(index, slice):
        if not all(isinstance(part, int | None) for part in (index.start, index.stop, index.step)):
            mixed(INDEX, "is followed with positions that are known beforehand")
        return tuple(parts[index]) if isinstance(value, tuple) else Elements(list(parts[index]))
    if isinstance(index, int):
        if not -len(parts) <= index < len(parts):
            mixed(INDEX, f"asks for element {index} of {len(parts)}")
        return parts[index]
    if has_rows(index) or not parts:
        mixed(INDEX, "takes its position from the rows")
    found = parts[0]
    for part in parts[1:]:
        found = join(found, part)
    return found


def _of_form(form: Form, index: Value) -> Value:
    parts = index if isinstance(index, tuple) else (index,)
    if form.has_rows:
        return Form(_taken(form, parts), form.kind)
    if has_rows(index):
        return _looked_up(form, parts)
    try:
        return _looked_up(form, parts) if isinstance(index, Form) else Form(_taken(form, parts), form.kind)
    except Mixed:
        return ANYTHING


def _looked_up(form: Form, parts: Sequence[Value]) -> Form:
    """`table[ids]`: each row looks up its own."""
    if len(parts) != 1 or not isinstance(parts[0], Form):
        return mixed(INDEX, "takes positions from the rows")
    if parts[0].kind != "integer":
        mixed(INDEX, "takes positions from the rows that may be truth values; write embedding(ids, table)")
    return Form((*parts[0].known(INDEX), *form.known(INDEX)[1:]), form.kind)


def _taken(form: Form, parts: Sequence[Value]) -> tuple[Whole, ...]:
    """The sizes that a basic index leaves, and one list of fixed positions at most."""
    sizes = form.known(INDEX)
    used = sum(part is not None and part is not Ellipsis for part in parts)
    if used > len(sizes):
        mixed(INDEX, f"has {used} positions for a tensor with {len(sizes)} dimensions")
    at = 0
    left: list[Whole] = []
    for part in parts:
        if part is Ellipsis:
            skipped = len(sizes) - used
            left += sizes[at : at + skipped]
            at += skipped
        elif part is None:
            left.append(1)
        else:
            if at == form.rows and part != WHOLE:
                mixed(INDEX, f"takes some of dimension {at}, which holds the rows")
            left += _one(sizes[at], part, parts)
            at += 1
    return (*left, *sizes[at:])


def _one(size: Whole, part: Value, parts: Sequence[Value]) -> list[Whole]:
    """What one position or slice leaves of a dimension."""
    if isinstance(part, bool) or has_rows(part):
        mixed(INDEX, "takes positions from the rows, or by truth values")
    if isinstance(part, slice):
        return [size if part == WHOLE else _cut(size, part)]
    if is_whole(part) or part is UNKNOWN:
        return []
    advanced = [one for one in parts if isinstance(one, Form | Elements | tuple)]
    if len(advanced) == 1 and isinstance(part, Form) and part.kind == "integer":
        return list(part.known(INDEX))
    if len(advanced) == 1 and isinstance(part, Elements) and all(type(one) is int for one in part.known or [None]):
        return [len(part.known or [])]
    return mixed(INDEX, "is followed with whole numbers, slices, None, ... and one list of positions")


def _cut(size: Whole, part: slice) -> Whole:
    bounds = (part.start, part.stop, part.step)
    if not all(bound is None or is_whole(bound) or bound is UNKNOWN for bound in bounds):
        mixed(INDEX, "is followed with slices of whole numbers")
    if isinstance(size, int) and all(isinstance(bound, int | None) for bound in bounds):
        if part.step is not None and part.step <= 0:
            mixed(INDEX, "needs steps above 0")
        return len(range(*part.indices(size)))
    if part.start is None and part.step is None and isinstance(part.stop, Size) and part.stop == size:
        return size
    return fresh()
