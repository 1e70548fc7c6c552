"""Whole numbers of which only the factors are known: sizes of dimensions before any tensor is there.

A size is an `int`, or a product of a number, of unknown sizes and perhaps of the number of rows. In such a product the
rows come first: along a dimension of `Size(3, (), rows=True)` each row has three places beside one another. Called by
the rest of this package alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import TypeGuard

_identities = count(1)


@dataclass(frozen=True)
class Size:
    """`times` times the unknown sizes in `unknown` (by their identities, sorted), times the rows if `rows`."""

    times: int = 1
    unknown: tuple[int, ...] = ()
    rows: bool = False


Whole = int | Size
ROWS = Size(rows=True)
SOME = Size(unknown=(0,))  # any size: what two different ones have become; not even equal to itself


def fresh() -> Size:
    """A size of which nothing is known, save that it is itself."""
    return Size(unknown=(next(_identities),))


def is_whole(value: object) -> TypeGuard[Whole]:
    return isinstance(value, Size) or (isinstance(value, int) and not isinstance(value, bool))


def counts_rows(value: object) -> bool:
    return isinstance(value, Size) and value.rows


def same(a: Whole, b: Whole) -> bool:
    """Says whether two sizes are surely equal."""
    return a == b and not (isinstance(a, Size) and 0 in a.unknown)


def product(sizes: Iterable[Whole]) -> Whole | None:
    """Multiplies sizes; None where the rows come in more than once."""
    times, rows = 1, 0
    unknown: list[int] = []
    for size in sizes:
        if isinstance(size, Size):
            times, rows = times * size.times, rows + size.rows
            unknown += size.unknown
        else:
            times *= size
    if rows > 1:
        return None
    return Size(times, tuple(sorted(unknown)), bool(rows)) if unknown or rows else times


def quotient(a: Whole, b: Whole) -> Whole | None:
    """Divides where nothing remains, whatever the unknown sizes are; None where that is not sure."""
    over, under = (size if isinstance(size, Size) else Size(size) for size in (a, b))
    if under.times == 0 or over.times % under.times or under.rows > over.rows or 0 in under.unknown:
        return None
    left = list(over.unknown)
    for identity in under.unknown:
        if identity not in left:
            return None
        left.remove(identity)
    rows = over.rows and not under.rows
    times = over.times // under.times
    return Size(times, tuple(left), rows) if left or rows else times


def join_sizes(a: Whole, b: Whole) -> Whole:
    """The size of what may have either size; the rows stay what they are only where both agree."""
    return a if a == b else SOME
