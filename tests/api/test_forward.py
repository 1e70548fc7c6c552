"""The forward route's own manners: its query, its headers, and bounds that no network should find by accident."""

import httpx
import pytest

from tests.api.problem import check_problem
from tests.laboratory import create


@pytest.fixture(name="path")
def make_network(service: httpx.Client, fresh_name) -> str:
    name = fresh_name("plain")
    create(service, name, {"inputs": ["x"], "forward": "return x + 1"})
    return f"/v1/networks/{name}/forward"


def test_a_misspelt_query_parameter_is_refused_as_everywhere(service: httpx.Client, path: str):
    problem = check_problem(service.post(path, params={"sedd": 3}, json={"inputs": [1]}), 422, "unknown-key")
    assert "`seed`" in problem["detail"]


@pytest.mark.parametrize("revision", [0, -1, 2, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_revision_that_cannot_be_is_not_found(service: httpx.Client, path: str, revision: int):
    check_problem(service.post(path, json={"inputs": [1], "revision": revision}), 404, "not-found")
    check_problem(service.post(path, params={"revision": revision}, json={"inputs": [1]}), 404, "not-found")


@pytest.mark.parametrize("capture", [0, "", "0", [1], {"0": 1}])
def test_what_is_to_be_captured_is_a_list_of_paths(service: httpx.Client, path: str, capture: object):
    problem = check_problem(service.post(path, json={"inputs": [1], "capture": capture}), 422, "bad-request")
    assert problem["errors"][0]["pointer"] == "/capture"


def test_json_in_another_charset_is_an_unsupported_media_type(service: httpx.Client, path: str):
    headers = {"content-type": "application/json; charset=utf-16"}
    check_problem(
        service.post(path, content='{"inputs": [1]}'.encode("utf-16"), headers=headers), 415, "unsupported-media-type"
    )


def test_several_accept_headers_are_one_list(service: httpx.Client, path: str):
    headers = [("accept", "application/x-npy"), ("accept", "text/html"), ("content-type", "application/json")]
    reply = service.post(path, content=b'{"inputs": [1]}', headers=headers)
    assert reply.headers["content-type"] == "application/x-npy"


def test_a_reply_without_measure_is_refused(service: httpx.Client, fresh_name):
    name = fresh_name("wide")
    create(service, name, {"inputs": ["x"], "forward": "return x.expand(10 ** 8)"})
    reply = service.post(f"/v1/networks/{name}/forward", json={"inputs": [1]})
    assert "a reply may have" in check_problem(reply, 422, "limit-exceeded")["detail"]


@pytest.mark.parametrize(
    ("shapes", "code", "pointer"),
    [
        ({"x": {"shape": [2], "dtype": "nope"}}, "bad-dtype", "/input_shapes/x/dtype"),
        ([2**31 - 1] * 8, "limit-exceeded", "/input_shapes"),
    ],
)
def test_imagined_inputs_that_cannot_be_are_refused_at_their_place(service: httpx.Client, shapes, code, pointer):
    body = {"architecture": {"inputs": ["x"], "forward": "return x"}, "input_shapes": shapes}
    assert (
        check_problem(service.post("/v1/architectures/check", json=body), 422, code)["errors"][0]["pointer"] == pointer
    )
