"""Rows D1 to D4: what there is to compute on, tensors that live there, networks that are placed and moved."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import torch
from torch import nn

from tests.chapter.test_scripts import run_script
from tests.faults.conditions import eventually, workers
from tests.laboratory import assert_same, assert_same_state, create, from_json, listed, parameter, run, state_of
from tests.service import start_service

SEED = 7
FreshName = Callable[..., str]
X = torch.ones(2, 3)


@pytest.fixture(scope="module", name="two_slots")
def start_two_slots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service with two CPU slots, which stand for two devices."""
    folder = tmp_path_factory.mktemp("two-slots")
    with start_service(folder, env={"MODEL_LAB_DEVICES": "cpu:0,cpu:1"}) as running, running.client() as client:
        eventually(lambda: all(worker["state"] == "ready" for worker in workers(client)), "both workers are ready")
        yield client


def chapter_net() -> nn.Sequential:
    torch.manual_seed(SEED)
    return nn.Sequential(nn.Linear(3, 1))


def device_of(client: httpx.Client, name: str) -> dict[str, Any]:
    """What the list of devices says of one."""
    items = client.get("/v1/devices").json()["items"]
    return next(item for item in items if item["name"] == name)


def networks_on(client: httpx.Client, device: str) -> dict[str, dict[str, Any]]:
    return {network["name"]: network for network in device_of(client, device)["networks"]}


def test_d1_devices_tell_their_name_memory_use_and_what_is_on_them(
    two_slots: httpx.Client, fresh_name: FreshName
) -> None:
    name = fresh_name("d1")
    create(two_slots, name, ["Linear(3, 1)"], device="cpu:1")
    reply = two_slots.get("/v1/devices").json()
    assert [item["name"] for item in reply["items"]] == ["cpu:0", "cpu:1"]
    for index, item in enumerate(reply["items"]):
        assert (item["type"], item["index"], item["state"]) == ("cpu", index, "ready")
        assert item["model"]
        memory = item["memory"]
        assert (
            0 < memory["worker_bytes"] < memory["used_bytes"] < memory["total_bytes"] == psutil.virtual_memory().total
        )
        assert memory["resident_bytes"] <= memory["budget_bytes"]
        assert 0 <= item["utilization"] <= 1
        assert item["queue"] >= 0
    assert networks_on(two_slots, "cpu:1")[name]["bytes"] >= 4 * 4
    assert name not in networks_on(two_slots, "cpu:0")


def test_d1_a_device_that_works_is_described_all_the_same(two_slots: httpx.Client, fresh_name: FreshName) -> None:
    name = fresh_name("d1")
    slow = {"inputs": ["x"], "forward": ["for i in range(60000):", "    x = x * 1.0001", "return x"]}
    create(two_slots, name, slow, device="cpu:1")
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(two_slots.post, f"/v1/networks/{name}/forward", json={"inputs": [1.0] * 100})
        eventually(lambda: device_of(two_slots, "cpu:1")["queue"] == 1, "it runs")
        assert name in networks_on(two_slots, "cpu:1")
        assert device_of(two_slots, "cpu:1")["memory"]["worker_bytes"] > 0
        assert not running.done()
        assert running.result().status_code == 200


def test_d2_devices_have_names_a_count_and_a_default(two_slots: httpx.Client) -> None:
    reply = two_slots.get("/v1/devices").json()
    assert reply["default"] == "cpu:0"
    assert reply["cuda_count"] == 0 == sum(item["type"] == "cuda" for item in reply["items"])


def test_d2_auto_takes_the_device_with_the_fewest_bytes_on_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("auto")
    with start_service(folder, env={"MODEL_LAB_DEVICES": "cpu:0,cpu:1"}) as running, running.client() as client:
        assert create(client, "large", "Linear(100, 100)")["device"] == "cpu:0"
        placed = [create(client, f"small{n}", "Linear(10, 100)", device="auto")["device"] for n in range(5)]
        assert placed == ["cpu:1"] * 5
        assert create(client, "more", "Linear(200, 100)", device="auto")["device"] == "cpu:1"
        assert create(client, "last", "Linear(1, 1)", device="auto")["device"] == "cpu:0"
        assert client.delete("/v1/networks/more").status_code == 204
        assert (
            client.post("/v1/networks/large/clone", json={"name": "twin", "device": "auto"}).json()["device"] == "cpu:1"
        )


def test_d2_where_a_device_is_not_there_a_cpu_stands_in_if_it_may(
    two_slots: httpx.Client, fresh_name: FreshName
) -> None:
    name = fresh_name("d2")
    assert create(two_slots, name, "Linear(3, 1)", device="cuda:9", fallback=True)["device"] == "cpu:0"
    clone = {"name": fresh_name("d2"), "device": "cuda", "fallback": True}
    reply = two_slots.post(f"/v1/networks/{name}/clone", json=clone)
    assert (reply.status_code, reply.json()["device"]) == (201, "cpu:0")


def post(client: httpx.Client, path: str, status: int, **body: Any) -> dict[str, Any]:
    reply = client.post(path, json=body)
    assert reply.status_code == status, reply.text
    return dict(reply.json())


def test_d3_tensors_live_on_devices_are_copied_and_not_mixed(two_slots: httpx.Client, fresh_name: FreshName) -> None:
    x, y, z = fresh_name("X"), fresh_name("Y"), fresh_name("Z")
    assert post(two_slots, "/v1/tensors", 201, name=x, expression="ones(2, 3)")["device"] == "cpu:0"  # x.device
    made = post(two_slots, "/v1/tensors", 201, name=y, expression="rand(2, 3)", device="cpu:1", seed=SEED)
    assert made["device"] == "cpu:1"
    torch.manual_seed(SEED)
    twin_x, twin_y = torch.ones(2, 3), torch.rand(2, 3)
    problem = post(two_slots, "/v1/tensors/evaluate", 409, expression=f"{x} + {y}")  # X + Y across devices
    assert problem["code"] == "device-mismatch"
    assert sorted(problem["devices"]) == ["cpu:0", "cpu:1"]
    copy = post(two_slots, f"/v1/tensors/{x}/copy", 201, device="cpu:1", name=z)  # Z = X.cuda(1)
    assert (copy["name"], copy["device"]) == (z, "cpu:1")
    value = post(two_slots, "/v1/tensors/evaluate", 200, expression=f"{y} + {z}")  # Y + Z
    assert value["device"] == "cpu:1"
    assert_same(from_json(value), twin_y + twin_x)
    assert post(two_slots, f"/v1/tensors/{z}/copy", 200, device="cpu:1") == copy  # Z.cuda(1) is Z
    assert two_slots.get(f"/v1/tensors/{x}").json()["device"] == "cpu:0"


def test_d3_tensors_survive_the_worker_of_their_device(two_slots: httpx.Client, fresh_name: FreshName) -> None:
    name = fresh_name("X")
    post(two_slots, "/v1/tensors", 201, name=name, value=[1.5, -2.5], device="cpu:1")
    pid = workers(two_slots)[1]["pid"]
    os.kill(pid, signal.SIGKILL)
    value = post(two_slots, "/v1/tensors/evaluate", 200, expression=f"{name} * 2")
    assert_same(from_json(value), torch.tensor([3.0, -5.0]))
    assert workers(two_slots)[1]["pid"] != pid


def test_d4_a_network_is_placed_where_it_is_asked_to_be(two_slots: httpx.Client, fresh_name: FreshName) -> None:
    for asked, given in ((None, "cpu:0"), ("cpu", "cpu:0"), ("cpu:0", "cpu:0"), ("cpu:1", "cpu:1")):
        name = fresh_name("d4")
        fields = {} if asked is None else {"device": asked}
        assert create(two_slots, name, ["Linear(3, 1)"], seed=SEED, **fields)["device"] == given
        assert parameter(two_slots, name, "0.weight")["device"] == given
        reply = two_slots.post(f"/v1/networks/{name}/forward", json={"inputs": X.tolist()}).json()
        assert reply["device"] == given
        assert_same_state(state_of(two_slots, name), chapter_net())


def test_d4_a_network_moves_and_runs_where_its_parameters_are(two_slots: httpx.Client, fresh_name: FreshName) -> None:
    name, net = fresh_name("d4"), chapter_net()
    create(two_slots, name, ["Linear(3, 1)"], seed=SEED)
    with torch.no_grad():
        wanted = net(X)
    for device in ("cpu:1", "cpu:1", "cpu:0", "cpu:1"):
        moved = two_slots.put(f"/v1/networks/{name}/device", json={"device": device})
        assert (moved.status_code, moved.json()["device"], moved.json()["revision"]) == (200, device, 1)
        assert two_slots.get(f"/v1/networks/{name}").json()["device"] == device
        reply = two_slots.post(f"/v1/networks/{name}/forward", json={"inputs": X.tolist()}).json()
        assert reply["device"] == device
        assert_same(run(two_slots, name, X)["output"], wanted)
        assert {item["device"] for item in listed(two_slots, name)} == {device}
        assert parameter(two_slots, name, "0.weight")["device"] == device  # net[0].weight.data.device
        residents = {
            item["name"]: {network["name"] for network in item["networks"]}
            for item in two_slots.get("/v1/devices").json()["items"]
        }
        assert name in residents[device]
    assert_same_state(state_of(two_slots, name), net)


def test_d4_a_network_that_moves_away_or_is_deleted_leaves_no_memory_behind(
    two_slots: httpx.Client, fresh_name: FreshName
) -> None:
    name, byte_count = fresh_name("d4"), 2000 * 4000 * 4
    before = [device_of(two_slots, f"cpu:{n}")["memory"] for n in range(2)]
    create(two_slots, name, "Linear(4000, 2000, bias=False)", device="cpu:0")
    created = [device_of(two_slots, f"cpu:{n}")["memory"] for n in range(2)]
    assert created[0]["resident_bytes"] - before[0]["resident_bytes"] >= byte_count
    assert created[0]["worker_bytes"] - before[0]["worker_bytes"] > 0.8 * byte_count
    assert two_slots.put(f"/v1/networks/{name}/device", json={"device": "cpu:1"}).status_code == 200
    eventually(lambda: name not in networks_on(two_slots, "cpu:0"), "it has left")
    least = created[0]["worker_bytes"] - 0.8 * byte_count
    eventually(lambda: device_of(two_slots, "cpu:0")["memory"]["worker_bytes"] < least, "its memory is given back")
    moved = [device_of(two_slots, f"cpu:{n}")["memory"] for n in range(2)]
    assert name in networks_on(two_slots, "cpu:1")
    assert moved[1]["worker_bytes"] - before[1]["worker_bytes"] > 0.8 * byte_count
    assert two_slots.delete(f"/v1/networks/{name}").status_code == 204
    eventually(lambda: name not in networks_on(two_slots, "cpu:1"), "it is gone")
    left = moved[1]["worker_bytes"] - 0.8 * byte_count
    eventually(lambda: device_of(two_slots, "cpu:1")["memory"]["worker_bytes"] < left, "its memory is given back")
    gone = device_of(two_slots, "cpu:1")["memory"]
    assert moved[1]["resident_bytes"] - gone["resident_bytes"] >= byte_count


def test_d4_a_device_that_is_not_there_is_refused_unless_a_cpu_may_stand_in(
    two_slots: httpx.Client, fresh_name: FreshName
) -> None:
    name = fresh_name("d4")
    reply = two_slots.post("/v1/networks", json={"name": name, "architecture": "Linear(3, 1)", "device": "cuda:9"})
    assert (reply.status_code, reply.json()["code"]) == (422, "unknown-device")
    assert reply.json()["errors"][0]["pointer"] == "/device"
    assert "cpu:0, cpu:1" in reply.json()["detail"]
    create(two_slots, name, "Linear(3, 1)", device="cpu:1")
    reply = two_slots.put(f"/v1/networks/{name}/device", json={"device": "cuda:9"})
    assert (reply.status_code, reply.json()["code"]) == (422, "unknown-device")
    assert two_slots.get(f"/v1/networks/{name}").json()["device"] == "cpu:1"
    reply = two_slots.put(f"/v1/networks/{name}/device", json={"device": "cuda:9", "fallback": True})
    assert (reply.status_code, reply.json()["device"]) == (200, "cpu:0")


def test_d4_tensors_that_a_forward_makes_are_made_where_the_network_is(
    two_slots: httpx.Client, fresh_name: FreshName
) -> None:
    name = fresh_name("d4")
    forward = ["return X + arange(3) + ones(3) * zeros(2, 1)"]
    create(two_slots, name, {"inputs": ["X"], "forward": forward}, device="cpu:1")
    assert_same(run(two_slots, name, X)["output"], X + torch.arange(3) + torch.ones(3) * torch.zeros(2, 1))


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl is installed")
def test_the_script_of_this_section_gives_what_pytorch_gives(two_slots: httpx.Client, tmp_path: Path) -> None:
    for _ in range(2):  # a script may be run again
        printed = run_script("devices.sh", str(two_slots.base_url), tmp_path)
    assert {title.split()[0] for title in printed.titles} == {f"D{row}" for row in range(1, 6)}
    assert [item["name"] for item in printed.replies("D1")[0]["items"]] == ["cpu:0", "cpu:1"]
    counted = [line.partition(":")[2].strip().strip('"') for line in printed.text("D2 cuda_count").splitlines()]
    assert sorted(counted) == ["0", "cpu:0", "cpu:1"]
    assert printed.replies("D2 try_gpu")[0]["device"] == "cpu:0"
    assert printed.replies("D2 cuda:10")[0]["code"] == "unknown-device"
    [x] = printed.replies("D3 X.device")
    assert x["device"] == "cpu:0"
    assert_same(from_json(x), X)
    [refused] = printed.replies("D3 X + Y")
    assert refused["code"] == "device-mismatch"
    assert "cpu:0" in refused["detail"]
    assert "cpu:1" in refused["detail"]
    _, w, y = printed.replies("D3 Y + Z")
    assert w["device"] == "cpu:1"
    assert_same(from_json(w), from_json(y) + X)
    assert printed.text("D3 Z.cuda(1)").splitlines()[-1] == "200"
    mismatch, there, moved = printed.replies("D4 net(X)")
    assert mismatch["code"] == "device-mismatch"
    expected = chapter_net()(X).detach()
    for reply in (there, moved):
        assert reply["device"] == "cpu:1"
        assert_same(from_json(reply["outputs"]["output"]), expected)
    assert "cpu:1" in printed.text("D4 net[0]")
    assert printed.text("D5 what stays") == '"chapter-device"'
    assert "[100,1]" in printed.text("D5 many").replace(" ", "")
