"""Tensors that live on a device, over HTTP: making, reading, copying, combining, deleting; and what is refused."""

import io
from collections.abc import Callable, Iterator

import httpx
import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from tests.api.problem import check_problem
from tests.faults.conditions import eventually, workers
from tests.laboratory import NPY, SAFETENSORS, assert_same, create, from_json, from_npy, npy, run, value_of
from tests.service import start_service

FreshName = Callable[..., str]
TWO = torch.tensor([[0.1, -2.5, 3e-41], [float("nan"), float("inf"), -0.0]])


@pytest.fixture(scope="module", name="slots")
def start_slots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("tensors")
    with start_service(folder, env={"MODEL_LAB_DEVICES": "cpu:0,cpu:1"}) as running, running.client() as client:
        eventually(lambda: all(worker["state"] == "ready" for worker in workers(client)), "both workers are ready")
        yield client


def make(client: httpx.Client, **body: object) -> dict:
    reply = client.post("/v1/tensors", json=body)
    assert reply.status_code == 201, reply.text
    assert reply.headers["location"] == f"/v1/tensors/{reply.json()['name']}"
    return reply.json()


def read(client: httpx.Client, name: str, **query: str) -> torch.Tensor:
    reply = client.get(f"/v1/tensors/{name}", params=query)
    assert reply.status_code == 200, reply.text
    return from_json(reply.json()) if "format" not in query else reply.content


def device_of(client: httpx.Client, name: str) -> str:
    return client.get(f"/v1/tensors/{name}").json()["device"]


def resident(client: httpx.Client, device: str) -> set[str]:
    items = client.get("/v1/devices").json()["items"]
    return {tensor["name"] for item in items if item["name"] == device for tensor in item["tensors"]}


def test_a_tensor_is_made_of_values_or_an_expression(slots, fresh_name):
    name = fresh_name("t")
    made = make(slots, name=name, value=[[1, 2], [3, 4]], device="cpu:1")
    assert (made["device"], made["dtype"], made["shape"], made["byte_count"]) == ("cpu:1", "float32", [2, 2], 16)
    assert_same(read(slots, name), torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert name in resident(slots, "cpu:1")
    assert_same(read(slots, make(slots, expression="ones(2, 3)")["name"]), torch.ones(2, 3))
    torch.manual_seed(7)
    assert_same(read(slots, make(slots, expression="rand(2, 3)", seed=7)["name"]), torch.rand(2, 3))
    flat = make(slots, dtype="int64", shape=[2, 2], data=[1, 2, 3, 4])
    assert_same(read(slots, flat["name"]), torch.tensor([[1, 2], [3, 4]]))
    assert_same(read(slots, make(slots, value=[1, 2], dtype="int64")["name"]), torch.tensor([1, 2]))
    assert_same(read(slots, make(slots, expression="arange(3)", dtype="float64")["name"]), torch.arange(3).double())
    assert_same(read(slots, make(slots, value=3)["name"]), torch.tensor(3.0))
    assert_same(read(slots, make(slots, value={"data": [True, False]})["name"]), torch.tensor([True, False]))


def test_a_tensor_is_made_of_a_file_and_every_bit_comes_back(slots, fresh_name):
    name = fresh_name("t")
    reply = slots.post(
        "/v1/tensors", content=npy(TWO), headers={"Content-Type": NPY}, params={"name": name, "device": "cpu:1"}
    )
    assert (reply.status_code, reply.json()["device"]) == (201, "cpu:1")
    assert torch.equal(from_npy(read(slots, name, format="npy")).view(torch.int32), TWO.view(torch.int32))
    half = torch.arange(4, dtype=torch.bfloat16)
    reply = slots.post("/v1/tensors", content=save({"x": half}), headers={"Content-Type": SAFETENSORS})
    [back] = load(read(slots, reply.json()["name"], format="safetensors")).values()
    assert_same(back, half)
    several = save({"x": half, "y": half.clone()})
    check_problem(slots.post("/v1/tensors", content=several, headers={"Content-Type": SAFETENSORS}), 422, "bad-tensor")


def test_a_part_of_a_tensor_is_read_by_an_index(slots, fresh_name):
    name = fresh_name("t")
    make(slots, name=name, expression="arange(12).reshape(3, 4)")
    whole = torch.arange(12).reshape(3, 4)
    assert_same(read(slots, name, index="1, ::2"), whole[1, ::2])
    assert_same(torch.from_numpy(np.load(io.BytesIO(read(slots, name, index="-1", format="npy")))), whole[-1])
    check_problem(slots.get(f"/v1/tensors/{name}", params={"index": "5"}), 422, "bad-index")


def test_a_copy_to_another_device_is_new_and_a_copy_to_its_own_is_itself(slots, fresh_name):
    name, there = fresh_name("t"), fresh_name("t")
    made = make(slots, name=name, value=[1.0, 2.0])
    reply = slots.post(f"/v1/tensors/{name}/copy", json={"device": "cpu:1", "name": there})
    assert (reply.status_code, reply.json()["name"], reply.json()["device"]) == (201, there, "cpu:1")
    assert_same(read(slots, there), read(slots, name))
    assert there in resident(slots, "cpu:1")
    same = slots.post(f"/v1/tensors/{name}/copy", json={"device": "cpu:0", "name": "another"})
    assert (same.status_code, same.json()) == (200, made)
    assert slots.get("/v1/tensors/another").status_code == 404
    check_problem(slots.post(f"/v1/tensors/{name}/copy", json={"device": "cuda:3"}), 422, "unknown-device")
    fallen = slots.post(f"/v1/tensors/{name}/copy", json={"device": "cuda:3", "fallback": True})
    assert (fallen.status_code, fallen.json()["name"]) == (200, name)
    check_problem(slots.post(f"/v1/tensors/{name}/copy", json={"device": "cpu:1", "name": there}), 409, "name-taken")


def test_expressions_are_computed_where_their_tensors_are(slots, fresh_name):
    y, z, w = (fresh_name("t") for _ in range(3))
    make(slots, name=y, value=[[1.0, 2.0]], device="cpu:1")
    make(slots, name=z, expression=f"{y} * 10")
    assert device_of(slots, z) == "cpu:1"
    value = slots.post("/v1/tensors/evaluate", json={"expression": f"{y} + {z}"})
    assert (value.status_code, value.json()["device"]) == (200, "cpu:1")
    assert_same(from_json(value.json()), torch.tensor([[11.0, 22.0]]))
    kept = slots.post("/v1/tensors/evaluate", json={"expression": f"({y} + {z}).T", "name": w})
    assert (kept.status_code, kept.json()["device"], kept.json()["shape"]) == (201, "cpu:1", [2, 1])
    assert_same(read(slots, w), torch.tensor([[11.0], [22.0]]))
    binary = slots.post("/v1/tensors/evaluate", json={"expression": f"{y} @ {y}.T"}, headers={"Accept": NPY})
    assert_same(from_npy(binary.content), torch.tensor([[5.0]]))
    named = {"expression": "a - b", "tensors": {"a": y, "b": z}}
    assert_same(from_json(slots.post("/v1/tensors/evaluate", json=named).json()), torch.tensor([[-9.0, -18.0]]))


def test_what_an_expression_gives_shares_no_memory_with_what_it_is_made_of(slots, fresh_name):
    y, w = fresh_name("t"), fresh_name("t")
    make(slots, name=y, value=[1.0, 2.0, 3.0])
    before = slots.get("/v1/devices").json()["items"][0]["memory"]["resident_bytes"]
    make(slots, name=w, expression=f"{y}[:1].expand(1000)")
    after = slots.get("/v1/devices").json()["items"][0]["memory"]["resident_bytes"]
    assert after - before >= 4000
    assert_same(read(slots, w), torch.ones(1000))


def test_tensors_of_two_devices_are_not_mixed_and_both_are_named(slots, fresh_name):
    here, there = fresh_name("t"), fresh_name("t")
    make(slots, name=here, value=[1.0], device="cpu:0")
    make(slots, name=there, value=[2.0], device="cpu:1")
    for body in ({"expression": f"{here} + {there}"}, {"expression": f"{here} + {there}", "name": fresh_name("t")}):
        problem = check_problem(slots.post("/v1/tensors/evaluate", json=body), 409, "device-mismatch")
        for word in (here, there, "cpu:0", "cpu:1"):
            assert word in problem["detail"]
    body = {"expression": f"{here} + 1", "device": "cpu:1"}
    problem = check_problem(slots.post("/v1/tensors", json=body), 409, "device-mismatch")
    assert "cpu:0" in problem["detail"]
    assert "cpu:1" in problem["detail"]


def test_a_network_takes_a_tensor_of_its_device_and_moves_one_of_another_if_it_may(slots, fresh_name):
    net, here, there = fresh_name(), fresh_name("t"), fresh_name("t")
    create(slots, net, "Linear(3, 2)", seed=1, device="cpu:0")
    torch.manual_seed(1)
    twin = torch.nn.Linear(3, 2)
    x = torch.tensor([[1.0, 2.0, 3.0]])
    make(slots, name=here, value=x.tolist(), device="cpu:0")
    make(slots, name=there, value=x.tolist(), device="cpu:1")
    with torch.no_grad():
        wanted = twin(x)
    assert_same(run(slots, net, {"tensor": here})["output"], wanted)
    assert_same(run(slots, net, {"input": {"tensor": here}})["output"], wanted)
    reply = slots.post(f"/v1/networks/{net}/forward", json={"inputs": {"input": {"tensor": there}}})
    problem = check_problem(reply, 409, "device-mismatch")
    assert problem["errors"][0]["pointer"] == "/inputs/input"
    for word in (there, "cpu:0", "cpu:1"):
        assert word in problem["detail"]
    assert_same(run(slots, net, {"tensor": there}, move=True)["output"], wanted)
    assert_same(run(slots, net, {"tensor": there, "move": True})["output"], wanted)
    assert device_of(slots, there) == "cpu:1"
    check_problem(slots.post(f"/v1/networks/{net}/forward", json={"inputs": {"tensor": "none"}}), 422, "unknown-name")


def test_a_gradient_of_a_tensor_leaves_the_tensor_as_it_was(slots, fresh_name):
    net, x = fresh_name(), fresh_name("t")
    create(slots, net, "Linear(3, 2)", seed=1)
    make(slots, name=x, value=[[1.0, 2.0, 3.0]])
    body = {"inputs": {"tensor": x}, "loss": "output.sum()"}
    first = slots.post(f"/v1/networks/{net}/backward", json=body)
    assert first.status_code == 200, first.text
    assert slots.post(f"/v1/networks/{net}/backward", json=body).json() == first.json()
    assert_same(read(slots, x), torch.tensor([[1.0, 2.0, 3.0]]))


def test_tensors_stand_for_values_in_constants_and_edits(slots, fresh_name):
    net, x, row = fresh_name(), fresh_name("t"), fresh_name("t")
    make(slots, name=x, value=[[0.1, 2.0], [3.0, 4.0]], device="cpu:1")
    make(slots, name=row, value=[7.0, 8.0], device="cpu:1")
    block = {"constants": {"c": {"tensor": x}}, "inputs": ["a"], "forward": "return a @ c"}
    create(slots, net, block, device="cpu:0")
    assert_same(value_of(slots, net, "c"), torch.tensor([[0.1, 2.0], [3.0, 4.0]]))
    resolved = slots.get(f"/v1/networks/{net}/architecture").json()
    assert_same(from_json(resolved["constants"]["c"]), torch.tensor([[0.1, 2.0], [3.0, 4.0]]))
    edit = {"edits": [{"index": "0", "value": {"tensor": row}}]}
    assert slots.patch(f"/v1/networks/{net}/parameters/c", json=edit).status_code == 200
    assert_same(value_of(slots, net, "c"), torch.tensor([[7.0, 8.0], [3.0, 4.0]]))
    assert slots.put(f"/v1/networks/{net}/parameters/c", json={"tensor": x}).status_code == 200
    assert_same(value_of(slots, net, "c"), torch.tensor([[0.1, 2.0], [3.0, 4.0]]))
    wrong = {"constants": {"c": {"tensor": "none"}}, "inputs": ["a"], "forward": "return a @ c"}
    problem = check_problem(slots.post("/v1/networks", json={"architecture": wrong}), 422, "unknown-name")
    assert problem["errors"][0]["pointer"] == "/architecture/constants/c/tensor"


def test_a_deleted_tensor_is_gone_from_its_device(slots, fresh_name):
    name = fresh_name("t")
    make(slots, name=name, value=[1.0])
    tag = slots.get(f"/v1/tensors/{name}").headers["etag"]
    check_problem(slots.delete(f"/v1/tensors/{name}", headers={"If-Match": '"other"'}), 412, "stale-revision")
    assert name in resident(slots, "cpu:0")
    assert slots.delete(f"/v1/tensors/{name}", headers={"If-Match": tag}).status_code == 204
    eventually(lambda: name not in resident(slots, "cpu:0"), "it is gone")
    assert slots.get(f"/v1/tensors/{name}").status_code == 404
    assert slots.delete(f"/v1/tensors/{name}").status_code == 404


def test_tensors_are_listed_in_pages(slots, fresh_name):
    names = sorted(fresh_name("listed") for _ in range(3))
    for name in names:
        make(slots, name=name, value=0)
    found, query = [], {"page_size": "2"}
    while True:
        page = slots.get("/v1/tensors", params=query).json()
        found += [item["name"] for item in page["items"]]
        if page["next_page_token"] is None:
            break
        query["page_token"] = page["next_page_token"]
    assert found == sorted(found)
    assert set(names) <= set(found)


def test_a_tensor_is_made_once_however_often_it_is_asked_for(slots, fresh_name):
    body = {"expression": "rand(3)"}
    key = fresh_name("key")
    replies = [slots.post("/v1/tensors", json=body, headers={"Idempotency-Key": key}) for _ in range(2)]
    assert replies[0].json() == replies[1].json()
    name = replies[0].json()["name"]
    check_problem(slots.post("/v1/tensors", json={"name": name, "value": 1}), 409, "name-taken")


@pytest.mark.parametrize(
    ("body", "status", "code", "pointer"),
    [
        ({}, 422, "bad-request", ""),
        ({"value": 1, "expression": "1"}, 422, "bad-request", ""),
        ({"value": [[1], [2, 3]]}, 422, "bad-tensor", "/value/1"),
        ({"expression": "ones(2"}, 422, "bad-expression", "/expression"),
        ({"expression": 5}, 422, "bad-expression", "/expression"),
        ({"expression": "nobody + 1"}, 422, "bad-expression", "/expression"),
        ({"expression": "a", "tensors": {"a": "nobody"}}, 422, "unknown-name", "/tensors"),
        ({"expression": "a", "tensors": [1]}, 422, "bad-request", "/tensors"),
        ({"expression": "(1, 2)"}, 422, "bad-output", "/expression"),
        ({"expression": "zeros(10**12)"}, 422, "limit-exceeded", "/expression"),
        ({"expression": "zeros(1).expand(10**12)"}, 422, "limit-exceeded", "/expression"),
        ({"expression": "ones(2)", "data": [1]}, 422, "bad-request", ""),
        ({"value": 1, "dtype": "float99"}, 422, "bad-dtype", "/dtype"),
        ({"value": 1, "dtype": 3}, 422, "bad-dtype", "/dtype"),
        ({"value": 1, "colour": 3}, 422, "unknown-key", "/colour"),
        ({"value": 1, "name": "a/b"}, 422, "bad-name", "/name"),
        ({"value": 1, "name": 5}, 422, "bad-request", "/name"),
        ({"value": 1, "device": []}, 422, "bad-request", "/device"),
        ({"value": 1, "fallback": "yes"}, 422, "bad-request", "/fallback"),
        ({"value": 1, "device": "cpu:9"}, 422, "unknown-device", "/device"),
        ({"value": {"tensor": "nobody"}}, 422, "unknown-name", "/value/tensor"),
        ({"expression": "ones(2)", "seed": "x"}, 422, "bad-request", "/seed"),
    ],
)
def test_what_makes_no_tensor_is_refused_with_its_place(slots, body, status, code, pointer):
    check_problem(slots.post("/v1/tensors", json=body), status, code, pointer)


def test_a_body_that_is_no_json_is_malformed(slots):
    for content in (b"{", b'{"value": 1, "value": 2}', b'{"value": NaN}', b""):
        reply = slots.post("/v1/tensors", content=content, headers={"Content-Type": "application/json"})
        check_problem(reply, 400, "malformed")
    reply = slots.post("/v1/tensors", content=b"[1]", headers={"Content-Type": "application/json"})
    check_problem(reply, 422, "bad-request")
