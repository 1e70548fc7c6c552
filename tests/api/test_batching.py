"""Turning batching on and off over HTTP: for networks that keep rows apart, and for no others."""

import httpx
import pytest

from tests.api.problem import check_problem

BATCHING = {"max_size": 32, "max_wait_ms": 2}
MLP = ["Linear(4, 8)", "ReLU()", "Linear(8, 2)"]


def make(service: httpx.Client, name: str, architecture: object = MLP) -> str:
    response = service.post("/v1/networks", json={"name": name, "architecture": architecture})
    assert response.status_code == 201, response.text
    assert response.json()["batching"] is None
    return f"/v1/networks/{name}"


def test_batching_is_turned_on_shown_and_turned_off(service, fresh_name):
    path = make(service, fresh_name())
    changed = service.patch(path, json={"batching": BATCHING})
    assert (changed.status_code, changed.json()["batching"]) == (200, BATCHING)
    assert service.get(path).json()["batching"] == BATCHING
    assert service.get(path).json()["revision"] == 1
    assert service.patch(path, json={"labels": {"a": "b"}}).json()["batching"] == BATCHING
    assert service.patch(path, json={"batching": {"max_size": 2}}).json()["batching"] == {
        "max_size": 2,
        "max_wait_ms": 2,
    }
    assert service.patch(path, json={"batching": None}).json()["batching"] is None
    assert service.get(path).json()["batching"] is None


def test_a_network_that_mixes_rows_is_refused_with_the_operation_its_child_and_line(service, fresh_name):
    center = {"inputs": ["X"], "forward": ["Y = X * 1", "return Y - Y.mean()"]}
    path = make(service, fresh_name(), ["Linear(4, 8)", center])
    problem = check_problem(service.patch(path, json={"batching": BATCHING}), 422, "not-row-wise")
    assert (problem["operation"], problem["child"], problem["line"]) == ("mean", "1", 2)
    assert problem["errors"][0]["pointer"] == "/batching"
    assert "mean" in problem["detail"]
    assert service.get(path).json()["batching"] is None
    assert service.patch(path, json={"batching": None}).status_code == 200


@pytest.mark.parametrize(
    ("batching", "pointer"),
    [
        ({"max_size": 1}, "/batching/max_size"),
        ({"max_size": 65}, "/batching/max_size"),
        ({"max_size": True}, "/batching/max_size"),
        ({"max_size": 8, "max_wait_ms": -1}, "/batching/max_wait_ms"),
        ({"max_size": 8, "max_wait_ms": 1001}, "/batching/max_wait_ms"),
        ({"max_wait_ms": 1}, "/batching/max_size"),
        ({"max_size": 8, "wait": 1}, "/batching/wait"),
        (True, "/batching"),
    ],
)
def test_settings_that_are_none_are_refused_at_their_place(service, fresh_name, batching, pointer):
    path = make(service, fresh_name())
    response = service.patch(path, json={"batching": batching})
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]


def test_a_clone_does_not_batch_until_it_is_told_to(service, fresh_name):
    path = make(service, fresh_name())
    service.patch(path, json={"batching": BATCHING})
    clone = service.post(f"{path}/clone", json={"name": fresh_name()})
    assert (clone.status_code, clone.json()["batching"]) == (201, None)


def test_batching_of_what_is_not_there_or_was_seen_otherwise_is_refused(service, fresh_name):
    path = make(service, fresh_name())
    assert service.patch(f"{path}-not", json={"batching": BATCHING}).status_code == 404
    refused = service.patch(path, json={"batching": BATCHING}, headers={"if-match": '"7"'})
    assert refused.status_code == 412
    assert service.get(path).json()["batching"] is None
