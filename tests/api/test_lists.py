"""Lists: each is read in pages, the pages together are the whole, and a list that ends by itself comes whole."""

import re

import httpx
import pytest

from tests.api.problem import check_problem

NETWORK = ["Linear(2, 2)", "BatchNorm1d(2)", "Linear(2, 2)"]


@pytest.fixture(scope="module")
def lists(service) -> dict[str, str]:
    """Every operation that answers with `items`, and an address of it where there are at least three."""
    made = service.post("/v1/networks", json={"name": "lists_net", "architecture": NETWORK})
    assert made.status_code == 201, made.text
    path = "/v1/networks/lists_net"
    for i in range(3):
        assert service.post(f"{path}/clone", json={"name": f"lists_net_{i}"}).status_code == 201
        assert service.put(f"/v1/artifacts/lists_{i}", json=[1.0]).status_code == 201
        assert service.post("/v1/tensors", json={"name": f"lists_{i}", "expression": "ones(1)"}).status_code == 201
        block = {"definition": {"inputs": ["x"], "forward": "return x"}}
        assert service.put(f"/v1/blocks/Lists{i}", json=block).status_code == 201
        edit = {"edits": [{"index": "0", "value": i}]}
        assert service.patch(f"{path}/parameters/0.bias", json=edit).status_code == 200
        assert service.put(f"{path}/checkpoints/tag{i}").status_code == 201
        rules = {"rules": [{"parameters": {"bias": "zeros_()"}}]}
        later = {"Prefer": "respond-async"}
        assert service.post(f"{path}/initialize", json=rules, headers=later).status_code == 202
    document = service.get("/openapi.json").json()
    found = {}
    for route, item in document["paths"].items():
        schema = item.get("get", {}).get("responses", {}).get("200", {}).get("content", {}).get("application/json")
        name = (schema or {}).get("schema", {}).get("$ref", "").rsplit("/", 1)[-1]
        if route.startswith("/v1/") and "items" in document["components"]["schemas"].get(name, {}).get(
            "properties", {}
        ):
            found[route] = re.sub(r"\{name\}", "lists_net", route)
            parameters = {parameter["name"] for parameter in item["get"]["parameters"]}
            assert {"page_size", "page_token"} <= parameters, route
            assert "next_page_token" in document["components"]["schemas"][name]["required"], route
            assert "Link" in item["get"]["responses"]["200"]["headers"], route
    return found


def test_there_are_the_lists_that_the_interface_has(lists):
    assert {
        "/v1/networks",
        "/v1/networks/{name}/parameters",
        "/v1/networks/{name}/revisions",
        "/v1/networks/{name}/checkpoints",
        "/v1/blocks",
        "/v1/artifacts",
        "/v1/devices",
        "/v1/workers",
        "/v1/catalog/layers",
        "/v1/catalog/functions",
        "/v1/catalog/initializers",
        "/v1/jobs",
    } <= set(lists)


def test_every_list_in_pages_is_the_list_whole(service, lists):
    for route, url in lists.items():
        if route == "/v1/keys":
            continue  # empty here: the first key would close this service to the other tests
        whole = [name_of(item) for item in in_pages(service, url, 500)]
        assert len(whole) == len(set(whole))
        size = max(1, len(whole) // 3)
        assert [name_of(item) for item in in_pages(service, url, size)] == whole, url


def in_pages(service: httpx.Client, url: str, size: int) -> list[dict]:
    """All items of a list, by the links that its pages give."""
    seen, following = [], f"{url}?page_size={size}"
    while following:
        reply = service.get(following)
        assert reply.status_code == 200, reply.text
        page = reply.json()
        assert 0 < len(page["items"]) <= size, following
        seen += page["items"]
        link = reply.headers.get("link")
        assert (link is None) == (page["next_page_token"] is None)
        following = None
        if link is not None:
            following = re.fullmatch(r'<(\S+)>; rel="next"', link)[1]
            assert f"page_size={size}" in following
    return seen


def name_of(item: dict) -> object:
    return item.get("name") or item.get("type") or item.get("tag") or item.get("id") or item["revision"]


def test_a_list_that_ends_by_itself_comes_whole_unless_fewer_are_asked_for(service):
    layers = [{"repeat": 300, "block": "Linear(1, 1)"}]
    made = service.post("/v1/networks", json={"architecture": {"type": "Sequential", "layers": layers}})
    listed = service.get(made.json()["links"]["parameters"])
    assert len(listed.json()["items"]) == 600
    assert listed.json()["next_page_token"] is None
    functions = service.get("/v1/catalog/functions").json()
    assert len(functions["items"]) > 100
    assert functions["next_page_token"] is None


def test_parameters_under_a_prefix_are_paged_too(service, lists):
    url = "/v1/networks/lists_net/parameters"
    whole = service.get(url, params={"prefix": "1"}).json()["items"]
    first = service.get(url, params={"prefix": "1", "page_size": 2})
    assert first.json()["items"] == whole[:2]
    assert "prefix=1" in first.headers["link"]
    second = service.get(url, params={"prefix": "1", "page_size": 2, "page_token": first.json()["next_page_token"]})
    assert second.json()["items"] == whole[2:4]


@pytest.mark.parametrize("path", ["catalog/layers", "devices", "networks/lists_net/parameters"])
def test_a_token_of_another_list_is_malformed(service, lists, path):
    other = service.get("/v1/networks?page_size=1").json()["next_page_token"]
    check_problem(service.get(f"/v1/{path}?page_token={other}"), 400, "malformed")
