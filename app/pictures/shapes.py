"""What a picture is made of: boxes, lines and texts on a sheet, in pixels from its upper left corner.

Owns the colours and how wide a text is taken to be; `svg.py` and `png.py` write a drawing. Made by the charts and by
the layout of diagrams.
"""

import unicodedata
from dataclasses import dataclass
from typing import Literal

INK = "#1c2b36"
SOFT = "#5a6b77"
FAINT = "#dfe5e9"
PAPER = "#ffffff"
WASH = "#f5f8f9"
DEEP = "#173b57"
TEAL = "#11766a"
LEAF = "#e3f1ee"
SAND = "#fbf3df"
AMBER = "#b7791f"
SERIES = (TEAL, "#b7791f", "#3b6fb5", "#a23e6c", "#5f7d1f", "#6b5bb0")  # curves in one chart, one after another

NARROW = 0.56  # width of an average letter, in sizes of the font
WIDE = 1.0

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class Box:
    """A rectangle. `hint` is shown where a reader points at it."""

    x: float
    y: float
    width: float
    height: float
    fill: str | None = None
    stroke: str | None = None
    stroke_width: float = 1.0
    radius: float = 0.0
    dashed: bool = False
    hint: str | None = None


@dataclass(frozen=True)
class Line:
    """Straight pieces from point to point; `arrow` puts a head on the last one."""

    points: tuple[Point, ...]
    stroke: str = SOFT
    width: float = 1.2
    dashed: bool = False
    arrow: bool = False


@dataclass(frozen=True)
class Text:
    """One line of text; `y` is its baseline. `apart`: nothing behind comes near its letters (in SVG)."""

    x: float
    y: float
    text: str
    size: float = 12.0
    fill: str = INK
    anchor: Anchor = "start"
    bold: bool = False
    apart: bool = False


Shape = Box | Line | Text


@dataclass(frozen=True)
class Drawing:
    """A sheet with shapes, the first at the back. `title` says what it shows to who cannot see it."""

    width: float
    height: float
    title: str
    shapes: tuple[Shape, ...]


def text_width(text: str, size: float) -> float:
    """About how wide a text is in any usual font without serifs, in pixels."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return size * (wide * WIDE + (len(text) - wide) * NARROW)


def cut(text: str, most: int) -> str:
    """A text of at most `most` letters, on one line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"
