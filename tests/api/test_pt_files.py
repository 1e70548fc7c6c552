"""The setting that turns `.pt` files off: none is read, none is written, wherever the interface takes or gives one."""

import io
import re

import httpx
import pytest
import torch

from tests.api.problem import check_problem
from tests.service import start_service

PT = "application/x-pytorch"
ADDRESS = {"name": "net", "parameter": "0.bias"}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("no_pt")
    with start_service(folder, env={"MODEL_LAB_PT_FILES": "false"}) as running, running.client() as client:
        made = client.post("/v1/networks", json={"name": "net", "architecture": ["Linear(2, 2)"]})
        assert made.status_code == 201, made.text
        assert client.put("/v1/artifacts/net", json=[1, 2]).status_code == 201
        yield client


def with_pt(client: httpx.Client, where: str) -> list[tuple[str, str]]:
    """Methods and addresses of all operations whose body (`in`) or reply (`out`) may be a `.pt` file."""
    found = []
    for path, item in client.get("/openapi.json").json()["paths"].items():
        for method, operation in item.items():
            part = operation.get("requestBody", {}) if where == "in" else operation["responses"].get("200", {})
            if PT in part.get("content", {}):
                found.append((method.upper(), re.sub(r"{(\w+)}", lambda name: ADDRESS.get(name[1], "net"), path)))
    assert len(found) >= 4
    return found


def test_a_pt_file_is_not_read_anywhere(service):
    file = io.BytesIO()
    torch.save({"0.bias": torch.zeros(2)}, file)
    for method, address in with_pt(service, "in"):
        for content_type in (PT, f"{PT.upper()}; x=1"):
            reply = service.request(method, address, content=file.getvalue(), headers={"Content-Type": content_type})
            problem = check_problem(reply, 415, "unsupported-media-type")
            assert "MODEL_LAB_PT_FILES" in problem["detail"], address


def test_a_pt_file_is_not_written_anywhere(service):
    for method, address in with_pt(service, "out"):
        body = {"expression": "ones(1)"} if address.endswith("/evaluate") else {"inputs": [[1, 2]]}
        for query, headers in (({"format": "pt"}, {}), ({}, {"Accept": PT})):
            reply = service.request(
                method, address, json=None if method == "GET" else body, params=query, headers=headers
            )
            problem = check_problem(reply, 406, "not-acceptable")
            assert "MODEL_LAB_PT_FILES" in problem["detail"], address
            assert PT not in problem["detail"]


def test_who_would_take_another_format_is_given_that(service):
    accept = {"Accept": f"{PT}, application/x-npz;q=0.5"}
    reply = service.get("/v1/networks/net/state_dict", headers=accept)
    assert reply.headers["content-type"] == "application/x-npz"
