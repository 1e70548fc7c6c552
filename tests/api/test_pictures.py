"""Pictures over HTTP: histograms as SVG and PNG, beside the numbers that they show."""

import io
import xml.etree.ElementTree as ET

import pytest
from PIL import Image

from tests.api.problem import check_problem

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def path(service) -> str:
    layers = {"type": "Sequential", "layers": {"a <b>&": "Linear(4, 8)", "out": "Linear(8, 2)"}}
    reply = service.post("/v1/networks", json={"name": "pictured", "architecture": layers, "seed": 3})
    assert reply.status_code == 201, reply.text
    return "/v1/networks/pictured"


def hints(picture: ET.Element) -> list[str]:
    return [title.text or "" for box in picture.iter(f"{SVG}rect") for title in box.iter(f"{SVG}title")]


@pytest.mark.parametrize("asked", [{"params": {"format": "svg"}}, {"headers": {"accept": "image/svg+xml"}}])
def test_a_histogram_drawn_as_svg_shows_the_counts(service, path, asked):
    address = f"{path}/parameters/a%20%3Cb%3E%26.weight/histogram"
    counts = service.get(address, params={"bins": 8}).json()["counts"]
    asked.setdefault("params", {})["bins"] = 8
    reply = service.get(address, **asked)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "image/svg+xml"
    assert reply.headers["etag"] == '"1"'
    picture = ET.fromstring(reply.content)
    assert [int(hint.rpartition(": ")[2]) for hint in hints(picture)] == [count for count in counts if count]
    assert any(text.text == "a <b>&.weight" for text in picture.iter(f"{SVG}text"))


def test_a_histogram_drawn_as_png_is_a_picture(service, path):
    reply = service.get(f"{path}/parameters/out.bias/histogram", params={"format": "png", "index": ":1"})
    assert reply.headers["content-type"] == "image/png"
    picture = Image.open(io.BytesIO(reply.content))
    assert picture.width > picture.height > 400
    assert len(picture.convert("RGB").getcolors(10**6)) > 10


def test_the_numbers_of_a_histogram_are_given_where_no_picture_is_asked_for(service, path):
    for accept in ("*/*", "application/json", "image/png;q=0.5, application/json"):
        reply = service.get(f"{path}/parameters/out.bias/histogram", headers={"accept": accept})
        assert reply.headers["content-type"] == "application/json"
    check_problem(service.get(f"{path}/parameters/out.bias/histogram?format=npy"), 406, "not-acceptable")


def test_a_histogram_of_numbers_as_large_as_doubles_are_is_counted(service):
    made = service.post(
        "/v1/networks",
        json={
            "architecture": {
                "parameters": {"w": "tensor([1.5, -1.5, 0.])"},
                "inputs": ["x"],
                "forward": "return x * w",
            },
            "dtype": "float64",
        },
    )
    path = f"/v1/networks/{made.json()['name']}/parameters/w"
    assert service.patch(path, json={"edits": [{"index": ":", "expression": "param * 1e308"}]}).status_code == 200
    reply = service.get(f"{path}/histogram", params={"bins": 3}).json()
    assert reply["counts"] == [1, 1, 1]
    assert reply["edges"][0] == reply["min"] == -1.5e308
    assert (reply["mean"], reply["std"]) == (0.0, 1.5e308)
    assert service.get(f"{path}/histogram", params={"bins": 3, "format": "svg"}).status_code == 200


# --- diagrams ---


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ({}, "image/svg+xml"),
        ({"headers": {"accept": "image/svg+xml,*/*;q=0.1"}}, "image/svg+xml"),
        ({"params": {"format": "mermaid"}}, "text/vnd.mermaid; charset=utf-8"),
        ({"headers": {"accept": "text/vnd.mermaid"}}, "text/vnd.mermaid; charset=utf-8"),
        ({"headers": {"accept": "text/plain"}}, "text/plain; charset=utf-8"),
    ],
)
def test_a_diagram_comes_as_svg_or_as_text(service, path, asked, kind):
    reply = service.get(f"{path}/diagram", **asked)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == kind
    assert reply.headers["etag"] == '"1"'
    if kind == "image/svg+xml":
        words = [text.text for text in ET.fromstring(reply.content).iter(f"{SVG}text")]
        assert "a <b>&: Linear" in words
        assert "pictured" in words
    else:
        assert reply.text.startswith("flowchart TB\n")
        assert "a #60;b#62;#38;: Linear" in reply.text


@pytest.mark.parametrize("shapes", ["[3, 4]", '{"input": [3, 4]}', '{"input": {"shape": [3, 4], "dtype": "float32"}}'])
def test_a_diagram_says_which_shapes_go_along_its_edges(service, path, shapes):
    text = service.get(f"{path}/diagram", params={"format": "mermaid", "input_shapes": shapes}).text
    for shape in ("[3, 4]", "[3, 8]", "[3, 2]"):
        assert f'-->|"{shape}"|' in text


def test_one_module_of_a_network_is_drawn_by_its_path(service):
    layers = [["Linear(2, 3)", "Tanh()"], "Linear(3, 1)"]
    name = service.post("/v1/networks", json={"architecture": layers}).json()["name"]
    whole = service.get(f"/v1/networks/{name}/diagram", params={"format": "mermaid"}).text
    closed = service.get(f"/v1/networks/{name}/diagram", params={"format": "mermaid", "depth": 1}).text
    part = service.get(f"/v1/networks/{name}/diagram", params={"format": "mermaid", "path": "[0]"}).text
    assert ("subgraph" in whole, "subgraph" in closed, "subgraph" in part) == (True, False, False)
    assert "0: Linear" in part
    assert "1: Linear" not in part
    check_problem(service.get(f"/v1/networks/{name}/diagram", params={"path": "9"}), 404, "not-found")


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"input_shapes": "[2, 7]"}, 422, "shape-mismatch"),
        ({"input_shapes": "2, 4"}, 422, "bad-query"),
        ({"input_shapes": "[2, 4.5]"}, 422, "bad-query"),
        ({"input_shapes": '{"x": {"shape": [1], "type": 2}}'}, 422, "bad-query"),
        ({"input_shapes": '{"nobody": [2, 4]}'}, 422, "unknown-name"),
        ({"input_shapes": "[1000000000, 1000000000, 4]"}, 422, "limit-exceeded"),
        ({"depth": 0}, 422, "invalid-request"),
        ({"format": "png"}, 406, "not-acceptable"),
        ({"shape": "[2, 4]"}, 422, "unknown-key"),
    ],
)
def test_what_cannot_be_drawn_is_told(service, path, query, status, code):
    check_problem(service.get(f"{path}/diagram", params=query), status, code)
