"""Diagrams on a sheet and in Mermaid's language."""

import itertools
import random
import re
import xml.etree.ElementTree as ET

import pytest

from app.pictures.flowchart import draw_diagram
from app.pictures.graph import Diagram, Edge, Graph, Node
from app.pictures.layers import place
from app.pictures.mermaid import escape_label, write_mermaid
from app.pictures.shapes import Box, Line
from app.pictures.svg import write_svg

NASTY = 'a"]-->b["<img src=x onerror=alert(1)>&#35; end\nsubgraph ;%%{init}%% `x` \u202e\ud800'


def node(name: str, kind: str = "layer", inside: Graph | None = None, **more: object) -> Node:
    return Node(name, kind, (name,), inside, **more)


def chain(*names: str) -> Graph:
    return Graph(tuple(map(node, names)), tuple(Edge(a, b) for a, b in itertools.pairwise(names)))


@pytest.mark.parametrize("seed", range(8))
def test_boxes_keep_apart_and_edges_go_down(seed):
    chance = random.Random(seed)
    sizes = {f"n{n}": (chance.uniform(10, 200), chance.uniform(10, 90)) for n in range(30)}
    edges = [(f"n{a}", f"n{b}") for a in range(30) for b in range(a + 1, 30) if chance.random() < 0.08]
    placed = place(sizes, edges, late=["n3"])
    boxes = [(*placed.corners[name], *size) for name, size in sizes.items()]
    for (x0, y0, w0, h0), (x1, y1, w1, h1) in itertools.combinations(boxes, 2):
        assert x0 + w0 <= x1 + 1e-6 or x1 + w1 <= x0 + 1e-6 or y0 + h0 <= y1 + 1e-6 or y1 + h1 <= y0 + 1e-6
    for x, y, w, h in boxes:
        assert -1e-6 <= x <= x + w <= placed.width + 1e-6
        assert -1e-6 <= y <= y + h <= placed.height + 1e-6
    for (source, target), path in zip(edges, placed.paths, strict=True):
        assert path[0][1] == pytest.approx(placed.corners[source][1] + sizes[source][1])
        assert path[-1][1] == pytest.approx(placed.corners[target][1])
        assert all(upper[1] <= lower[1] + 1e-6 for upper, lower in itertools.pairwise(path))
        for x, y, w, h in boxes:  # an edge passes beside boxes, never through one
            for (x0, y0), (x1, y1) in itertools.pairwise(path):
                if abs(x0 - x1) < 1e-6 and x + 1 < x0 < x + w - 1:
                    assert y1 <= y + 1e-6 or y0 >= y + h - 1e-6


def test_a_box_holds_all_that_is_inside_it():
    inner = chain("p", "q")
    graph = Graph((node("a"), node("m", "module", inner), node("z")), (Edge("a", "m"), Edge("m", "z", "[2, 20]")))
    drawing = draw_diagram(Diagram("net", graph, ("a note",)))
    boxes = {shape.hint: shape for shape in drawing.shapes if isinstance(shape, Box)}
    outside = boxes["m"]
    for name in ("p", "q"):
        inside = boxes[name]
        assert outside.x < inside.x < inside.x + inside.width < outside.x + outside.width
        assert outside.y < inside.y < inside.y + inside.height < outside.y + outside.height
    assert boxes["a"].y + boxes["a"].height < outside.y < outside.y + outside.height < boxes["z"].y
    svg = write_svg(drawing).decode()
    assert ">[2, 20]</text>" in svg
    assert ">a note</text>" in svg


def test_the_way_back_of_a_loop_is_dashed_and_ends_where_it_began():
    graph = Graph((node("x", "input"), node("y", "output")), (Edge("x", "y"), Edge("y", "x", back=True)))
    loop = Graph((node("loop", "loop", graph),), ())
    back = [shape for shape in draw_diagram(Diagram("net", loop)).shapes if isinstance(shape, Line) and shape.dashed]
    assert len(back) == 1
    assert back[0].points[0][1] > back[0].points[-1][1]


def test_shared_and_stacked_boxes_look_different():
    plain = write_svg(draw_diagram(Diagram("net", chain("a"))))
    assert plain != write_svg(draw_diagram(Diagram("net", Graph((node("a", shared=True),), ()))))
    stacked = draw_diagram(Diagram("net", Graph((node("a", count=4),), ())))
    assert sum(isinstance(shape, Box) for shape in stacked.shapes) == 3


def test_a_name_in_a_drawing_is_never_markup():
    graph = Graph((Node("n1", "layer", (NASTY, NASTY)),), (Edge("n1", "n1", NASTY, back=True),))
    root = ET.fromstring(write_svg(draw_diagram(Diagram(NASTY, graph, (NASTY,)))))
    kinds = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert kinds <= {"svg", "title", "rect", "polyline", "polygon", "text"}
    assert not any(name.startswith("on") or "href" in name for element in root.iter() for name in element.attrib)


def test_mermaid_says_nodes_edges_and_what_is_inside_what():
    inner = chain("p", "q")
    graph = Graph((node("a", shared=True), node("m", "module", inner, count=3)), (Edge("a", "m", "[2, 20]"),))
    text = write_mermaid(Diagram("net", graph, ("a note",))).decode()
    assert text.splitlines()[:11] == [
        "flowchart TB",
        "  %% net",
        "  %% a note",
        '  a["a"]',
        "  class a shared",
        '  subgraph m["m x 3"]',
        '    p["p"]',
        '    q["q"]',
        "    p --> q",
        "  end",
        '  a -->|"[2, 20]"| m',
    ]


def test_a_name_in_mermaid_is_never_syntax():
    graph = Graph((Node("n1", "layer", (NASTY,)), node("n2")), (Edge("n1", "n2", NASTY),))
    lines = write_mermaid(Diagram(NASTY, graph, (NASTY,))).decode().splitlines()
    assert sum("-->" in line for line in lines) == 1
    quoted = [text for line in lines for text in re.findall(r'"([^"]*)"', line)]
    assert len(quoted) == 3
    for line in lines:
        assert line.count('"') in (0, 2)
        assert not set(line) & set("`<>") - set(re.sub(r'"[^"]*"', "", line))
    assert not any("%%{" in line for line in lines)


def test_letters_of_any_language_stay_readable_in_mermaid():
    assert escape_label("größe 层 x") == "größe 层 x"
    assert escape_label('"<#;') == "#34;#60;#35;#59;"
