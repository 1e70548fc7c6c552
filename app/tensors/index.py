"""NumPy's basic index as text, such as `0, :` or `..., ::2`: read without evaluating, and checked against a shape.

An `Index` says which elements are meant in three ways: as what a tensor is indexed with (PyTorch knows no negative
steps, so some dimensions are turned round afterwards), as a result's shape, and as ranges of bytes in contiguous
storage, so that an edit touches only the chunks it must. Does not load PyTorch.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import EllipsisType

from app.errors import Unprocessable, in_place

Item = int | slice | EllipsisType | None

LONGEST = 1_024  # characters
MOST_NEW_AXES = 32  # beside the 32 dimensions that a tensor may have: NumPy knows 64 in all
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1


@dataclass(frozen=True)
class _Dimension:
    """The elements taken of one dimension: `start`, `start + step`, ... (`count` of them)."""

    start: int
    step: int
    count: int
    kept: bool  # False: an integer stood there, and the result lacks the dimension


@dataclass(frozen=True)
class Index:
    """An index that fits a shape.

    `tensor[items].flip(flips)` are the elements meant, in order; `shape` is the shape of that. To write values,
    assign `values.flip(flips)` to `tensor[items]`.
    """

    items: tuple[int | slice | None, ...]
    flips: tuple[int, ...]
    shape: tuple[int, ...]
    source: tuple[int, ...]
    _dimensions: tuple[_Dimension, ...]

    def byte_ranges(self, item_bytes: int) -> Iterator[tuple[int, int]]:
        """Ranges of bytes (start, stop) that hold the elements, ascending and apart, in contiguous storage."""
        if any(dimension.count == 0 for dimension in self._dimensions):
            return
        strides = _strides(self.source, item_bytes)
        run = item_bytes
        outer = list(zip(self._dimensions, strides, self.source, strict=True))
        while outer:  # grow the run over dimensions that are taken in one piece
            dimension, stride, size = outer[-1]
            if abs(dimension.step) != 1 and dimension.count != 1:
                break
            outer.pop()
            run = dimension.count * stride
            if dimension.count != size:
                yield from _shifted(_offsets(outer), _lowest(dimension) * stride, run)
                return
        yield from _shifted(_offsets(outer), 0, run)

    def touched(self, item_bytes: int, granule_bytes: int) -> Iterator[tuple[int, int]]:
        """Ranges of bytes, ascending, that hold the elements, with gaps shorter than a granule left in.

        Every aligned granule of storage that a range meets lies in a range that begins and ends with an element, and
        there are never many more ranges than granules, however the elements are spread.
        """
        if any(dimension.count == 0 for dimension in self._dimensions):
            return
        low, high = 0, item_bytes
        outer = list(zip(self._dimensions, _strides(self.source, item_bytes), self.source, strict=True))
        while outer:
            dimension, stride, _ = outer[-1]
            gap = abs(dimension.step) * stride - (high - low)
            if dimension.count > 1 and gap >= granule_bytes:
                break
            outer.pop()
            low += _lowest(dimension) * stride
            high += (_lowest(dimension) + (dimension.count - 1) * abs(dimension.step)) * stride
        yield from _shifted(_offsets(outer), low, high - low)


def read_index(text: str, shape: tuple[int, ...], *, pointer: str = "/index") -> Index:
    """Reads an index and fits it to `shape`. Raises Unprocessable (`bad-index`) naming the part and the size."""
    return fit_index(parse_index(text, pointer=pointer), shape, pointer=pointer)


def parse_index(text: str, *, pointer: str = "/index") -> tuple[Item, ...]:
    """Reads the parts of an index: integers, slices, `...` and `None`. Raises Unprocessable (`bad-index`)."""
    if len(text) > LONGEST:
        raise in_place(pointer, f"an index has at most {LONGEST} characters", code="bad-index")
    if "[" in text or "]" in text:  # x[[0, 1]] is another thing than x[0, 1]; which was meant is not to be guessed
        raise in_place(pointer, "an index is written without brackets, as in 0, 1 or 0:2", code="bad-index")
    parts = text.split(",")
    if len(parts) > 1 and not parts[-1].strip():
        parts.pop()  # "0," is one part, as in Python
    items = tuple(_parse_part(part.strip(), position, pointer) for position, part in enumerate(parts, 1))
    if items.count(...) > 1:
        raise _bad(pointer, len(parts), "'...' may stand once only")
    if items.count(None) > MOST_NEW_AXES:
        raise _bad(pointer, len(parts), f"None may stand {MOST_NEW_AXES} times")
    return items


def fit_index(items: tuple[Item, ...], shape: tuple[int, ...], *, pointer: str = "/index") -> Index:
    """Checks the parts of an index against a shape. Raises Unprocessable (`bad-index`)."""
    used = sum(item is not None and item is not ... for item in items)
    if used > len(shape):
        message = f"the index has {used} parts and the tensor {len(shape)} dimensions"
        raise in_place(pointer, message, code="bad-index")
    everything = [slice(None)] * (len(shape) - used)
    if ... in items:
        middle = items.index(...)
        full = [*items[:middle], *everything, *items[middle + 1 :]]
    else:
        full = [*items, *everything]
    return _fit(full, shape, pointer)


def _fit(full: list[Item], shape: tuple[int, ...], pointer: str) -> Index:
    dimensions: list[_Dimension] = []
    taken: list[int | slice | None] = []
    sizes: list[int] = []
    flips: list[int] = []
    for item in full:
        if item is None:
            taken.append(None)
            sizes.append(1)
            continue
        size = shape[len(dimensions)]
        if isinstance(item, int):
            if not -size <= item < size:
                message = f"{item} is out of range for dimension {len(dimensions)}, which has size {size}"
                raise in_place(pointer, message, code="bad-index")
            position = item % size
            dimensions.append(_Dimension(position, 1, 1, kept=False))
            taken.append(position)
            continue
        assert isinstance(item, slice)
        start, stop, step = item.indices(size)
        dimension = _Dimension(start, step, len(range(start, stop, step)), kept=True)
        if step < 0:
            flips.append(len(sizes))
        dimensions.append(dimension)
        taken.append(_ascending(dimension))
        sizes.append(dimension.count)
    return Index(tuple(taken), tuple(flips), tuple(sizes), shape, tuple(dimensions))


def _parse_part(part: str, position: int, pointer: str) -> Item:
    if part == "...":
        return ...
    if part == "None":
        return None
    if ":" not in part:
        return _parse_integer(part, position, pointer)
    bounds = part.split(":")
    if len(bounds) > 3:
        raise _bad(pointer, position, f"'{part[:40]}' has more than two colons")
    start, stop, step = [
        None if bound.strip() in ("", "None") else _parse_integer(bound.strip(), position, pointer)
        for bound in [*bounds, ""][:3]
    ]
    if step == 0:
        raise _bad(pointer, position, "the step of a slice may not be 0")
    return slice(start, stop, step)


def _parse_integer(text: str, position: int, pointer: str) -> int:
    if not _INTEGER.fullmatch(text):
        shown = f"'{text[:40]}'" if text else "nothing"
        message = f"{shown} stands where an integer, a slice such as 1:3, '...' or None was expected"
        raise _bad(pointer, position, message)
    value = int(text)
    if not _LOWEST <= value <= _HIGHEST:
        raise _bad(pointer, position, f"{text} does not fit into 64 bits")
    return value


def _bad(pointer: str, position: int, message: str) -> Unprocessable:
    return in_place(pointer, f"part {position} of the index: {message}", code="bad-index")


def _ascending(dimension: _Dimension) -> slice:
    if dimension.count == 0:
        return slice(0, 0, 1)
    low = _lowest(dimension)
    step = abs(dimension.step)
    return slice(low, low + (dimension.count - 1) * step + 1, step)


def _lowest(dimension: _Dimension) -> int:
    return dimension.start if dimension.step > 0 else dimension.start + (dimension.count - 1) * dimension.step


def _strides(shape: tuple[int, ...], item_bytes: int) -> list[int]:
    strides = [item_bytes] * len(shape)
    for position in range(len(shape) - 2, -1, -1):
        strides[position] = strides[position + 1] * shape[position + 1]
    return strides


def _offsets(outer: list[tuple[_Dimension, int, int]]) -> Iterator[int]:
    """Byte offsets of all combinations of the outer dimensions' elements, ascending."""
    if not outer:
        yield 0
        return
    *further, (dimension, stride, _) = outer
    low, step = _lowest(dimension), abs(dimension.step)
    for offset in _offsets(further):
        for number in range(dimension.count):
            yield offset + (low + number * step) * stride


def _shifted(offsets: Iterator[int], shift: int, run: int) -> Iterator[tuple[int, int]]:
    for offset in offsets:
        yield offset + shift, offset + shift + run
