"""What is known of a value while a forward is followed without running it.

A tensor is a `Form`: its sizes, one of which may be the rows. Plain numbers are themselves, a `Size`, or UNKNOWN (one
that is not known, but is the same for a request alone and among others); modules, texts and None are themselves;
tuples are tuples and lists `Elements`. `Mixed` is raised for whatever would let rows meet, or might.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, NoReturn

from torch import nn

from app.architecture.rowwise.sizes import Size, Whole, counts_rows, join_sizes

Value = object  # any of the above
Kind = Literal["boolean", "integer"] | None  # of a tensor's elements; None: not known


class Marker(Enum):
    """UNKNOWN: a plain number or dtype, the same in every batch. VARIOUS: one of several things, so nothing."""

    UNKNOWN = "a number"
    VARIOUS = "one of several things"


UNKNOWN = Marker.UNKNOWN
VARIOUS = Marker.VARIOUS


class Mixed(Exception):
    """Rows meet, or may meet. `operation` is named as it is written; `line` is one of the forward of `module`."""

    def __init__(self, operation: str, reason: str) -> None:
        super().__init__(f"{operation} {reason}")
        self.operation = operation
        self.reason = reason
        self.module: nn.Module | None = None
        self.line: int | None = None


class Drawn(Mixed):
    """Something is drawn at random: other numbers for a request alone than for one among others."""


def mixed(operation: str, reason: str) -> NoReturn:
    raise Mixed(operation, reason)


@dataclass(frozen=True)
class Form:
    """A tensor. `sizes` is None where not even the rank is known, which happens to tensors without rows alone."""

    sizes: tuple[Whole, ...] | None
    kind: Kind = None

    def __post_init__(self) -> None:
        if sum(map(counts_rows, self.sizes or ())) > 1:  # rules say so before, in better words
            raise Mixed("an operation", "lays the rows over all other rows")

    @property
    def rows(self) -> int | None:
        """The dimension that holds the rows."""
        return next((place for place, size in enumerate(self.sizes or ()) if counts_rows(size)), None)

    @property
    def has_rows(self) -> bool:
        return self.rows is not None

    def known(self, operation: str) -> tuple[Whole, ...]:
        """The sizes. Raises Mixed where they are not known."""
        if self.sizes is None:
            mixed(operation, "meets a tensor of which the dimensions are not known beforehand")
        return self.sizes


ANYTHING = Form(None)  # a tensor, or a result with several of them, that has no rows


class Results(tuple[Value, ...]):  # noqa: SLOT001  # `names` is what it adds
    """Several results with names, as `x.max(1)` gives."""

    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, **parts: Value) -> "Results":
        made = cls(parts.values())
        made.names = tuple(parts)
        return made


@dataclass(eq=False)
class Elements:
    """A list, or what a loop walks: the elements where they are `known`, else any number of things such as `each`."""

    known: list[Value] | None
    each: Value = field(default=UNKNOWN)

    def append(self, value: Value) -> None:
        if self.known is not None:
            self.known.append(value)
        else:
            self.each = join(self.each, value)


def has_rows(value: Value) -> bool:
    """Says whether rows, or their number, stand anywhere in a value; of what may be several things they may."""
    if isinstance(value, Form):
        return value.has_rows
    if isinstance(value, Size):
        return value.rows
    if isinstance(value, Elements):
        return any(map(has_rows, value.known)) if value.known is not None else has_rows(value.each)
    if isinstance(value, tuple):
        return any(map(has_rows, value))
    if isinstance(value, slice):
        return any(map(has_rows, (value.start, value.stop, value.step)))
    return value is VARIOUS


def forms_in(values: Iterable[Value]) -> Iterator[Form]:
    """The tensors among values, those in tuples and lists too."""
    for value in values:
        if isinstance(value, Form):
            yield value
        elif isinstance(value, tuple):
            yield from forms_in(value)
        elif isinstance(value, Elements):
            yield from forms_in([value.each] if value.known is None else value.known)


def join(a: Value, b: Value, seen: dict[tuple[int, int], Elements] | None = None) -> Value:
    """What is known of a value that is one of two; lists that are one list stay one (`seen` remembers them)."""
    seen = {} if seen is None else seen
    if isinstance(a, Elements) and isinstance(b, Elements):
        return _join_elements(a, b, seen)
    if isinstance(a, Form) and isinstance(b, Form):
        return _join_forms(a, b)
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b) and type(a) is type(b):
        parts = [join(x, y, seen) for x, y in zip(a, b, strict=True)]
        return Results.of(**dict(zip(a.names, parts, strict=True))) if isinstance(a, Results) else tuple(parts)
    if a is b or (type(a) is type(b) and a == b):
        return a
    numbers = (int, float, bool, Size, Marker)
    if isinstance(a, numbers) and isinstance(b, numbers) and VARIOUS not in (a, b):
        return VARIOUS if counts_rows(a) or counts_rows(b) else UNKNOWN
    return VARIOUS


def _join_forms(a: Form, b: Form) -> Value:
    kind = a.kind if a.kind == b.kind else None
    if a.sizes is not None and b.sizes is not None and len(a.sizes) == len(b.sizes):
        sizes = tuple(join_sizes(x, y) for x, y in zip(a.sizes, b.sizes, strict=True))
        joined = Form(sizes, kind)
        return joined if a.rows == b.rows == joined.rows else VARIOUS
    return VARIOUS if a.has_rows or b.has_rows else ANYTHING


def _join_elements(a: Elements, b: Elements, seen: dict[tuple[int, int], Elements]) -> Elements:
    pair = (id(a), id(b))
    if pair not in seen:
        if any((pair[0] == x) != (pair[1] == y) for x, y in seen):
            mixed("a list", "has two names after one of two ways, and is two lists after the other")
        made = seen[pair] = Elements([])
        if a.known is not None and b.known is not None and len(a.known) == len(b.known):
            made.known = [join(x, y, seen) for x, y in zip(a.known, b.known, strict=True)]
        else:
            inside = [*_inside(a), *_inside(b)]
            made.known = None
            made.each = inside[0] if inside else UNKNOWN
            for value in inside[1:]:
                made.each = join(made.each, value, seen)
    return seen[pair]


def _inside(elements: Elements) -> list[Value]:
    return [elements.each] if elements.known is None else elements.known


def fork(value: Value, copies: dict[int, Elements]) -> Value:
    """Copies the lists in a value, each once, so that a branch may change its own."""
    if isinstance(value, Elements):
        if id(value) not in copies:
            copies[id(value)] = made = Elements(None if value.known is None else [], fork(value.each, copies))
            if value.known is not None:
                made.known = [fork(part, copies) for part in value.known]
        return copies[id(value)]
    if isinstance(value, Results):
        return Results.of(**{name: fork(part, copies) for name, part in zip(value.names, value, strict=True)})
    if isinstance(value, tuple):
        return tuple(fork(part, copies) for part in value)
    return value
