"""Writes a drawing as SVG. Every text is escaped, so that a name can be nothing but a name."""

import re
from html import escape

from app.pictures.shapes import PAPER, Box, Drawing, Line, Shape, Text

MEDIA_TYPE = "image/svg+xml"
NAMESPACE = "http://www.w3.org/2000/svg"
FONT = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
HEAD = 7.0  # length of an arrow's head
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_svg(drawing: Drawing) -> bytes:
    """The drawing as a whole SVG document, UTF-8, without scripts, links or anything from elsewhere."""
    width, height = _number(drawing.width), _number(drawing.height)
    size, title = f'width="{width}" height="{height}"', _text(drawing.title)
    parts = [
        f'<svg xmlns="{NAMESPACE}" {size} viewBox="0 0 {width} {height}" role="img" font-family="{FONT}">',
        f"<title>{title}</title>",
        f'<rect {size} fill="{PAPER}"/>',
        *map(_shape, drawing.shapes),
        "</svg>\n",
    ]
    return "\n".join(parts).encode()


def _shape(shape: Shape) -> str:
    if isinstance(shape, Box):
        return _box(shape)
    if isinstance(shape, Line):
        return _line(shape)
    return _words(shape)


def _box(box: Box) -> str:
    place = f'x="{_number(box.x)}" y="{_number(box.y)}" width="{_number(box.width)}" height="{_number(box.height)}"'
    radius = f' rx="{_number(box.radius)}"' if box.radius else ""
    stroke = ""
    if box.stroke:
        stroke = f' stroke="{box.stroke}" stroke-width="{_number(box.stroke_width)}"{_dashes(box.dashed)}'
    start = f'<rect {place}{radius} fill="{box.fill or "none"}"{stroke}'
    return f"{start}/>" if box.hint is None else f"{start}><title>{_text(box.hint)}</title></rect>"


def _line(line: Line) -> str:
    points = " ".join(f"{_number(x)},{_number(y)}" for x, y in line.points)
    drawn = (
        f'<polyline points="{points}" fill="none" stroke="{line.stroke}" stroke-width="{_number(line.width)}" '
        f'stroke-linejoin="round"{_dashes(line.dashed)}/>'
    )
    if not line.arrow:
        return drawn
    corners = " ".join(f"{_number(x)},{_number(y)}" for x, y in arrow_head(line))
    return f'{drawn}<polygon points="{corners}" fill="{line.stroke}"/>'


def arrow_head(line: Line) -> tuple[tuple[float, float], ...]:
    """The three corners of the head at the end of a line."""
    (x0, y0), (x1, y1) = line.points[-2:]
    length = max(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5, 1e-6)
    dx, dy = (x1 - x0) / length * HEAD, (y1 - y0) / length * HEAD
    return (x1, y1), (x1 - dx + dy / 2, y1 - dy - dx / 2), (x1 - dx - dy / 2, y1 - dy + dx / 2)


def _words(text: Text) -> str:
    bold = ' font-weight="600"' if text.bold else ""
    anchor = "" if text.anchor == "start" else f' text-anchor="{text.anchor}"'
    apart = f' stroke="{PAPER}" stroke-width="4" paint-order="stroke"' if text.apart else ""
    place = f'x="{_number(text.x)}" y="{_number(text.y)}" font-size="{_number(text.size)}"'
    return f'<text {place} fill="{text.fill}"{anchor}{bold}{apart}>{_text(text.text)}</text>'


def _dashes(dashed: bool) -> str:
    return ' stroke-dasharray="5 4"' if dashed else ""


def _text(text: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", text))


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
