"""Networks over HTTP: making, finding, listing, renaming, placing, deleting."""

import json
import re

import httpx
import pytest

from tests.api.problem import check_problem

MLP = {
    "children": {"hidden": "Linear(20, 256)", "out": "Linear(256, 10)"},
    "inputs": ["X"],
    "forward": ["return out(F.relu(hidden(X)))"],
}


def make(service: httpx.Client, name: str, **more) -> dict:
    response = service.post("/v1/networks", json={"name": name, "architecture": "Linear(2, 3)", **more})
    assert response.status_code == 201, response.text
    return response.json()


def test_a_new_network_is_told_with_its_address_its_tag_and_its_size(service, fresh_name):
    name = fresh_name("mlp")
    response = service.post(
        "/v1/networks", json={"name": name, "architecture": MLP, "seed": 7, "labels": {"chapter": "5.1"}}
    )
    assert response.status_code == 201
    assert response.headers["location"] == f"/v1/networks/{name}"
    assert response.headers["etag"] == '"1"'
    reply = response.json()
    assert reply["name"] == name
    assert reply["revision"] == 1
    assert reply["device"] == "cpu:0"
    assert reply["dtype"] == "float32"
    assert reply["parameter_count"] == 20 * 256 + 256 + 256 * 10 + 10
    assert reply["parameter_bytes"] == 4 * reply["parameter_count"]
    assert reply["labels"] == {"chapter": "5.1"}
    assert reply["seed"] == 7
    assert reply["inputs"] == ["X"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", reply["created_at"])
    for link in reply["links"].values():
        assert link.startswith(f"/v1/networks/{name}")
    again = service.get(response.headers["location"])
    assert again.json() == reply
    assert again.headers["etag"] == '"1"'


def test_every_link_of_a_network_leads_somewhere(service, fresh_name):
    links = make(service, fresh_name())["links"]
    for relation in ("self", "architecture", "modules", "parameters"):
        assert service.get(links[relation]).status_code == 200
    assert service.post(links["forward"], json={"inputs": [[1.0, 2.0]]}).status_code == 200


def test_a_network_without_a_name_gets_a_readable_one(service):
    first, second = (
        service.post("/v1/networks", json={"architecture": "Linear(1, 1)"}).json()["name"] for _ in range(2)
    )
    assert re.fullmatch(r"[a-z]+-[a-z]+-[a-z2-9]{6}", first)
    assert first != second


def test_a_network_without_a_seed_is_told_the_one_that_was_drawn_and_it_makes_the_same_network(service, fresh_name):
    one = make(service, fresh_name())
    other = make(service, fresh_name(), seed=one["seed"])
    x = {"inputs": [[0.5, -1.5]]}
    assert (
        service.post(one["links"]["forward"], json=x).json()["outputs"]
        == service.post(other["links"]["forward"], json=x).json()["outputs"]
    )


def test_a_taken_name_is_a_conflict(service, fresh_name):
    name = fresh_name()
    make(service, name)
    response = service.post("/v1/networks", json={"name": name, "architecture": "Linear(1, 1)"})
    problem = check_problem(response, 409, "name-taken")
    assert name in problem["detail"]


@pytest.mark.parametrize("name", ["", ".hidden", "-x", "a b", "a/b", "ä", "x" * 129, "a\u007f"])
def test_a_name_that_breaks_the_rule_is_refused_with_the_rule(service, name):
    response = service.post("/v1/networks", json={"name": name, "architecture": "Linear(1, 1)"})
    problem = check_problem(response, 422, "bad-name", "/name")
    assert "letters, digits" in problem["detail"]


@pytest.mark.parametrize("name", ["a", "_x", "7", "a.b-c_d", "x" * 128])
def test_names_within_the_rule_are_taken(service, name):
    response = service.post("/v1/networks", json={"name": name, "architecture": "Linear(1, 1)"})
    assert response.status_code == 201, response.text
    assert service.delete(f"/v1/networks/{name}").status_code == 204


def test_an_unknown_device_is_refused_with_those_present(service, fresh_name):
    response = service.post(
        "/v1/networks", json={"name": fresh_name(), "architecture": "Linear(1, 1)", "device": "cuda:7"}
    )
    problem = check_problem(response, 422, "unknown-device", "/device")
    assert "cpu:0" in problem["detail"]


@pytest.mark.parametrize("device", ["auto", "cpu", "cpu:0", None])
def test_the_usual_words_for_a_device_lead_to_the_one_that_is_there(service, fresh_name, device):
    assert make(service, fresh_name(), device=device)["device"] == "cpu:0"


def test_a_dtype_that_is_not_floating_is_refused(service, fresh_name):
    response = service.post(
        "/v1/networks", json={"name": fresh_name(), "architecture": "Linear(1, 1)", "dtype": "int64"}
    )
    problem = check_problem(response, 422, "bad-dtype", "/dtype")
    assert "bfloat16" in problem["detail"]


def test_a_network_may_be_of_another_floating_dtype(service, fresh_name):
    reply = make(service, fresh_name(), dtype="float64")
    assert reply["dtype"] == "float64"
    assert reply["parameter_bytes"] == 8 * reply["parameter_count"]


def test_an_unknown_field_is_refused_with_a_near_one(service, fresh_name):
    response = service.post("/v1/networks", json={"name": fresh_name(), "architecture": "Linear(1, 1)", "sede": 7})
    problem = check_problem(response, 422, "unknown-key", "/sede")
    assert "`seed`" in problem["detail"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", 7),
        ("seed", "7"),
        ("seed", 1.5),
        ("seed", True),
        ("device", ["cpu"]),
        ("dtype", None),
        ("labels", []),
        ("labels", {"a": 1}),
        ("labels", {"": "x"}),
        ("labels", {"a": "x" * 256}),
        ("labels", {"a": "tab\there"}),
        ("labels", {f"k{i}": "v" for i in range(65)}),
    ],
)
def test_a_field_of_the_wrong_kind_is_pointed_at(service, field, value):
    response = service.post("/v1/networks", json={"architecture": "Linear(1, 1)", field: value})
    problem = check_problem(response, 422, "invalid-request")
    assert problem["errors"][0]["pointer"].startswith(f"/{field}")


def test_the_largest_and_smallest_seeds_of_pytorch_are_taken(service, fresh_name):
    for seed in (-(2**63), 2**64 - 1):
        name = fresh_name()
        assert make(service, name, seed=seed)["seed"] == seed
        assert service.get(f"/v1/networks/{name}").json()["seed"] == seed


def test_a_missing_architecture_is_pointed_at(service):
    check_problem(service.post("/v1/networks", json={"name": "x"}), 422, "invalid-request", "/architecture")


def test_an_error_inside_the_architecture_points_into_it(service, fresh_name):
    response = service.post(
        "/v1/networks", json={"name": fresh_name(), "architecture": ["Linear(1, 1)", "Linaer(1, 1)"]}
    )
    problem = check_problem(response, 422, "unknown-layer")
    assert problem["errors"][0]["pointer"].startswith("/architecture/1")
    assert "Linear" in problem["detail"]


def test_a_network_that_nobody_made_is_not_found_by_any_method(service):
    for method, path in [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "/architecture"),
        ("GET", "/modules"),
        ("GET", "/modules/0"),
        ("GET", "/parameters"),
        ("GET", "/parameters/weight"),
        ("PUT", "/device"),
        ("POST", "/forward"),
    ]:
        body = {"PUT": {"device": "cpu"}, "PATCH": {"labels": {}}, "POST": {"inputs": [1.0]}}.get(method)
        response = service.request(method, f"/v1/networks/nobody{path}", json=body)
        problem = check_problem(response, 404, "not-found")
        assert "nobody" in problem["detail"]


@pytest.mark.parametrize("name", ["%00", "a%00b", "%ED%A0%80", "%FF", "..%2f..", "%2e%2e", "x" * 5000, "a%0Ab", "%25"])
def test_a_name_that_nothing_can_have_is_not_found(service, name):
    for path in ("", "/modules", "/parameters/w", "/architecture"):
        check_problem(service.get(f"/v1/networks/{name}{path}"), 404, "not-found")
    check_problem(service.post(f"/v1/networks/{name}/forward", json={"inputs": 1}), 404, "not-found")
    check_problem(service.delete(f"/v1/networks/{name}"), 404, "not-found")


def test_labels_are_replaced_and_a_name_is_changed_without_a_new_revision(service, fresh_name):
    name, new_name = fresh_name(), fresh_name()
    made = make(service, name, labels={"a": "1", "b": "2"})
    changed = service.patch(f"/v1/networks/{name}", json={"labels": {"b": "3"}, "name": new_name})
    assert changed.status_code == 200
    reply = changed.json()
    assert reply["labels"] == {"b": "3"}
    assert reply["name"] == new_name
    assert reply["revision"] == 1
    assert reply["created_at"] == made["created_at"]
    assert reply["updated_at"] > made["updated_at"]
    check_problem(service.get(f"/v1/networks/{name}"), 404, "not-found")
    assert service.post(f"/v1/networks/{new_name}/forward", json={"inputs": [[1.0, 2.0]]}).status_code == 200


def test_renaming_to_a_taken_or_bad_name_changes_nothing(service, fresh_name):
    one, other = fresh_name(), fresh_name()
    make(service, one), make(service, other)
    check_problem(service.patch(f"/v1/networks/{one}", json={"name": other}), 409, "name-taken")
    check_problem(service.patch(f"/v1/networks/{one}", json={"name": "a b"}), 422, "bad-name", "/name")
    assert service.get(f"/v1/networks/{one}").status_code == 200


def test_a_patch_that_changes_nothing_leaves_the_time_alone(service, fresh_name):
    name = fresh_name()
    made = make(service, name, labels={"a": "1"})
    assert service.patch(f"/v1/networks/{name}", json={"labels": {"a": "1"}, "name": name}).json() == made


def test_a_deleted_network_is_gone_and_its_name_is_free(service, fresh_name):
    name = fresh_name()
    make(service, name)
    response = service.delete(f"/v1/networks/{name}")
    assert response.status_code == 204
    assert response.content == b""
    check_problem(service.delete(f"/v1/networks/{name}"), 404, "not-found")
    check_problem(service.post(f"/v1/networks/{name}/forward", json={"inputs": [[1.0, 2.0]]}), 404, "not-found")
    make(service, name)


@pytest.mark.parametrize("write", ["patch", "delete", "put"])
def test_a_write_with_another_revision_in_if_match_is_refused(service, fresh_name, write):
    name = fresh_name()
    make(service, name)
    path = f"/v1/networks/{name}" + ("/device" if write == "put" else "")
    body = {"patch": {"labels": {"x": "y"}}, "put": {"device": "cpu"}, "delete": None}[write]
    for tag in ('"2"', 'W/"1"', '"abc", "7"', "2"):
        problem = check_problem(
            service.request(write.upper(), path, json=body, headers={"If-Match": tag}), 412, "stale-revision"
        )
        assert problem["revision"] == 1
    check_problem(service.request(write.upper(), path, json=body, headers={"If-Match": '"1'}), 400, "malformed")
    for_all = {"If-Match": '"7", "1"'}
    assert service.request(write.upper(), path, json=body, headers=for_all).is_success


def test_a_network_is_placed_and_falls_back_only_where_asked_to(service, fresh_name):
    name = fresh_name()
    make(service, name)
    path = f"/v1/networks/{name}/device"
    assert service.put(path, json={"device": "cpu"}).json()["device"] == "cpu:0"
    check_problem(service.put(path, json={"device": "cuda:3"}), 422, "unknown-device", "/device")
    assert service.put(path, json={"device": "cuda:3", "fallback": True}).json()["device"] == "cpu:0"


def test_the_architecture_is_given_as_sent_and_resolved(service, fresh_name):
    name, block = fresh_name(), fresh_name("B")
    definition = {
        "hyperparameters": ["n"],
        "children": {"z": "Linear(n, 1)", "a": "Linear(1, n)"},
        "inputs": ["x"],
        "forward": "return a(z(x))",
    }
    service.post("/v1/blocks", json={"name": block, "definition": definition})
    sent = {"type": "Sequential", "layers": {"b": f"{block}(2)", "a": "ReLU()"}}
    make(service, name, architecture=sent)
    original = service.get(f"/v1/networks/{name}/architecture", params={"original": "true"})
    assert original.json() == sent
    assert list(original.json()["layers"]) == ["b", "a"]
    resolved = service.get(f"/v1/networks/{name}/architecture").json()
    assert block in json.dumps(resolved)
    assert service.delete(f"/v1/blocks/{block}").status_code == 204
    again = make(service, fresh_name(), architecture=resolved, seed=1)
    assert again["parameter_count"] == 2 + 1 + 2 + 2


def test_pages_of_the_list_hold_every_network_once_in_the_order_of_names(service, fresh_name):
    names = sorted(fresh_name("page") for _ in range(7))
    for name in names:
        make(service, name)
    seen, url = [], "/v1/networks?page_size=3"
    while url:
        page = service.get(url)
        assert len(page.json()["items"]) <= 3
        seen += [item["name"] for item in page.json()["items"]]
        link = page.headers.get("link")
        assert (link is None) == (page.json()["next_page_token"] is None)
        if link:
            assert page.json()["next_page_token"] in link
            assert 'rel="next"' in link
        url = link and link[1 : link.index(">")]
    assert seen == sorted(seen)
    assert len(seen) == len(set(seen))
    assert set(names) <= set(seen)


@pytest.mark.parametrize("size", ["0", "501", "-1", "x", "1.5", ""])
def test_a_page_size_out_of_range_is_refused(service, size):
    problem = check_problem(service.get(f"/v1/networks?page_size={size}"), 422, "invalid-request")
    assert "page_size" in problem["detail"]


@pytest.mark.parametrize("token", ["x", "MTo=", "zzzz", "MjphYmM", "%C3%A4", "MTr_"])
def test_a_page_token_of_ones_own_making_is_refused(service, token):
    response = service.get(f"/v1/networks?page_token={token}")
    if response.status_code == 200:
        assert token == "MTo="  # the token after "", which is the first page
    else:
        check_problem(response, 400, "malformed")


def test_head_answers_like_get_without_a_body(service, fresh_name):
    name = fresh_name()
    make(service, name)
    head, get = service.head(f"/v1/networks/{name}"), service.get(f"/v1/networks/{name}")
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == get.headers["content-length"]
    assert head.headers["etag"] == get.headers["etag"]
    missing = service.head("/v1/networks/nobody")
    assert missing.status_code == 404
    assert missing.content == b""
