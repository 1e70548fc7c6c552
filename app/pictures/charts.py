"""Charts: a histogram, and curves over steps or epochs. Pure: numbers and words in, a drawing out.

Called by the worker (histograms of parameters) and by what shows how a training went.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from app.pictures.shapes import FAINT, INK, SERIES, SOFT, TEAL, Box, Drawing, Line, Shape, Text, cut, text_width

WIDTH, HEIGHT = 720.0, 416.0
LEFT, RIGHT, TOP, BOTTOM = 72.0, 24.0, 80.0, 56.0
TICKS = 6
TITLE_LETTERS = 80


@dataclass(frozen=True)
class Curve:
    """One line of a chart; a point whose `y` is not finite leaves a gap."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class _Axes:
    """The plane of a chart: which numbers stand at its edges."""

    low_x: float
    high_x: float
    low_y: float
    high_y: float

    def x(self, value: float) -> float:
        return LEFT + _share(value, self.low_x, self.high_x) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - _share(value, self.low_y, self.high_y) * (HEIGHT - TOP - BOTTOM)


def _share(value: float, low: float, high: float) -> float:
    """Where `value` lies from `low` (0) to `high` (1); they may be as far apart as floats are."""
    scale = max(abs(low), abs(high))
    low, high, value = low / scale, high / scale, value / scale
    return (value - low) / (high - low)


def draw_histogram(title: str, subtitle: str, counts: Sequence[int], edges: Sequence[float]) -> Drawing:
    """Bars over `edges` (one more than `counts`), each as high as its count."""
    highest = max(counts, default=0)
    axes = _Axes(edges[0], edges[-1], 0.0, float(highest or 1))
    shapes = _frame(axes, title, subtitle, "value", "count", whole_y=True)
    for count, first, last in zip(counts, edges, edges[1:], strict=False):
        if count:
            x, y = axes.x(first), axes.y(count)
            hint = f"{format_number(first)} to {format_number(last)}: {count}"
            width = max(axes.x(last) - x - (1.0 if len(counts) <= 128 else 0.0), 0.5)
            shapes.append(Box(x, y, width, axes.y(0) - y, fill=TEAL, hint=hint))
    if not highest:
        shapes.append(Text(WIDTH / 2, HEIGHT / 2, "no finite values", 14, SOFT, "middle"))
    return Drawing(WIDTH, HEIGHT, f"{title}. {subtitle}", tuple(shapes))


def draw_curves(title: str, subtitle: str, curves: Sequence[Curve], x_label: str, y_label: str) -> Drawing:
    """Curves in one plane, named above it."""
    points = [(x, y) for curve in curves for x, y in curve.points if math.isfinite(x) and math.isfinite(y)]
    low_x, high_x = _span([x for x, _ in points])
    low_y, high_y = _span([y for _, y in points])
    margin = (high_y - low_y) * 0.05
    axes = _Axes(low_x, high_x, low_y - margin, high_y + margin)
    shapes = _frame(axes, title, subtitle, x_label, y_label)
    at = LEFT
    for number, curve in enumerate(curves):
        color = SERIES[number % len(SERIES)]
        for run in _runs(curve.points):
            placed = tuple((axes.x(x), axes.y(y)) for x, y in run)
            if len(placed) > 1:
                shapes.append(Line(placed, color, 1.8))
            else:
                shapes.append(Box(placed[0][0] - 2.5, placed[0][1] - 2.5, 5, 5, fill=color, radius=2.5))
        if len(curves) > 1:
            name = cut(curve.name, 24)
            shapes += [Box(at, TOP - 14, 12, 4, fill=color), Text(at + 17, TOP - 9, name, 11, SOFT)]
            at += 34 + text_width(name, 11)
    if not points:
        shapes.append(Text(WIDTH / 2, HEIGHT / 2, "nothing to show yet", 14, SOFT, "middle"))
    return Drawing(WIDTH, HEIGHT, f"{title}. {subtitle}", tuple(shapes))


def _span(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    if high > low and math.isfinite(high - low):
        return low, high
    reach = abs(low) * 0.1 or 0.5
    return low - reach, low + reach


def _runs(points: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """The points without those that are not finite, cut where one was."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if math.isfinite(x) and math.isfinite(y):
            runs[-1].append((x, y))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _frame(axes: _Axes, title: str, subtitle: str, x_label: str, y_label: str, *, whole_y: bool = False) -> list[Shape]:
    """Titles, axes with their numbers, and lines across."""
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    shapes: list[Shape] = [
        Text(LEFT, 26, cut(title, TITLE_LETTERS), 16, INK, bold=True),
        Text(LEFT, 45, cut(subtitle, TITLE_LETTERS + 30), 12, SOFT),
    ]
    for value in ticks(axes.low_y, axes.high_y, TICKS, whole=whole_y):
        y = axes.y(value)
        shapes.append(Line(((LEFT, y), (right, y)), FAINT, 1))
        shapes.append(Text(LEFT - 8, y + 4, format_number(value), 11, SOFT, "end"))
    for value in ticks(axes.low_x, axes.high_x, TICKS):
        x = axes.x(value)
        shapes.append(Line(((x, bottom), (x, bottom + 5)), SOFT, 1))
        shapes.append(Text(x, bottom + 19, format_number(value), 11, SOFT, "middle"))
    shapes.append(Line(((LEFT, bottom), (right, bottom)), SOFT, 1))
    shapes.append(Text((LEFT + right) / 2, HEIGHT - 14, cut(x_label, TITLE_LETTERS), 12, SOFT, "middle"))
    shapes.append(Text(LEFT - 8, TOP - 9, cut(y_label, 12), 12, SOFT, "end"))
    return shapes


def ticks(low: float, high: float, most: int, *, whole: bool = False) -> list[float]:
    """Round numbers from `low` to `high`, about `most` of them: multiples of 1, 2 or 5 times a power of ten."""
    span = high - low
    rough = span / most
    if not (rough > 0 and math.isfinite(rough)):
        return []
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((power * factor for factor in (1, 2, 5) if power * factor >= rough), power * 10)
    if whole:
        step = max(1.0, math.ceil(step))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, min(last, first + 4 * most) + 1)]


def format_number(value: float) -> str:
    """A number in few letters: `0.05`, `1,200`, `3e-07`."""
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e6:
        return f"{value:,.6g}"
    return f"{value:.3g}"
