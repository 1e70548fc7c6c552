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
