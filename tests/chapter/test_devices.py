"""Row D4: a network has a device, moves, and runs where its parameters are."""

from collections.abc import Callable, Iterator

import httpx
import pytest
import torch
from torch import nn

from tests.laboratory import assert_same, assert_same_state, create, listed, parameter, run, state_of
from tests.service import start_service

SEED = 7
FreshName = Callable[..., str]
X = torch.ones(2, 3)


@pytest.fixture(scope="module", name="two_slots")
def start_two_slots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service with two CPU slots, which stand for two devices."""
    folder = tmp_path_factory.mktemp("two-slots")
    with start_service(folder, env={"MODEL_LAB_DEVICES": "cpu:0,cpu:1"}) as running, running.client() as client:
        yield client


def chapter_net() -> nn.Sequential:
    torch.manual_seed(SEED)
    return nn.Sequential(nn.Linear(3, 1))


def test_d4_a_network_is_placed_where_it_is_asked_to_be(two_slots: httpx.Client, fresh_name: FreshName) -> None:
    for asked, given in ((None, "cpu:0"), ("auto", "cpu:0"), ("cpu", "cpu:0"), ("cpu:0", "cpu:0"), ("cpu:1", "cpu:1")):
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
