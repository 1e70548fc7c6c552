"""Charts as drawings, and drawings as files that other programs read."""

import io
import math
import xml.etree.ElementTree as ET

import pytest
from PIL import Image

from app.pictures.charts import Curve, draw_curves, draw_histogram, format_number, ticks
from app.pictures.png import SCALE, write_png
from app.pictures.shapes import TEAL, Box, Drawing, Text
from app.pictures.svg import write_svg

SVG = "{http://www.w3.org/2000/svg}"


def bars(drawing: Drawing) -> list[Box]:
    return [shape for shape in drawing.shapes if isinstance(shape, Box) and shape.hint]


def test_a_histogram_has_a_bar_for_each_count_as_high_as_it_is():
    drawing = draw_histogram("weight", "float32", [1, 0, 4, 2], [0.0, 0.25, 0.5, 0.75, 1.0])
    heights = [bar.height for bar in bars(drawing)]
    assert len(heights) == 3
    assert heights[1] == pytest.approx(4 * heights[0])
    assert heights[2] == pytest.approx(2 * heights[0])
    assert [bar.hint for bar in bars(drawing)] == ["0 to 0.25: 1", "0.5 to 0.75: 4", "0.75 to 1: 2"]


def test_a_histogram_of_nothing_says_so():
    drawing = draw_histogram("weight", "", [0, 0], [0.0, 0.5, 1.0])
    assert "no finite values" in [shape.text for shape in drawing.shapes if isinstance(shape, Text)]


@pytest.mark.parametrize("edges", [[-1.7e308, 0.0, 1.7e308], [0.0, 5e-324, 1e-323], [1e16, 1e16 + 2, 1e16 + 4]])
def test_numbers_as_far_apart_or_as_near_as_floats_are_stay_on_the_sheet(edges):
    drawing = draw_histogram("weight", "", [3, 1], edges)
    assert len(bars(drawing)) == 2
    for bar in bars(drawing):
        assert 0 <= bar.x <= bar.x + bar.width <= drawing.width
    write_svg(drawing)
    write_png(drawing)


def test_curves_leave_a_gap_where_a_loss_was_not_finite():
    curve = Curve("loss", [(0, 3.0), (1, 2.0), (2, math.nan), (3, 1.0), (4, 0.5)])
    svg = write_svg(draw_curves("Loss", "", [curve], "epoch", "loss")).decode()
    assert svg.count(f'stroke="{TEAL}"') == 2
    assert "nan" not in svg


@pytest.mark.parametrize("points", [[], [(0, 1.0)], [(0, 2.0), (1, 2.0)], [(0, math.inf)]])
def test_curves_of_few_points_are_drawn_or_told(points):
    drawing = draw_curves("Loss", "", [Curve("a", points), Curve("b", points)], "epoch", "loss")
    assert ET.fromstring(write_svg(drawing)).tag == f"{SVG}svg"
    write_png(drawing)


def test_names_are_text_in_a_picture_whatever_they_hold():
    name = "<script>alert(1)</script>&\"'\x00\ud800]]>"
    root = ET.fromstring(write_svg(draw_histogram(name, name, [1], [0.0, 1.0])))
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {"svg", "title", "rect", "polyline", "text"}
    words = [element.text or "" for element in root.iter(f"{SVG}text")]
    assert any(text.startswith("<script>alert(1)</script>&") for text in words)


def test_a_png_is_painted_at_the_scale_of_screens():
    drawing = draw_histogram("weight", "float32", [1, 4, 2], [0.0, 1.0, 2.0, 3.0])
    image = Image.open(io.BytesIO(write_png(drawing)))
    assert image.format == "PNG"
    assert image.size == (drawing.width * SCALE, drawing.height * SCALE)
    middle = bars(drawing)[1]
    at = (round((middle.x + middle.width / 2) * SCALE), round((middle.y + middle.height / 2) * SCALE))
    assert "#{:02x}{:02x}{:02x}".format(*image.getpixel(at)) == TEAL


def test_ticks_are_round_numbers_within():
    assert ticks(0, 10, 5) == [0, 2, 4, 6, 8, 10]
    assert ticks(-0.013, 0.021, 6) == pytest.approx([-0.01, 0, 0.01, 0.02])
    assert ticks(0, 3, 6, whole=True) == [0, 1, 2, 3]
    assert ticks(1.0, 1.0, 6) == []


@pytest.mark.parametrize(
    ("value", "words"), [(0, "0"), (0.05, "0.05"), (1200, "1,200"), (3e-7, "3e-07"), (-2.5, "-2.5"), (1e9, "1e+09")]
)
def test_numbers_are_written_in_few_letters(value, words):
    assert format_number(value) == words
