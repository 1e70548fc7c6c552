"""Draws a diagram: each graph is placed by itself, the innermost first, and is then one box of the graph around.

Called by the worker. Knows how a kind of node looks, nothing of networks.
"""

from dataclasses import dataclass

from app.pictures.graph import Diagram, Edge, Graph, Kind, Node
from app.pictures.layers import Placed, place
from app.pictures.shapes import (
    AMBER,
    DEEP,
    INK,
    LEAF,
    PAPER,
    SAND,
    SOFT,
    TEAL,
    WASH,
    Box,
    Drawing,
    Line,
    Shape,
    Text,
    cut,
    text_width,
)

MARGIN = 28.0
PADDING = 18.0
TITLE_HEIGHT = 26.0
LINE_HEIGHT = 16.0
TITLE_SIZE, SIZE, LABEL_SIZE = 13.0, 11.0, 10.5
LINE_LETTERS, NOTE_LETTERS = 60, 110
LABEL_GAP = 6.0
DOT = 9.0  # an input or output that has no name
STACK = 4.0  # how far the boxes behind a stack look out
LOOP_SIDE = 34.0  # room for the way back of a loop


@dataclass(frozen=True)
class _Look:
    fill: str
    stroke: str
    radius: float
    dashed: bool = False


_LOOKS: dict[Kind, _Look] = {
    "input": _Look(DEEP, DEEP, 13),
    "output": _Look(DEEP, DEEP, 13),
    "layer": _Look(PAPER, TEAL, 6),
    "module": _Look(WASH, SOFT, 10),
    "loop": _Look(PAPER, DEEP, 10, dashed=True),
    "operation": _Look(LEAF, LEAF, 13),
    "value": _Look(SAND, AMBER, 3),
    "again": _Look(PAPER, AMBER, 6, dashed=True),
    "more": _Look(PAPER, PAPER, 0),
}


@dataclass(frozen=True)
class _Sized:
    """A graph with the size of each of its boxes, and those of the graphs inside them."""

    graph: Graph
    placed: Placed
    inside: dict[str, "_Sized"]
    sizes: dict[str, tuple[float, float]]
    turns_back: bool

    @property
    def width(self) -> float:
        return self.labels_end + (LOOP_SIDE if self.turns_back else 0.0)

    @property
    def labels_end(self) -> float:
        """The right edge of all boxes, edges and labels."""
        ends = [self.placed.width]
        for edge in self.graph.edges:
            middle = self.placed.corners[edge.source][0] + self.sizes[edge.source][0] / 2
            ends.append(middle + LABEL_GAP + text_width(edge.label, LABEL_SIZE))
        return max(ends)


def draw_diagram(diagram: Diagram) -> Drawing:
    """The whole diagram on one sheet, its notes at the foot."""
    sized = _size(diagram.graph)
    notes = [cut(note, NOTE_LETTERS) for note in diagram.notes]
    title = cut(diagram.title, LINE_LETTERS)
    widths = [sized.width, text_width(title, 16), *(text_width(note, SIZE) for note in notes)]
    width = max(widths) + 2 * MARGIN
    top = MARGIN + 30
    shapes: list[Shape] = [Text(MARGIN, MARGIN + 6, title, 16, INK, bold=True)]
    shapes += _draw(sized, (width - sized.width) / 2, top, depth=0)
    foot = top + sized.placed.height + MARGIN
    shapes += [Text(MARGIN, foot + LINE_HEIGHT * row, note, SIZE, SOFT) for row, note in enumerate(notes)]
    height = foot + LINE_HEIGHT * len(notes)
    return Drawing(width, height, " ".join([title, *notes]), tuple(shapes))


def _size(graph: Graph) -> _Sized:
    inside = {node.id: _size(node.inside) for node in graph.nodes if node.inside is not None}
    sizes = {node.id: _box_size(node, inside.get(node.id)) for node in graph.nodes}
    down = [(edge.source, edge.target) for edge in graph.edges if not edge.back]
    led_to = {target for _, target in down}
    late = [node.id for node in graph.nodes if node.id not in led_to and node.kind != "input"]
    turns_back = any(edge.back for edge in graph.edges)
    return _Sized(graph, place(sizes, down, late), inside, sizes, turns_back)


def _box_size(node: Node, inside: _Sized | None) -> tuple[float, float]:
    lines = _lines(node)
    if not any(lines):
        return DOT, DOT
    text = max(text_width(line, TITLE_SIZE if row == 0 else SIZE) * 1.06 for row, line in enumerate(lines))
    stack = STACK * 2 if node.count > 1 else 0.0
    if inside is not None:
        width = max(inside.width + 2 * PADDING, text + 2 * PADDING)
        return width, inside.placed.height + TITLE_HEIGHT + LINE_HEIGHT * (len(lines) - 1) + 2 * PADDING - 6 + stack
    height = 26.0 if len(lines) == 1 else 12 + LINE_HEIGHT * len(lines)
    return text + 24, height + stack


def _lines(node: Node) -> list[str]:
    title = node.lines[0] + (f"  x {node.count}" if node.count > 1 else "")
    return [cut(line, LINE_LETTERS) for line in (title, *node.lines[1:])]


def _draw(sized: _Sized, x: float, y: float, depth: int) -> list[Shape]:
    shapes: list[Shape] = []
    for node in sized.graph.nodes:
        left, top = sized.placed.corners[node.id]
        width, height = sized.sizes[node.id]
        shapes += _box(node, x + left, y + top, width, height, depth)
        if node.id in sized.inside:
            inner = sized.inside[node.id]
            below = y + top + TITLE_HEIGHT + LINE_HEIGHT * (len(node.lines) - 1) + PADDING - 8
            shapes += _draw(inner, x + left + (width - inner.width) / 2, below, depth + 1)
    down = [edge for edge in sized.graph.edges if not edge.back]
    labels: dict[str, Text] = {}
    for edge, path in zip(down, sized.placed.paths, strict=True):
        points = tuple((x + px, y + py) for px, py in path)
        shapes.append(Line(points, SOFT, 1.3, arrow=True))
        if edge.label:
            left, top = points[0]
            labels[edge.source] = Text(left + LABEL_GAP, top + 14, edge.label, LABEL_SIZE, SOFT, apart=True)
    shapes += labels.values()
    for number, edge in enumerate(edge for edge in sized.graph.edges if edge.back):
        shapes.append(_way_back(sized, edge, x, y, number))
    return shapes


def _way_back(sized: _Sized, edge: Edge, x: float, y: float, number: int) -> Line:
    """Out of the right side of the lower box and into the right side of the upper one."""
    ends = []
    for name in (edge.source, edge.target):
        left, top = sized.placed.corners[name]
        width, height = sized.sizes[name]
        ends.append((x + left + width, y + top + height / 2))
    side = x + sized.labels_end + 12 + 6 * (number % 4)
    (x0, y0), (x1, y1) = ends
    return Line(((x0, y0), (side, y0), (side, y1), (x1, y1)), DEEP, 1.2, dashed=True, arrow=True)


def _box(node: Node, x: float, y: float, width: float, height: float, depth: int) -> list[Shape]:
    look = _LOOKS[node.kind]
    lines = _lines(node)
    if not any(lines):
        return [Box(x, y, DOT, DOT, fill=SOFT, radius=DOT / 2)]
    stroke, thick = (AMBER, 2.4) if node.shared else (look.stroke, 1.3)
    fill = PAPER if node.kind == "module" and depth % 2 else look.fill
    shapes: list[Shape] = []
    if node.count > 1:
        height -= STACK * 2
        shapes += [
            Box(x + STACK * n, y + STACK * n, width - STACK * n, height, fill, stroke, thick, look.radius)
            for n in (2, 1)
        ]
    hint = " ".join(node.lines)
    shapes.append(Box(x, y, width, height, fill, stroke, thick, look.radius, look.dashed, hint))
    color = PAPER if node.kind in ("input", "output") else INK
    bold = node.kind in ("layer", "module")
    if node.inside is not None:
        shapes.append(Text(x + 12, y + 18, lines[0], TITLE_SIZE, color, bold=bold))
        shapes += [
            Text(x + 12, y + 18 + LINE_HEIGHT * row, line, SIZE, SOFT) for row, line in enumerate(lines[1:], start=1)
        ]
        return shapes
    middle = x + width / 2
    if len(lines) == 1:
        return [*shapes, Text(middle, y + height / 2 + 4.5, lines[0], 12, color, "middle", bold)]
    shapes.append(Text(middle, y + 19, lines[0], TITLE_SIZE, color, "middle", bold))
    shapes += [
        Text(middle, y + 19 + LINE_HEIGHT * row, line, SIZE, SOFT, "middle")
        for row, line in enumerate(lines[1:], start=1)
    ]
    return shapes
