"""Paints a drawing as PNG, with Pillow and the font that comes with it: nothing of the system is needed.

It is painted larger than it is and then made smaller, which smooths its edges. Called by who answers with charts.
"""

import io
from functools import lru_cache
from itertools import pairwise

from PIL import Image, ImageDraw, ImageFont

from app.pictures.shapes import PAPER, Box, Drawing, Line, Text
from app.pictures.svg import arrow_head

MEDIA_TYPE = "image/png"
SCALE = 2  # pixels of the picture for one of the drawing: for screens of today
FINER = 2  # how much larger it is painted
DASH = (5.0, 4.0)
_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}


def write_png(drawing: Drawing) -> bytes:
    """The drawing as a PNG file, `SCALE` pixels to one of the drawing."""
    zoom = SCALE * FINER
    image = Image.new("RGB", (round(drawing.width * zoom), round(drawing.height * zoom)), PAPER)
    brush = ImageDraw.Draw(image)
    for shape in drawing.shapes:
        if isinstance(shape, Box):
            _box(brush, shape, zoom)
        elif isinstance(shape, Line):
            _line(brush, shape, zoom)
        else:
            _text(brush, shape, zoom)
    small = image.resize((round(drawing.width * SCALE), round(drawing.height * SCALE)), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.save(file, "png", optimize=True)
    return file.getvalue()


def _box(brush: ImageDraw.ImageDraw, box: Box, zoom: int) -> None:
    corners = (box.x * zoom, box.y * zoom, (box.x + box.width) * zoom, (box.y + box.height) * zoom)
    width = max(1, round(box.stroke_width * zoom)) if box.stroke else 0
    brush.rounded_rectangle(corners, box.radius * zoom, fill=box.fill, outline=box.stroke, width=width)


def _line(brush: ImageDraw.ImageDraw, line: Line, zoom: int) -> None:
    points = [(x * zoom, y * zoom) for x, y in line.points]
    width = max(1, round(line.width * zoom))
    if line.dashed:
        for start, end in pairwise(points):
            _dashes(brush, start, end, line.stroke, width, zoom)
    else:
        brush.line(points, fill=line.stroke, width=width, joint="curve")
    if line.arrow:
        brush.polygon([(x * zoom, y * zoom) for x, y in arrow_head(line)], fill=line.stroke)


def _dashes(
    brush: ImageDraw.ImageDraw, start: tuple[float, float], end: tuple[float, float], color: str, width: int, zoom: int
) -> None:
    length = ((end[0] - start[0]) ** 2 + (end[1] - start[1]) ** 2) ** 0.5
    on, off = DASH[0] * zoom, DASH[1] * zoom
    at = 0.0
    while at < length:
        stop = min(at + on, length)
        piece = [
            (start[0] + (end[0] - start[0]) * part / length, start[1] + (end[1] - start[1]) * part / length)
            for part in (at, stop)
        ]
        brush.line(piece, fill=color, width=width)
        at += on + off


def _text(brush: ImageDraw.ImageDraw, text: Text, zoom: int) -> None:
    font = _font(round(text.size * zoom))
    weight = round(0.03 * text.size * zoom) if text.bold else 0
    brush.text(
        (text.x * zoom, text.y * zoom),
        text.text,
        fill=text.fill,
        font=font,
        anchor=_ANCHORS[text.anchor],
        stroke_width=weight,
    )


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
