"""The reference is a tour: on a fresh service each operation works after those above it, as a reader tries them.

What the page fills in is the first example of everything; `tests/api/test_openapi.py` sends all examples as curl lines.
"""

import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Locator

from tests.service import start_service

PATIENCE_SECONDS = 200.0  # the first export loads what writes ONNX, beside other tests
METHODS = ("get", "put", "post", "patch", "delete")


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()  # in the order they stand in
        if method in METHODS
    ]


def first_example(described: dict[str, Any]) -> Any:
    return next(iter(described["examples"].values()))["value"]


def filled_in(path: str, method: str, operation: dict[str, Any]) -> dict[str, Any]:
    """The request with the first example of each thing that has one, and nothing else."""
    query: dict[str, str] = {}
    for parameter in operation.get("parameters", ()):
        if "examples" not in parameter:
            continue
        value = first_example(parameter)
        text = value if isinstance(value, str) else json.dumps(value)
        if parameter["in"] == "path":
            path = path.replace("{" + parameter["name"] + "}", quote(text, safe=""))
        else:
            query[parameter["name"]] = text
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    sent = {} if body is None else {"json": first_example(body)}
    return {"method": method.upper(), "url": path, "params": query, **sent}


def test_the_first_examples_alone_work_on_a_fresh_service_in_reading_order(tmp_path):
    with start_service(tmp_path) as fresh, fresh.client() as client:
        for path, method, operation in operations(client.get("/openapi.json").json()):
            sent = filled_in(path, method, operation)
            reply: httpx.Response = client.request(**sent, timeout=PATIENCE_SECONDS)
            assert reply.is_success, (method, path, reply.text)


def press(tag: Locator, number: int) -> tuple[str, str, int, str]:
    """Opens an operation, presses its buttons and reads the reply: path, method, status, body."""
    operation = tag.locator(".opblock").nth(number)
    opened = operation.locator(".opblock-summary-control")
    opened.dispatch_event("click")  # at once; the buttons are pressed as a hand does it
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    status = operation.locator(".live-responses-table tbody .response-col_status").first
    code = int(status.inner_text(timeout=1000 * PATIENCE_SECONDS).split()[0])
    body = operation.locator(".live-responses-table tbody .response-col_description").first.inner_text()
    path = operation.locator(".opblock-summary-path").get_attribute("data-path") or ""
    method = operation.locator(".opblock-summary-method").inner_text().lower()
    opened.dispatch_event("click")
    return path, method, code, body


@pytest.mark.timeout(600)  # a minute on a quiet machine
def test_a_reader_takes_the_tour_by_pressing_try_it_out_and_execute_from_top_to_bottom(tmp_path, look):
    with start_service(tmp_path) as fresh, fresh.client() as client:
        document = client.get("/openapi.json").json()
        page = look(f"{fresh.base_url}/docs")
        page.wait_for_selector(".opblock")
        tags = page.locator(".opblock-tag-section")
        for number in range(tags.count()):  # closed, so that the browser has less to draw
            tags.nth(number).locator(".opblock-tag").click()
        replies: dict[tuple[str, str], str] = {}
        for number in range(tags.count()):
            tag = tags.nth(number)
            tag.locator(".opblock-tag").click()
            for place in range(tag.locator(".opblock").count()):
                path, method, status, body = press(tag, place)
                assert 200 <= status < 300, (method, path, status, body)
                replies[path, method] = body
            tag.locator(".opblock-tag").click()
        page.close()
    assert list(replies) == [(path, method) for path, method, _ in operations(document)]
    assert '"name": "mlp"' in replies["/v1/networks", "post"]
    assert '"shape": [' in replies["/v1/networks/{name}/forward", "post"]
    assert '"operation": "restore"' in replies["/v1/networks/{name}/revisions/{revision}/restore", "post"]
    assert "succeeded" in replies["/v1/jobs/{id}/events", "get"]
