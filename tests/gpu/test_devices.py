"""A GPU beside plain PyTorch on it: the numbers, copies, memory that runs out and comes back, and devices that fail."""

import time
from collections.abc import Callable
from typing import Any

import httpx
import psutil
import pytest
import torch
from torch import nn

from tests.api.problem import check_problem
from tests.faults.conditions import eventually, workers
from tests.laboratory import create, from_json, in_json, run, state_of
from tests.training.runs import start, wait

FreshName = Callable[..., str]
MIB = 2**20
NETS: dict[str, tuple[object, Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (
        ["Linear(20, 256)", "ReLU()", "Linear(256, 10)"],
        lambda: nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10)),
        (4, 20),
    ),
    "convolution": (
        ["Conv2d(3, 8, 3)", "BatchNorm2d(8)", "MaxPool2d(2)", "Flatten()", "Linear(392, 5)"],
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(392, 5)
        ),
        (2, 3, 16, 16),
    ),
    "attention": (
        ["TransformerEncoderLayer(16, 4, 32, batch_first=True)"],
        lambda: nn.Sequential(nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)),
        (2, 5, 16),
    ),
}  # fmt: skip
# Takes 64 MiB a step and keeps all of it, until there is no more.
GREEDY = {
    "inputs": ["x"],
    "forward": [
        "kept = []",
        "for i in range(9000):",
        "    kept.append(zeros(4096, 4096) + x.sum())",
        "return kept[0].sum()",
    ],
}


def of_device(lab: httpx.Client, device: str) -> dict[str, Any]:
    items = lab.get("/v1/devices").json()["items"]
    return next(item for item in items if item["name"] == device)


def worker_of(lab: httpx.Client, device: str) -> dict[str, Any]:
    return next(one for one in workers(lab) if one["device"] == device and one["lane"] == "requests")


@pytest.mark.parametrize("kind", NETS)
def test_a_network_gives_what_pytorch_gives_on_the_same_device(
    lab: httpx.Client, device: str, place: torch.device, fresh_name: FreshName, kind: str
) -> None:
    architecture, make, shape = NETS[kind]
    name = fresh_name(kind)
    create(lab, name, architecture, device=device, seed=7)
    torch.manual_seed(7)
    net = make().eval().to(place)
    X = torch.linspace(-1, 1, torch.Size(shape).numel()).reshape(shape)
    with torch.inference_mode():
        expected = net(X.to(place)).cpu()
    torch.testing.assert_close(run(lab, name, X)["output"], expected)
    reply = lab.post(f"/v1/networks/{name}/backward", json={"inputs": in_json(X), "loss": "output.sum()"})
    assert reply.status_code == 200, reply.text
    inputs = X.to(place).requires_grad_()
    net(inputs).sum().backward()
    assert inputs.grad is not None
    [gradient] = reply.json()["input_gradients"].values()
    torch.testing.assert_close(from_json(gradient), inputs.grad.cpu(), rtol=1e-4, atol=1e-5)


def test_a_tensor_that_goes_there_and_back_keeps_every_bit(
    lab: httpx.Client, device: str, fresh_name: FreshName
) -> None:
    x, there, back = fresh_name("x"), fresh_name("x"), fresh_name("x")
    values = torch.tensor([1.1, -0.0, 3.4e38, 1e-45])
    assert lab.post("/v1/tensors", json={"name": x, "value": in_json(values), "device": "cpu:0"}).status_code == 201
    for source, target, name in ((x, device, there), (there, "cpu:0", back)):
        reply = lab.post(f"/v1/tensors/{source}/copy", json={"device": target, "name": name})
        assert (reply.status_code, reply.json()["device"]) == (201, target)
    body = {"expression": "a + b", "tensors": {"a": x, "b": there}}
    check_problem(lab.post("/v1/tensors/evaluate", json=body), 409, "device-mismatch")
    assert torch.equal(from_json(lab.get(f"/v1/tensors/{back}").json()), values)


def test_a_network_that_leaves_the_device_frees_its_memory(
    lab: httpx.Client, device: str, fresh_name: FreshName
) -> None:
    name = fresh_name("wide")
    lab.post("/v1/tensors/evaluate", json={"expression": "ones(2) @ ones(2)"})
    before = of_device(lab, device)["memory"]["worker_bytes"]
    create(lab, name, ["Linear(4096, 4096, bias=False)"], device=device)
    assert run(lab, name, torch.ones(1, 4096))["output"].shape == (1, 4096)
    held = of_device(lab, device)
    assert held["memory"]["worker_bytes"] >= before + 48 * MIB
    assert name in [network["name"] for network in held["networks"]]
    assert lab.put(f"/v1/networks/{name}/device", json={"device": "cpu:0"}).status_code == 200
    eventually(
        lambda: of_device(lab, device)["memory"]["worker_bytes"] <= held["memory"]["worker_bytes"] - 48 * MIB,
        "its memory is given back",
    )


def test_memory_that_runs_out_is_told_and_is_there_again(lab: httpx.Client, device: str, fresh_name: FreshName) -> None:
    name, small = fresh_name("greedy"), fresh_name("small")
    create(lab, name, GREEDY, device=device)
    create(lab, small, ["Linear(2, 2)"], device=device)
    expected = run(lab, small, torch.ones(1, 2))["output"]
    worker, before = worker_of(lab, device), of_device(lab, device)["memory"]["worker_bytes"]
    reply = lab.post(f"/v1/networks/{name}/forward", json={"inputs": [1.0]})
    check_problem(reply, *((507, "out-of-memory") if device == "cuda:0" else (422, "limit-exceeded")))
    assert torch.equal(run(lab, small, torch.ones(1, 2))["output"], expected)
    assert worker_of(lab, device)["pid"] == worker["pid"]
    eventually(
        lambda: of_device(lab, device)["memory"]["worker_bytes"] <= before + 128 * MIB, "its memory is given back"
    )


def test_an_index_out_of_range_costs_a_gpu_its_worker_which_is_replaced(
    lab: httpx.Client, device: str, fresh_name: FreshName
) -> None:
    name = fresh_name("embedding")
    create(lab, name, ["Embedding(10, 4)"], device=device, seed=3)
    good, bad = torch.tensor([1, 2]), torch.tensor([1, 20])
    expected = run(lab, name, good)["output"]
    before = worker_of(lab, device)["pid"]
    reply = lab.post(f"/v1/networks/{name}/forward", json={"inputs": in_json(bad)})
    if device == "cuda:0":
        check_problem(reply, 503, "device-failed")
        began = time.monotonic()
        eventually(lambda: worker_of(lab, device)["pid"] != before, "the worker is another")
        eventually(lambda: worker_of(lab, device)["state"] == "ready", "and answers")
        assert time.monotonic() - began < 5
    else:
        assert reply.status_code == 422, reply.text
        assert worker_of(lab, device)["pid"] == before
    assert torch.equal(run(lab, name, good)["output"], expected)


def test_a_device_tells_what_its_driver_tells(lab: httpx.Client, device: str) -> None:
    told = of_device(lab, device)
    memory = told["memory"]
    assert told["model"]
    assert 0 < memory["worker_bytes"] <= memory["used_bytes"] <= memory["total_bytes"]
    assert 0 <= told["utilization"] <= 1
    if device == "cuda:0":
        seen = torch.cuda.get_device_properties(0)
        assert told["model"] == seen.name
        assert memory["total_bytes"] == pytest.approx(seen.total_memory, rel=0.05)  # the driver keeps some for itself
        assert told["temperature_celsius"] > 0
        assert lab.get("/v1/devices").json()["cuda_count"] == 1
    else:
        assert memory["total_bytes"] == psutil.virtual_memory().total


def test_training_ends_where_pytorch_ends_and_requests_on_the_device_do_not_wait_for_it(
    lab: httpx.Client, device: str, place: torch.device, fresh_name: FreshName
) -> None:
    """The job has a worker of its own on the same device: two processes on one GPU."""
    name, small = fresh_name("trained"), fresh_name("small")
    create(lab, name, ["Linear(4, 8)", "Tanh()", "Linear(8, 1)"], device=device, seed=7)
    create(lab, small, ["Linear(2, 2)"], device=device)
    torch.manual_seed(7)
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).to(place)
    X = torch.linspace(-1, 1, 96).reshape(24, 4)
    y = X.sum(1, keepdim=True)
    job = start(
        lab, name, inputs=X, targets={"y": y}, loss="mse_loss(output, y)", optimizer="SGD(lr=0.01)", epochs=5,
        batch_size=8, seed=3, shuffle=False,
    )  # fmt: skip
    for _ in range(5):
        assert run(lab, small, torch.ones(1, 2))["output"].shape == (1, 2)
    wait(lab, job)
    lanes = [one["lane"] for one in workers(lab) if one["device"] == device]
    assert lanes == ["requests", "training"]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(5):
        for rows, wanted in zip(X.split(8), y.split(8), strict=True):
            optimizer.zero_grad()
            nn.functional.mse_loss(net(rows.to(place)), wanted.to(place)).backward()
            optimizer.step()
    for key, value in state_of(lab, name).items():
        torch.testing.assert_close(value, net.state_dict()[key].cpu(), rtol=1e-4, atol=1e-6)
