"""How tensors go in and come out of the chapter's networks, and what else a forward can be asked for."""

import io
from collections.abc import Callable

import httpx
import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from tests.chapter.textbook import MLP, MLP_JSON
from tests.laboratory import NPY, SAFETENSORS, assert_same, create, from_json, from_npy, npy, run, run_binary

SEED = 7
FreshName = Callable[..., str]
X = torch.rand(2, 20, generator=torch.Generator().manual_seed(1))


@pytest.fixture(name="mlp")
def make_mlp(service: httpx.Client, fresh_name: FreshName) -> str:
    name = fresh_name("mlp")
    create(service, name, MLP_JSON, seed=SEED)
    return name


def chapter_mlp() -> MLP:
    torch.manual_seed(SEED)
    return MLP()


@pytest.fixture(name="wanted")
def make_wanted() -> torch.Tensor:
    with torch.no_grad():
        return chapter_mlp()(X)


@pytest.mark.parametrize(
    "inputs",
    [
        X.tolist(),
        {"X": X.tolist()},
        {"data": X.tolist()},
        {"dtype": "float32", "shape": [2, 20], "data": X.flatten().tolist()},
        {"X": {"dtype": "float32", "shape": [2, 20], "data": X.tolist()}},
    ],
    ids=["lists", "by-name", "data", "flat", "by-name-with-dtype"],
)
def test_json_in_every_form_is_one_input(service: httpx.Client, mlp: str, wanted: torch.Tensor, inputs: object) -> None:
    reply = service.post(f"/v1/networks/{mlp}/forward", json={"inputs": inputs})
    assert reply.status_code == 200, reply.text
    assert (reply.json()["revision"], reply.headers["etag"], reply.json()["device"]) == (1, '"1"', "cpu:0")
    assert_same(from_json(reply.json()["outputs"]["output"]), wanted)


@pytest.mark.parametrize("accept", [NPY, SAFETENSORS, "application/json", "application/x-npz", "application/x-pytorch"])
@pytest.mark.parametrize("sent", [NPY, SAFETENSORS, "application/octet-stream", "application/x-npz"])
def test_each_format_in_gives_each_format_out(
    service: httpx.Client, mlp: str, wanted: torch.Tensor, sent: str, accept: str
) -> None:
    file = io.BytesIO()
    np.savez(file, X=X.numpy())
    bodies = {NPY: npy(X), "application/x-npz": file.getvalue()}
    body = bodies.get(sent, save({"X": X}))
    reply = service.post(f"/v1/networks/{mlp}/forward", content=body, headers={"Content-Type": sent, "Accept": accept})
    assert reply.status_code == 200, reply.text
    assert (reply.headers["content-type"], reply.headers["etag"]) == (accept, '"1"')
    read: dict[str, Callable[[bytes], torch.Tensor]] = {
        NPY: from_npy,
        SAFETENSORS: lambda content: load(content)["output"],
        "application/json": lambda _: from_json(reply.json()["outputs"]["output"]),
        "application/x-npz": lambda content: torch.from_numpy(np.load(io.BytesIO(content))["output"]),
        "application/x-pytorch": _from_pt,
    }
    assert_same(read[accept](reply.content), wanted)


def _from_pt(content: bytes) -> torch.Tensor:
    loaded = torch.load(io.BytesIO(content), weights_only=True)
    return loaded["output"] if isinstance(loaded, dict) else loaded


def test_a_pt_file_of_plain_pytorch_is_an_input(service: httpx.Client, mlp: str, wanted: torch.Tensor) -> None:
    for value in (X, {"X": X}):
        file = io.BytesIO()
        torch.save(value, file)
        headers = {"Content-Type": "application/x-pytorch", "Accept": SAFETENSORS}
        reply = service.post(f"/v1/networks/{mlp}/forward", content=file.getvalue(), headers=headers)
        assert reply.status_code == 200, reply.text
        assert_same(load(reply.content)["output"], wanted)


def test_npy_of_several_outputs_is_406(service: httpx.Client, fresh_name: FreshName) -> None:
    name = fresh_name("two")
    create(service, name, {"inputs": ["x"], "forward": ["return x, x + 1"]})
    url = f"/v1/networks/{name}/forward"
    assert service.post(f"{url}?format=npy", json={"inputs": [1, 2]}).status_code == 406
    assert run(service, name, [1.0, 2.0]).keys() == {"output_0", "output_1"}
    outputs = run_binary(service, name, {"x": torch.tensor([1.0, 2.0])})
    assert_same(outputs["output_1"], torch.tensor([2.0, 3.0]))


def test_an_input_of_the_wrong_shape_says_what_came_and_where(service: httpx.Client, mlp: str) -> None:
    reply = service.post(f"/v1/networks/{mlp}/forward", json={"inputs": [[1, 2, 3]]})
    assert (reply.status_code, reply.json()["code"]) == (422, "shape-mismatch")
    for words in ("hidden", "[1, 3]", "line 1"):
        assert words in reply.json()["detail"]


DROPOUT_JSON = {
    "children": {"hidden": "Linear(20, 64)", "drop": "Dropout(0.5)", "out": "Linear(64, 10)"},
    "inputs": ["X"],
    "forward": ["h = drop(relu(hidden(X)))", "return F.dropout(out(h), 0.25, self.training)"],
}


class DropoutMLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(20, 64)
        self.drop = nn.Dropout(0.5)
        self.out = nn.Linear(64, 10)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        h = self.drop(torch.relu(self.hidden(X)))
        return nn.functional.dropout(self.out(h), 0.25, self.training)


def test_mode_train_and_a_seed_are_manual_seed_just_before_the_call(
    service: httpx.Client, fresh_name: FreshName
) -> None:
    name = fresh_name("dropout")
    create(service, name, DROPOUT_JSON, seed=SEED)
    torch.manual_seed(SEED)
    net = DropoutMLP()
    with torch.no_grad():
        for seed in (0, 3, 2**40, -1):
            torch.manual_seed(seed)
            wanted = net.train()(X)
            assert_same(run(service, name, X, mode="train", seed=seed)["output"], wanted)
            assert_same(run_binary(service, name, {"X": X}, mode="train", seed=seed)["output"], wanted)
        assert_same(run(service, name, X)["output"], net.eval()(X))
        assert_same(run(service, name, X, mode="eval", seed=3)["output"], net.eval()(X))
    first, second = (run(service, name, X, mode="train")["output"] for _ in range(2))
    assert not torch.equal(first, second)


def test_a_forward_in_mode_train_leaves_the_network_as_it_was(service: httpx.Client, fresh_name: FreshName) -> None:
    name = fresh_name("norm")
    create(service, name, ["Linear(20, 4)", "BatchNorm1d(4)"], seed=SEED)
    torch.manual_seed(SEED)
    net = nn.Sequential(nn.Linear(20, 4), nn.BatchNorm1d(4))
    with torch.no_grad():
        before = net.eval()(X)
        trained = net.train()(X)
    assert_same(run(service, name, X)["output"], before)
    assert_same(run(service, name, X, mode="train")["output"], trained)
    assert_same(run(service, name, X, mode="train")["output"], trained)
    assert_same(run(service, name, X)["output"], before)


def test_what_children_put_out_can_be_captured(service: httpx.Client, mlp: str) -> None:
    net = chapter_mlp()
    reply = service.post(f"/v1/networks/{mlp}/forward", json={"inputs": X.tolist(), "capture": ["hidden", "out"]})
    captured = reply.json()["captured"]
    with torch.no_grad():
        assert_same(from_json(captured["hidden"]), net.hidden(X))
        assert_same(from_json(captured["out"]), net(X))
    assert captured["out"] == reply.json()["outputs"]["output"]


def test_capture_takes_positions_and_refuses_what_is_not_there(service: httpx.Client, fresh_name: FreshName) -> None:
    name = fresh_name("capture")
    create(service, name, [["Linear(20, 4)", "Tanh()"], "LSTM(4, 3)"], seed=SEED)
    torch.manual_seed(SEED)
    net = nn.Sequential(nn.Sequential(nn.Linear(20, 4), nn.Tanh()), nn.LSTM(4, 3))
    body = {"inputs": X.tolist(), "capture": ["[0][0]", "0.1", "1"]}
    captured = service.post(f"/v1/networks/{name}/forward", json=body).json()["captured"]
    with torch.no_grad():
        output, (h, c) = net(X)
        assert_same(from_json(captured["[0][0]"]), net[0][0](X))
        assert_same(from_json(captured["0.1"]), net[0](X))
    assert_same(from_json(captured["1.output_0"]), output)
    assert_same(from_json(captured["1.output_1_0"]), h)
    assert_same(from_json(captured["1.output_1_1"]), c)
    reply = service.post(f"/v1/networks/{name}/forward", json={"inputs": X.tolist(), "capture": ["2"]})
    assert (reply.status_code, reply.json()["errors"][0]["pointer"]) == (422, "/capture/0")
