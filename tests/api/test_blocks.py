"""The library of blocks over HTTP."""

import httpx
import pytest

from tests.api.problem import check_problem

DOUBLE = {"inputs": ["x"], "forward": ["return 2 * x"]}
MY_LINEAR = {
    "hyperparameters": {"in_units": None, "units": None},
    "parameters": {"weight": "randn(in_units, units)", "bias": "randn(units)"},
    "inputs": ["X"],
    "forward": ["return F.relu(matmul(X, weight.data) + bias.data)"],
}


def register(service: httpx.Client, name: str, definition: object) -> httpx.Response:
    response = service.post("/v1/blocks", json={"name": name, "definition": definition})
    assert response.status_code == 201, response.text
    return response


def test_a_registered_block_is_told_as_it_was_sent(service, fresh_name):
    name = fresh_name("MyLinear")
    response = register(service, name, MY_LINEAR)
    assert response.headers["location"] == f"/v1/blocks/{name}"
    got = service.get(f"/v1/blocks/{name}")
    assert got.json() == response.json()
    assert got.headers["etag"] == response.headers["etag"]
    assert got.json()["definition"] == MY_LINEAR
    assert list(got.json()["definition"]) == list(MY_LINEAR)
    assert got.json()["uses"] == []


def test_a_registered_block_is_used_by_its_name(service, fresh_name):
    block, name = fresh_name("MyLinear"), fresh_name()
    register(service, block, MY_LINEAR)
    made = service.post("/v1/networks", json={"name": name, "architecture": [f"{block}(4, 3)", f"{block}(3, 1)"]})
    assert made.status_code == 201, made.text
    assert made.json()["parameter_count"] == 4 * 3 + 3 + 3 + 1


def test_a_block_tells_which_others_it_uses(service, fresh_name):
    inner, outer = fresh_name("Inner"), fresh_name("Outer")
    register(service, inner, DOUBLE)
    assert register(service, outer, [f"{inner}()", "ReLU()"]).json()["uses"] == [inner]


def test_a_taken_name_is_a_conflict(service, fresh_name):
    name = fresh_name("Taken")
    register(service, name, DOUBLE)
    check_problem(service.post("/v1/blocks", json={"name": name, "definition": DOUBLE}), 409, "name-taken")


@pytest.mark.parametrize("name", ["Linear", "relu", "a b", "", "1a", "x.y", "a-b"])
def test_a_name_that_no_block_may_have_is_refused(service, name):
    response = service.post("/v1/blocks", json={"name": name, "definition": DOUBLE})
    problem = check_problem(response, 422, "bad-name")
    assert problem["errors"][0]["pointer"] == "/name"


def test_a_bad_definition_is_pointed_at_under_definition(service, fresh_name):
    definition = {"inputs": ["x"], "forward": ["y = x", "return import os"]}
    response = service.post("/v1/blocks", json={"name": fresh_name("Bad"), "definition": definition})
    problem = check_problem(response, 422, "bad-expression")
    assert problem["errors"][0]["pointer"].startswith("/definition/forward")


def test_put_replaces_a_definition_and_networks_keep_their_copy(service, fresh_name):
    block, name = fresh_name("Scale"), fresh_name()
    register(service, block, DOUBLE)
    service.post("/v1/networks", json={"name": name, "architecture": f"{block}()"})
    replaced = service.put(f"/v1/blocks/{block}", json={"definition": {**DOUBLE, "forward": ["return 3 * x"]}})
    assert replaced.status_code == 200
    assert replaced.json()["updated_at"] > replaced.json()["created_at"]
    forward = service.post(f"/v1/networks/{name}/forward", json={"inputs": [1.0]})
    assert forward.json()["outputs"]["output"]["data"] == [2.0]


def test_put_registers_a_block_that_is_not_there(service, fresh_name):
    name = fresh_name("New")
    response = service.put(f"/v1/blocks/{name}", json={"definition": DOUBLE})
    assert response.status_code == 201
    assert response.headers["location"] == f"/v1/blocks/{name}"
    assert service.put(f"/v1/blocks/{name}", json={"definition": DOUBLE}).status_code == 200


def test_a_put_with_if_match_makes_nothing_new(service, fresh_name):
    name = fresh_name("Absent")
    for tag in ("*", '"abc"'):
        reply = service.put(f"/v1/blocks/{name}", json={"definition": DOUBLE}, headers={"If-Match": tag})
        check_problem(reply, 412, "stale-revision")
    assert service.get(f"/v1/blocks/{name}").status_code == 404
    register(service, name, DOUBLE)
    replaced = service.put(f"/v1/blocks/{name}", json={"definition": DOUBLE}, headers={"If-Match": "*"})
    assert replaced.status_code == 200


def test_a_block_may_not_come_to_use_itself(service, fresh_name):
    inner, outer = fresh_name("Inner"), fresh_name("Outer")
    register(service, inner, DOUBLE)
    register(service, outer, [f"{inner}()"])
    check_problem(service.put(f"/v1/blocks/{inner}", json={"definition": [f"{outer}()"]}), 422, "cycle")
    check_problem(service.put(f"/v1/blocks/{inner}", json={"definition": [f"{inner}()"]}), 422, "cycle")


def test_a_block_that_others_use_stays(service, fresh_name):
    inner, outer = fresh_name("Inner"), fresh_name("Outer")
    register(service, inner, DOUBLE)
    register(service, outer, [f"{inner}()"])
    problem = check_problem(service.delete(f"/v1/blocks/{inner}"), 409, "in-use")
    assert problem["used_by"] == [outer]
    assert service.delete(f"/v1/blocks/{outer}").status_code == 204
    assert service.delete(f"/v1/blocks/{inner}").status_code == 204
    check_problem(service.delete(f"/v1/blocks/{inner}"), 404, "not-found")


def test_a_write_with_another_tag_is_refused(service, fresh_name):
    name = fresh_name("Tagged")
    tag = register(service, name, DOUBLE).headers["etag"]
    other = {"If-Match": '"abc"'}
    check_problem(service.delete(f"/v1/blocks/{name}", headers=other), 412, "stale-revision")
    check_problem(service.put(f"/v1/blocks/{name}", json={"definition": DOUBLE}, headers=other), 412, "stale-revision")
    check_problem(
        service.put(f"/v1/blocks/{fresh_name('No')}", json={"definition": DOUBLE}, headers=other), 412, "stale-revision"
    )
    assert service.delete(f"/v1/blocks/{name}", headers={"If-Match": tag}).status_code == 204


@pytest.mark.parametrize("name", ["nobody", "%00", "x" * 3000, "a%0A"])
def test_a_block_that_nobody_registered_is_not_found(service, name):
    check_problem(service.get(f"/v1/blocks/{name}"), 404, "not-found")
    check_problem(service.delete(f"/v1/blocks/{name}"), 404, "not-found")


def test_blocks_are_listed_in_pages(service, fresh_name):
    names = sorted(fresh_name("Page") for _ in range(3))
    for name in names:
        register(service, name, DOUBLE)
    seen, url = [], "/v1/blocks?page_size=2"
    while url:
        page = service.get(url)
        seen += [item["name"] for item in page.json()["items"]]
        link = page.headers.get("link")
        url = link and link[1 : link.index(">")]
    assert seen == sorted(set(seen))
    assert set(names) <= set(seen)
