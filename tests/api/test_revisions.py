"""The history of a network over HTTP: revisions, differences, going back, checkpoints, retention, clones."""

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import nn

from tests.api.problem import check_problem
from tests.chapter.nets import MLP_JSON, TIED_JSON, create, forward, mlp, read, same_state, state

X = torch.linspace(-1, 1, 8).reshape(2, 4)


@pytest.fixture
def path(service, fresh_name):
    return create(service, fresh_name(), MLP_JSON)


def edit(service, path, parameter="0.weight", expression="param + 1", **headers):
    body = {"edits": [{"expression": expression}]}
    return service.patch(f"{path}/parameters/{parameter}", json=body, headers=headers)


def numbers(service, path, **query):
    return [item["revision"] for item in service.get(f"{path}/revisions", params=query).json()["items"]]


# --- the list ---


def test_every_change_is_a_revision_that_says_when_and_how(service, path):
    edit(service, path)
    service.put(f"{path}/parameters/2.bias", json=[1.5])
    service.post(f"{path}/initialize", json={"rules": [{"parameters": {"bias": "zeros_()"}}], "seed": 1})
    service.post(f"{path}/revisions/2/restore")
    reply = service.get(f"{path}/revisions")
    items = reply.json()["items"]
    assert [item["operation"] for item in items] == ["restore", "initialize", "replace", "edit", "create"]
    assert [item["revision"] for item in items] == [5, 4, 3, 2, 1]
    assert items[3]["detail"] == {
        "parameter": "0.weight",
        "edits": [{"index": "...", "expression": "param + 1"}],
        "edit_count": 1,
    }
    assert items[1]["detail"]["seed"] == 1
    assert all(item["created_at"].endswith("Z") and item["author"] is None for item in items)
    assert reply.headers["etag"] == '"5"'
    assert service.get(f"{path}/revisions/3").json() == items[2]


def test_the_list_is_paged_newest_first(service, path):
    for _ in range(4):
        edit(service, path)
    seen, token = [], None
    while True:
        query = {"page_size": 2} | ({"page_token": token} if token else {})
        page = service.get(f"{path}/revisions", params=query)
        seen += [item["revision"] for item in page.json()["items"]]
        token = page.json()["next_page_token"]
        assert ("link" in page.headers) == (token is not None)
        if token is None:
            break
    assert seen == [5, 4, 3, 2, 1]
    bad = service.get("/v1/networks", params={"page_size": 1}).json()["next_page_token"]
    if bad:
        check_problem(service.get(f"{path}/revisions", params={"page_token": bad}), 400, "malformed")


def test_what_is_not_there_is_a_404_that_names_the_newest(service, path):
    for place in (
        "revisions/7",
        "revisions/0",
        "revisions/1/diff/9",
        "revisions/9/diff/1",
        "parameters/0.bias?revision=5",
    ):
        assert "newest is 1" in check_problem(service.get(f"{path}/{place}"), 404, "not-found")["detail"]
    check_problem(service.post(f"{path}/revisions/4/restore"), 404, "not-found")
    check_problem(service.put(f"{path}/checkpoints/x", json={"revision": 4}), 404, "not-found")
    check_problem(service.get("/v1/networks/nobody/revisions"), 404, "not-found")
    body = {"inputs": X.tolist(), "revision": 2**64 - 1}
    check_problem(service.post(f"{path}/forward", json=body), 404, "not-found")
    check_problem(service.get(f"{path}/revisions/{2**70}"), 422, "invalid-request")


def test_parameters_and_forward_read_any_revision(service, path):
    edit(service, path)
    edit(service, path)
    net = mlp()
    for revision in (1, 2, 3, 1):
        expected = net[0].weight.data + (revision - 1)
        assert torch.allclose(read(service, path, "0.weight", revision=revision), expected, atol=1e-6)
        listed = service.get(f"{path}/parameters", params={"revision": revision})
        assert listed.json()["revision"] == revision
        assert listed.headers["etag"] == f'"{revision}"'
    assert torch.equal(forward(service, path, X, revision=1), net(X))
    assert not torch.equal(forward(service, path, X), net(X))
    assert torch.equal(forward(service, path, X, revision=1), net(X))


# --- differences ---


def test_a_difference_names_the_tensors_and_measures_them_as_pytorch_does(service, path):
    body = {"edits": [{"index": "0", "expression": "param * 3"}, {"index": "1, 1", "value": 9}]}
    service.patch(f"{path}/parameters/0.weight", json=body)
    service.put(f"{path}/parameters/2.bias", json=["NaN"])
    before = mlp()[0].weight.data
    after = read(service, path, "0.weight")
    reply = service.get(f"{path}/revisions/1/diff/3").json()
    assert (reply["from"], reply["to"], reply["unchanged"]) == (1, 3, 2)
    weight, bias = reply["changed"]
    apart = (after.double() - before.double()).abs()
    assert weight["name"] == "0.weight"
    assert weight["elements_changed"] == 5
    assert weight["max_difference"] == float(apart.max())
    assert weight["distance"] == pytest.approx(float(apart.square().sum().sqrt()), rel=1e-12)
    assert (bias["name"], bias["elements_changed"], bias["max_difference"]) == ("2.bias", 1, "NaN")
    backwards = service.get(f"{path}/revisions/3/diff/1").json()
    assert backwards["changed"][0]["distance"] == weight["distance"]
    assert service.get(f"{path}/revisions/2/diff/2").json()["changed"] == []


def test_a_difference_lists_a_tied_tensor_once(service, fresh_name):
    path = create(service, fresh_name(), TIED_JSON)
    edit(service, path, "4.weight")
    (changed,) = service.get(f"{path}/revisions/1/diff/2").json()["changed"]
    assert (changed["name"], changed["tied_to"], changed["elements_changed"]) == ("2.weight", ["4.weight"], 64)


# --- going back ---


def test_restoring_makes_a_new_revision_and_forgets_none(service, path):
    edit(service, path)
    service.patch(f"{path}/parameters/0.bias", json={"requires_grad": False})
    reply = service.post(f"{path}/revisions/1/restore")
    assert (reply.status_code, reply.json()["revision"], reply.json()["restored"]) == (200, 4, 1)
    assert reply.headers["etag"] == '"4"'
    assert same_state(state(service, path), mlp().state_dict())
    assert torch.equal(forward(service, path, X), mlp()(X))
    assert service.get(f"{path}/parameters/0.bias").json()["requires_grad"] is True
    assert service.get(f"{path}/revisions/1/diff/4").json()["changed"] == []
    service.post(f"{path}/revisions/3/restore")
    assert service.get(f"{path}/parameters/0.bias").json()["requires_grad"] is False


def test_requires_grad_belongs_to_a_revision(service, path):
    reply = service.patch(f"{path}/parameters/0.weight", json={"requires_grad": False})
    assert (reply.json()["requires_grad"], reply.json()["revision"]) == (False, 2)
    edit(service, path)
    flags = {item["name"]: item["requires_grad"] for item in service.get(f"{path}/parameters").json()["items"]}
    assert flags == {"0.weight": False, "0.bias": True, "2.weight": True, "2.bias": True}
    assert service.get(f"{path}/parameters/0.weight", params={"revision": 1}).json()["requires_grad"] is True
    (changed,) = service.get(f"{path}/revisions/1/diff/2").json()["changed"]
    assert changed["requires_grad"] == {"from": True, "to": False}
    assert changed["elements_changed"] == 0
    both = {"requires_grad": True, "edits": [{"value": 0}]}
    assert service.patch(f"{path}/parameters/0.weight", json=both).json()["requires_grad"] is True
    check_problem(service.patch(f"{path}/parameters/0.weight", json={"requires_grad": 1}), 422, "bad-request")


def test_buffers_are_never_trained(service, fresh_name):
    path = create(service, fresh_name(), "BatchNorm1d(3)")
    reply = service.patch(f"{path}/parameters/running_mean", json={"requires_grad": True})
    check_problem(reply, 422, "bad-request", "/requires_grad")


# --- preconditions and retries ---


WRITES = {
    "edit": ("PATCH", "parameters/0.bias", {"edits": [{"value": 1}]}),
    "replace": ("PUT", "parameters/2.bias", [1.0]),
    "initialize": ("POST", "initialize", {"rules": [{"parameters": {"bias": "ones_()"}}]}),
    "restore": ("POST", "revisions/1/restore", None),
}


@pytest.mark.parametrize("write", WRITES)
def test_every_write_takes_if_match(service, path, write):
    method, place, body = WRITES[write]
    edit(service, path)
    for tag in ('"1"', '"3"', 'W/"2"'):
        reply = service.request(method, f"{path}/{place}", json=body, headers={"If-Match": tag})
        assert check_problem(reply, 412, "stale-revision")["revision"] == 2
    assert service.get(path).json()["revision"] == 2
    good = service.request(method, f"{path}/{place}", json=body, headers={"If-Match": '"1", "2"'})
    assert (good.status_code, good.headers["etag"]) == (200, '"3"')


@pytest.mark.parametrize("write", WRITES)
def test_a_write_with_a_key_happens_once(service, path, fresh_name, write):
    method, place, body = WRITES[write]
    headers = {"Idempotency-Key": fresh_name("key")}
    first = service.request(method, f"{path}/{place}", json=body, headers=headers)
    again = service.request(method, f"{path}/{place}", json=body, headers=headers)
    assert (first.status_code, first.text, first.headers["etag"]) == (200, again.text, again.headers["etag"])
    assert service.get(path).json()["revision"] == 2
    other = service.post(f"{path}/initialize", json={"rules": [{"parameters": {"weight": "ones_()"}}]}, headers=headers)
    check_problem(other, 422, "idempotency-key-reused")


# --- checkpoints and retention ---


def test_a_checkpoint_is_put_moved_listed_and_taken_away(service, path):
    edit(service, path)
    made = service.put(f"{path}/checkpoints/best")
    assert (made.status_code, made.json()["revision"]) == (201, 2)
    assert service.get(made.headers["location"]).json() == made.json()
    moved = service.put(f"{path}/checkpoints/best", json={"revision": 1})
    assert (moved.status_code, moved.json()["revision"]) == (200, 1)
    service.put(f"{path}/checkpoints/also", json={"revision": 1})
    assert [item["tag"] for item in service.get(f"{path}/checkpoints").json()["items"]] == ["also", "best"]
    assert service.get(f"{path}/revisions/1").json()["checkpoints"] == ["also", "best"]
    assert service.delete(f"{path}/checkpoints/best").status_code == 204
    check_problem(service.delete(f"{path}/checkpoints/best"), 404, "not-found")
    check_problem(service.get(f"{path}/checkpoints/best"), 404, "not-found")
    check_problem(service.put(f"{path}/checkpoints/a b"), 422, "bad-name")
    check_problem(service.put(f"{path}/checkpoints/new", headers={"If-Match": "*"}), 412, "stale-revision")
    stale = service.put(f"{path}/checkpoints/x", headers={"If-Match": '"1"'})
    check_problem(stale, 412, "stale-revision")


def test_retention_keeps_the_newest_and_what_has_a_tag(service, path):
    for _ in range(5):
        edit(service, path)
    assert numbers(service, path) == [6, 5, 4, 3, 2, 1]
    service.put(f"{path}/checkpoints/first", json={"revision": 1})
    service.put(f"{path}/checkpoints/third", json={"revision": 3})
    reply = service.patch(path, json={"retention": {"keep_last": 2}})
    assert reply.json()["retention"] == {"keep_last": 2}
    assert numbers(service, path) == [6, 5, 3, 1]
    edit(service, path)
    assert numbers(service, path) == [7, 6, 3, 1]
    assert "any more" in check_problem(service.get(f"{path}/revisions/5"), 404, "not-found")["detail"]
    service.delete(f"{path}/checkpoints/third")
    assert numbers(service, path) == [7, 6, 1]
    assert torch.equal(forward(service, path, X, revision=1), mlp()(X))
    service.patch(path, json={"labels": {"a": "b"}})
    edit(service, path)
    assert numbers(service, path) == [8, 7, 1]
    assert service.patch(path, json={"retention": None}).json()["retention"] is None
    edit(service, path)
    assert numbers(service, path) == [9, 8, 7, 1]
    check_problem(service.patch(path, json={"retention": {"keep_last": 0}}), 422, "invalid-request")


# --- clones ---


def test_a_clone_shares_all_and_then_goes_its_own_way(service, path, fresh_name):
    edit(service, path)
    service.patch(f"{path}/parameters/0.bias", json={"requires_grad": False})
    name = fresh_name()
    reply = service.post(f"{path}/clone", json={"name": name})
    assert (reply.status_code, reply.headers["location"]) == (201, f"/v1/networks/{name}")
    assert (reply.json()["revision"], reply.headers["etag"]) == (1, '"1"')
    clone = f"/v1/networks/{name}"
    assert same_state(state(service, clone), state(service, path))
    assert service.get(f"{clone}/parameters/0.bias").json()["requires_grad"] is False
    assert torch.equal(forward(service, clone, X), forward(service, path, X))
    assert service.get(f"{clone}/architecture").json() == service.get(f"{path}/architecture").json()
    edit(service, clone)
    assert not same_state(state(service, clone), state(service, path))
    (item,) = service.get(f"{clone}/revisions").json()["items"][1:]
    assert (item["operation"], item["detail"]["revision"]) == ("clone", 3)


def test_a_clone_of_a_network_that_changed_meanwhile_is_refused(service, path, fresh_name):
    name = fresh_name()
    edit(service, path)
    stale = service.post(f"{path}/clone", json={"name": name}, headers={"If-Match": '"1"'})
    check_problem(stale, 412, "stale-revision")
    assert service.post(f"{path}/clone", json={"name": name}, headers={"If-Match": '"2"'}).status_code == 201


def test_a_clone_of_an_older_revision_and_its_refusals(service, path, fresh_name):
    edit(service, path)
    name, key = fresh_name(), {"Idempotency-Key": fresh_name("key")}
    first = service.post(f"{path}/clone", json={"name": name, "revision": 1}, headers=key)
    again = service.post(f"{path}/clone", json={"name": name, "revision": 1}, headers=key)
    assert (first.status_code, first.text) == (201, again.text)
    assert same_state(state(service, f"/v1/networks/{name}"), mlp().state_dict())
    check_problem(service.post(f"{path}/clone", json={"name": name}), 409, "name-taken")
    check_problem(service.post(f"{path}/clone", json={"name": "a b"}), 422, "bad-name")
    check_problem(service.post(f"{path}/clone", json={"revision": 9}), 404, "not-found")
    check_problem(service.post("/v1/networks/nobody/clone", json={}), 404, "not-found")
    service.delete(path)
    assert same_state(state(service, f"/v1/networks/{name}"), mlp().state_dict())


# --- whole values, in every format ---


def binary(value, kind):
    if kind == "application/vnd.safetensors":
        return save({"whatever": value})
    from io import BytesIO

    buffer = BytesIO()
    if kind == "application/x-npy":
        np.save(buffer, value.numpy())
    elif kind == "application/x-npz":
        np.savez(buffer, value.numpy())
    else:
        torch.save(value, buffer)
    return buffer.getvalue()


KINDS = ["application/x-npy", "application/vnd.safetensors", "application/x-npz", "application/x-pytorch"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_parameter_is_replaced_from_any_format(service, path, kind):
    value = torch.randn(8, 4)
    headers = {"Content-Type": kind}
    reply = service.put(f"{path}/parameters/0.weight", content=binary(value, kind), headers=headers)
    assert reply.status_code == 200, reply.text
    assert torch.equal(read(service, path, "0.weight"), value)
    wrong = service.put(f"{path}/parameters/0.weight", content=binary(value.T.contiguous(), kind), headers=headers)
    check_problem(wrong, 422, "shape-mismatch")
    check_problem(service.put(f"{path}/parameters/0.weight", content=b"junk", headers=headers), 400, "malformed")


@pytest.mark.parametrize(
    ("body", "status", "code", "pointer"),
    [
        ([1.0, 2.0], 422, "shape-mismatch", ""),
        ({"value": [1.0, 2.0]}, 422, "shape-mismatch", "/value"),
        ({"dtype": "complex64", "data": [[1, 2]]}, 422, "bad-dtype", ""),
        ({"value": [1.0], "more": 1}, 422, "unknown-key", "/value"),
        ({"tensor": "x"}, 422, "unknown-name", "/tensor"),
        (["x"], 422, "bad-tensor", "/0"),
    ],
)
def test_a_whole_value_that_does_not_fit_is_refused(service, path, body, status, code, pointer):
    check_problem(service.put(f"{path}/parameters/2.bias", json=body), status, code, pointer)
    assert service.get(path).json()["revision"] == 1


def test_bodies_that_are_no_json_are_refused(service, path):
    for method in ("PUT", "PATCH"):
        reply = service.request(
            method, f"{path}/parameters/2.bias", content=b"{", headers={"Content-Type": "application/json"}
        )
        check_problem(reply, 400, "malformed")
    reply = service.patch(f"{path}/parameters/2.bias", content=b"x", headers={"Content-Type": "application/x-npy"})
    check_problem(reply, 415, "unsupported-media-type")
    check_problem(service.patch(f"{path}/parameters/7.bias", json={"edits": [{"value": 1}]}), 404, "not-found")
    check_problem(service.put(f"{path}/parameters/0", json=1), 404, "not-found")


# --- histogram ---


def test_a_histogram_counts_as_numpy_does(service, path):
    value = torch.randn(8, 4)
    value[0, 0], value[1, 1], value[2] = float("nan"), float("inf"), 0
    headers = {"Content-Type": "application/x-npy"}
    service.put(f"{path}/parameters/0.weight", content=binary(value, "application/x-npy"), headers=headers)
    reply = service.get(f"{path}/parameters/0.weight/histogram", params={"bins": 7}).json()
    finite = value[value.isfinite()].double()
    counts, edges = np.histogram(finite.numpy(), bins=7)
    assert reply["counts"] == counts.tolist()
    assert reply["edges"] == pytest.approx(edges.tolist(), abs=1e-12)
    assert reply["mean"] == pytest.approx(float(finite.mean()), abs=1e-12)
    assert reply["std"] == pytest.approx(float(finite.std()), abs=1e-12)
    assert (reply["min"], reply["max"]) == (float(finite.min()), float(finite.max()))
    assert (reply["zeros"], reply["non_finite"]) == (4 / 32, 2 / 32)
    assert reply["revision"] == 2


def test_histograms_of_few_or_no_numbers_have_nulls_where_nothing_can_be_said(service, path):
    service.put(f"{path}/parameters/2.bias", json=["NaN"])
    nothing = service.get(f"{path}/parameters/2.bias/histogram", params={"bins": 2}).json()
    assert (nothing["counts"], nothing["mean"], nothing["std"], nothing["non_finite"]) == ([0, 0], None, None, 1.0)
    one = service.get(f"{path}/parameters/2.bias/histogram", params={"bins": 2, "revision": 1}).json()
    assert (sum(one["counts"]), one["std"]) == (1, None)
    part = service.get(f"{path}/parameters/0.weight/histogram", params={"index": "0", "bins": 2}).json()
    assert (part["shape"], sum(part["counts"])) == ([4], 4)
    check_problem(service.get(f"{path}/parameters/0.weight/histogram?bins=0"), 422, "invalid-request")
    check_problem(service.get(f"{path}/parameters/0.wait/histogram"), 404, "not-found")


# --- buffers that a forward updates ---


def batch_norm():
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8))


def test_a_forward_in_train_mode_keeps_buffers_only_when_asked(service, fresh_name):
    path = create(service, fresh_name(), ["Linear(4, 8)", "BatchNorm1d(8)"])
    net = batch_norm()
    body = {"inputs": X.tolist(), "mode": "train"}
    assert service.post(f"{path}/forward", json=body).json()["revision"] == 1
    assert same_state(state(service, path), net.state_dict())
    for revision in (2, 3):
        reply = service.post(f"{path}/forward", json={**body, "update_buffers": True})
        net.train()(X)
        assert (reply.json()["revision"], reply.headers["etag"]) == (revision, f'"{revision}"')
        assert same_state(state(service, path), net.state_dict())
    assert torch.equal(forward(service, path, X), net.eval()(X))
    newest = service.get(f"{path}/revisions").json()["items"][0]
    assert newest["operation"] == "forward"
    assert newest["detail"]["updated"] == ["1.running_mean", "1.running_var", "1.num_batches_tracked"]
    binary_reply = service.post(
        f"{path}/forward?mode=train&update_buffers=true",
        content=binary(X, "application/x-npy"),
        headers={"Content-Type": "application/x-npy", "Accept": "application/x-npy", "If-Match": '"3"'},
    )
    assert (binary_reply.status_code, binary_reply.headers["etag"]) == (200, '"4"')


def test_updating_buffers_needs_train_mode_the_head_and_the_revision_that_was_seen(service, fresh_name):
    path = create(service, fresh_name(), ["Linear(4, 8)", "BatchNorm1d(8)"])
    body = {"inputs": X.tolist(), "mode": "train", "update_buffers": True}
    check_problem(service.post(f"{path}/forward", json={**body, "mode": "eval"}), 422, "bad-request", "/update_buffers")
    check_problem(service.post(f"{path}/forward", json={**body, "update_buffers": 1}), 422, "bad-request")
    stale = service.post(f"{path}/forward", json=body, headers={"If-Match": '"5"'})
    check_problem(stale, 412, "stale-revision")
    assert service.get(path).json()["revision"] == 1
    service.post(f"{path}/forward", json=body)
    check_problem(service.post(f"{path}/forward", json={**body, "revision": 1}), 422, "bad-request", "/revision")
