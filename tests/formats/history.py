"""What is done to a fresh service before its database is kept: something of everything that a database can hold.

Every change is made in plain PyTorch beside the service, and what PyTorch has then is what is written down.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import safetensors.torch
import torch
from torch import Tensor, nn

from tests.formats.spelling import spelt

SAFETENSORS = "application/vnd.safetensors"
RETRY = {"path": "/v1/networks/chapter/clone", "key": "once", "body": {"name": "copy", "revision": 3}}
BLOCK = {
    "hyperparameters": {"factor": 2},
    "inputs": ["x"],
    "forward": "return factor * x",
}
ARTIFACTS: dict[str, Tensor | list[Tensor] | dict[str, Tensor]] = {
    "one": torch.tensor([[1.5, -0.0], [float("inf"), float("nan")]]),
    "list": [torch.tensor([1, -(2**62)]), torch.tensor([[True], [False]]), torch.tensor(0.1, dtype=torch.float64)],
    "dict": {
        "complex": torch.tensor([1 + 2j, -3.5j]),
        "half": torch.tensor([65504.0, 2**-24], dtype=torch.float16),
        "brain": torch.tensor([1.0078125, -3e38], dtype=torch.bfloat16),
        "bytes": torch.tensor([0, 255], dtype=torch.uint8),
        "empty": torch.zeros(0, 3),
    },
}


class History:
    """One network, and the same in PyTorch beside it; every revision's state is written down."""

    def __init__(self, client: httpx.Client, name: str, architecture: object, twin: nn.Module, **fields: Any) -> None:
        self.client, self.name, self.twin = client, name, twin
        self.path = f"/v1/networks/{name}"
        self.told: dict[str, Any] = {"revisions": {}, "operations": {}}
        made = client.post("/v1/networks", json={"name": name, "architecture": architecture, **fields})
        assert made.status_code == 201, made.text
        self.note(1, "create")

    def note(self, revision: int, operation: str) -> None:
        self.told["head"] = revision
        self.told["revisions"][str(revision)] = {key: spelt(value) for key, value in self.twin.state_dict().items()}
        self.told["operations"][str(revision)] = operation

    def change(self, operation: str, method: str, path: str, twin: Callable[[], object], **request: Any) -> None:
        """Sends one request that makes a revision, and does the same in PyTorch."""
        reply = self.client.request(method, self.path + path, **request)
        assert reply.status_code == 200, reply.text
        with torch.no_grad():
            twin()
        self.note(self.told["head"] + 1, operation)

    def run(self, inputs: Tensor) -> None:
        """Writes down what a forward gives."""
        with torch.no_grad():
            output = self.twin.eval()(inputs)
        self.told["forward"] = {"inputs": spelt(inputs), "output": spelt(output)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        request = {"content": safetensors.torch.save(dict(state)), "headers": {"Content-Type": SAFETENSORS}}
        self.change("load", "PUT", "/state_dict", lambda: self.twin.load_state_dict(state), **request)


def make_history(client: httpx.Client) -> dict[str, Any]:
    """Fills the service; returns all that must be found again, in JSON."""
    put_block = client.put("/v1/blocks/Scaled", json={"definition": BLOCK})
    assert put_block.status_code == 201, put_block.text
    networks = [chapter(client), tied(client), constants(client), half(client), large(client)]
    finished = job(networks[3])
    told: dict[str, Any] = {"networks": {history.name: history.told for history in networks}}
    told["networks"]["copy"] = copied(client, told["networks"]["chapter"])
    for name, tensors in ARTIFACTS.items():
        save(client, name, tensors)
    told["artifacts"] = {name: in_words(tensors) for name, tensors in ARTIFACTS.items()}
    told["blocks"] = {"Scaled": BLOCK}
    told["retries"] = [RETRY]
    told["jobs"] = [finished]
    return told


def chapter(client: httpx.Client) -> History:
    torch.manual_seed(7)
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    history = History(client, "chapter", ["Linear(2, 3)", "ReLU()", "Linear(3, 1)"], net, seed=7, labels={"a": "b"})
    before = [{key: value.clone() for key, value in net.state_dict().items()}]
    edits = {"edits": [{"index": ":", "expression": "param + 1"}, {"index": "0", "value": 42}]}

    def edit() -> None:
        net[0].bias.add_(1)
        net[0].bias[0] = 42
        before.append({key: value.clone() for key, value in net.state_dict().items()})

    history.change("edit", "PATCH", "/parameters/0.bias", edit, json=edits)
    history.load(
        {
            "0.weight": torch.tensor([[0.5, -1.5], [2.0, 0.25], [-0.125, 3.0]]),
            "0.bias": torch.tensor([0.1, 0.2, 0.3]),
            "2.weight": torch.tensor([[1.0, -1.0, 1e-40]]),
            "2.bias": torch.tensor([-7.25]),
        }
    )
    assert client.put(f"{history.path}/checkpoints/best").status_code == 201
    rule = {"rules": [{"module_type": "Linear", "parameters": {"weight": "constant_(7)"}}]}

    def sevens() -> None:
        net[0].weight.fill_(7)
        net[2].weight.fill_(7)

    history.change("initialize", "POST", "/initialize", sevens, json=rule)
    history.change("restore", "POST", "/revisions/2/restore", lambda: net.load_state_dict(before[1]))
    frozen = {"requires_grad": False}
    history.change("edit", "PATCH", "/parameters/2.bias", lambda: net[2].bias.requires_grad_(False), json=frozen)
    history.told |= {"checkpoints": {"best": 3}, "frozen": ["2.bias"], "labels": {"a": "b"}, "tree": str(net)}
    backward = client.post(f"{history.path}/backward", json={"inputs": [[1, 2]]})
    assert backward.status_code == 200, backward.text
    net(torch.tensor([[1.0, 2.0]])).sum().backward()
    history.told["gradients"] = {name: spelt(p.grad) for name, p in net.named_parameters() if p.grad is not None}
    history.run(torch.tensor([[1.0, 2.0], [-3.0, 0.5]]))
    return history


def tied(client: httpx.Client) -> History:
    torch.manual_seed(1)
    shared = nn.Linear(2, 2)
    net = nn.Sequential(shared, nn.Tanh(), shared).double()
    architecture = {
        "type": "Sequential",
        "shared": {"s": "Linear(2, 2)"},
        "layers": [{"ref": "s"}, "Tanh()", {"ref": "s"}],
    }
    history = History(client, "tied", architecture, net, seed=1, dtype="float64")
    edit = {"edits": [{"index": "0, 1", "value": 0.1}]}
    history.change("edit", "PATCH", "/parameters/2.weight", lambda: shared.weight[0, 1].fill_(0.1), json=edit)
    history.run(torch.tensor([[0.25, -4.0]], dtype=torch.float64))
    return history


class Constants(nn.Module):
    """The twin of the block below."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.norm = nn.BatchNorm1d(2)
        self.register_buffer("kept", torch.tensor([[1.0, 2.0], [3.0, 4.0]]))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.linear(x)) @ self.kept
        while x.abs().sum() > 1:
            x = x / 2
        return 2 * x.sum()


def constants(client: httpx.Client) -> History:
    torch.manual_seed(3)
    architecture = {
        "children": {"linear": "Linear(2, 2)", "norm": "BatchNorm1d(2)", "twice": "Scaled()"},
        "constants": {"kept": "tensor([[1., 2.], [3., 4.]])"},
        "inputs": ["x"],
        "forward": ["x = norm(linear(x)) @ kept", "while x.abs().sum() > 1:", "    x = x / 2", "return twice(x.sum())"],
    }
    net = Constants()
    history = History(client, "constants", architecture, net, seed=3)
    inputs = torch.tensor([[1.0, 2.0], [3.0, -4.0]])
    body = {"inputs": inputs.tolist(), "mode": "train", "update_buffers": True}
    history.change("forward", "POST", "/forward", lambda: net.train()(inputs), json=body)
    history.run(inputs)
    return history


def half(client: httpx.Client) -> History:
    torch.manual_seed(2)
    history = History(client, "half", "Linear(2, 1)", nn.Linear(2, 1).bfloat16(), dtype="bfloat16", seed=2)
    weight = torch.tensor([[1.0078125, -2.0]], dtype=torch.bfloat16)
    history.load({"weight": weight, "bias": torch.tensor([0.5], dtype=torch.bfloat16)})
    history.run(torch.tensor([[2.0, 1.0]], dtype=torch.bfloat16))
    return history


def large(client: httpx.Client) -> History:
    """64 MiB that are one chunk, kept once; after an edit only what differs is kept, and the first revision goes."""
    net = nn.Linear(4096, 4096, bias=False)
    nn.init.zeros_(net.weight)
    history = History(
        client, "large", "Linear(4096, 4096, bias=False)", net, init=[{"parameters": {"weight": "zeros_()"}}]
    )
    assert client.patch(history.path, json={"retention": {"keep_last": 2}}).status_code == 200
    for index, place, value in (("0, 0", (0, 0), 42.0), ("-1, -1", (-1, -1), -1.5)):
        edit = {"edits": [{"index": index, "value": value}]}
        history.change("edit", "PATCH", "/parameters/weight", lambda: net.weight[place].fill_(value), json=edit)  # noqa: B023  # called at once
    history.told["operations"].pop("1")
    history.told["revisions"] = {"3": history.told["revisions"]["3"]}  # the second is as large, and tells no more
    return history


def copied(client: httpx.Client, chapter: dict[str, Any]) -> dict[str, Any]:
    made = client.post(RETRY["path"], json=RETRY["body"], headers={"Idempotency-Key": RETRY["key"]})
    assert made.status_code == 201, made.text
    return {"head": 1, "revisions": {"1": chapter["revisions"]["3"]}, "operations": {"1": "clone"}}


def save(client: httpx.Client, name: str, tensors: Tensor | list[Tensor] | dict[str, Tensor]) -> None:
    by_name = tensors if isinstance(tensors, dict) else dict(_named(tensors))
    body = safetensors.torch.save(by_name)
    kind = {"kind": in_words(tensors)["kind"]}
    saved = client.put(f"/v1/artifacts/{name}", content=body, params=kind, headers={"Content-Type": SAFETENSORS})
    assert saved.status_code == 201, saved.text


def in_words(tensors: Tensor | list[Tensor] | dict[str, Tensor]) -> dict[str, Any]:
    if isinstance(tensors, dict):
        return {"kind": "dict", "tensors": {key: spelt(value) for key, value in tensors.items()}}
    kind = "tensor" if isinstance(tensors, Tensor) else "list"
    return {"kind": kind, "tensors": {key: spelt(value) for key, value in _named(tensors)}}


def _named(tensors: Tensor | list[Tensor]) -> list[tuple[str, Tensor]]:
    return (
        [("tensor", tensors)] if isinstance(tensors, Tensor) else [(str(i), value) for i, value in enumerate(tensors)]
    )


def job(history: History) -> dict[str, Any]:
    """A job that ended: an initialisation."""
    body = {"rules": [{"parameters": {"bias": "zeros_()"}}]}
    client = history.client
    accepted = client.post(f"{history.path}/initialize", json=body, headers={"Prefer": "respond-async"})
    assert accepted.status_code == 202, accepted.text
    address = accepted.headers["location"]
    give_up = time.monotonic() + 60
    while client.get(address).json()["state"] not in ("succeeded", "failed"):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    nn.init.zeros_(history.twin.bias)
    history.note(history.told["head"] + 1, "initialize")
    history.run(torch.tensor([[2.0, 1.0]], dtype=torch.bfloat16))
    return {"address": address, "state": "succeeded", "initialized": ["bias"]}
