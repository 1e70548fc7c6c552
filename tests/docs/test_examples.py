"""Every example that the pages show is sent to a service, and must be answered as the text says."""

import json
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.docs.pages import PAGES, ROOT, Example, examples_of, rows_under
from tests.service import Service, start_service

README_ADDRESS = "http://127.0.0.1:8000"
JSON_PAGES = [page for page in PAGES if examples_of(page, "json")]


@pytest.fixture(scope="module")
def fresh_service(tmp_path_factory):
    with start_service(tmp_path_factory.mktemp("docs")) as service:
        yield service


def request_of(example: Example, last_network: str) -> tuple[str, dict]:
    """Where a JSON example goes, told by its keys: a network, a check, a library block, or a forward of the last."""
    body = json.loads(example.text)
    assert isinstance(body, dict), f"{example.place}: an example is a whole body"
    if "definition" in body:
        return "/v1/blocks", body
    if "inputs" in body and "architecture" not in body:
        return f"/v1/networks/{last_network}/forward", body
    assert "architecture" in body, f"{example.place}: nobody knows where this goes; show replies as ```text"
    return "/v1/architectures/check" if "input_shapes" in body else "/v1/networks", body


def assert_answered(example: Example, reply: httpx.Response) -> None:
    if example.problem is None:
        assert reply.status_code in (200, 201), f"{example.place}: {reply.text}"
        return
    status, code, pointer = example.problem
    found = reply.json()
    assert (reply.status_code, found.get("code")) == (status, code), f"{example.place}: {reply.text}"
    if pointer is not None:
        assert [error["pointer"] for error in found["errors"]] == [pointer], f"{example.place}: {reply.text}"


def shapes_in(reply: dict) -> dict[str, list[int]]:
    outputs = reply.get("outputs") or reply.get("output_shapes") or {}
    return {name: value["shape"] for name, value in outputs.items()}


@pytest.mark.parametrize("page", JSON_PAGES, ids=lambda page: page.name)
def test_every_json_example_is_answered_as_its_page_says(page, fresh_service: Service):
    last_network = ""
    with fresh_service.client() as client:
        for example in examples_of(page, "json"):
            path, body = request_of(example, last_network)
            reply = client.post(path, json=body)
            assert_answered(example, reply)
            if path == "/v1/networks" and reply.status_code == 201:
                last_network = reply.json()["name"]
            if example.outputs:
                assert shapes_in(reply.json()) == example.outputs, example.place


PASTED = ("batching", "files", "training", "jobs", "pictures", "portable", "inference")
CURL_PAGES = [ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in PASTED)]


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl is installed")
@pytest.mark.parametrize("page", CURL_PAGES, ids=lambda page: page.name)
def test_a_page_of_curl_lines_can_be_pasted_line_by_line(page, fresh_service: Service):
    paste(page, fresh_service)


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl is installed")
def test_the_page_on_devices_can_be_pasted_where_there_are_two(tmp_path):
    with start_service(tmp_path, "--devices", "cpu:0,cpu:1") as service:
        paste(ROOT / "docs" / "devices.md", service)


def paste(page: Path, service: Service) -> None:
    examples = [example for example in examples_of(page, "bash") if "curl" in example.text]
    assert len(examples) >= 3
    for example in examples:
        command = example.text.replace(README_ADDRESS, service.base_url)
        command = command.replace("curl -s", "curl -s -w '\\n%{http_code}'", 1)
        done = subprocess.run(["bash", "-euc", command], capture_output=True, text=True, timeout=180, check=True)
        body, _, status = done.stdout.rpartition("\n")
        if example.problem is None:
            assert status in ("200", "201", "202", "204", "206"), f"{example.place}: {body}"
        else:
            assert (int(status), json.loads(body)["code"]) == example.problem[:2], f"{example.place}: {body}"


def test_the_language_page_quotes_what_refused_lines_are_told(fresh_service: Service):
    rows = rows_under(ROOT / "docs" / "language.md", "What is refused")
    assert len(rows) > 10
    with fresh_service.client() as client:
        for line, code, words in rows:
            block = {"children": {"linear": "Linear(3, 3)"}, "inputs": ["x"], "forward": [line, "return x"]}
            reply = client.post("/v1/networks", json={"architecture": block}).json()
            assert (line, reply.get("code")) == (line, code), reply
            assert words in reply["detail"], reply["detail"]


def test_the_language_page_is_right_on_what_lines_give(fresh_service: Service):
    rows = rows_under(ROOT / "docs" / "language.md", "Where it differs from PyTorch")
    assert rows
    with fresh_service.client() as client:
        for line, wanted, _ in rows:
            block = {"inputs": ["x"], "forward": [line]}
            made = client.post("/v1/networks", json={"architecture": block, "dtype": "float64"})
            assert made.status_code == 201, made.text
            reply = client.post(f"{made.json()['links']['forward']}", json={"inputs": [1.5, -2.5, 4.0]})
            said = reply.json()
            got = said["outputs"]["output"] if reply.status_code == 200 else said["code"]
            shown = f"{got['dtype']} {json.dumps(got['data'])}" if isinstance(got, dict) else got
            assert (line, shown) == (line, wanted), said
