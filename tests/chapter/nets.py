"""The chapter's networks, in PyTorch and as JSON, and the same parameters on both sides."""

from typing import Any

import httpx
import torch
from torch import nn

MLP_JSON = ["Linear(4, 8)", "ReLU()", "Linear(8, 1)"]
TIED_JSON = {
    "type": "Sequential",
    "shared": {"shared": "Linear(8, 8)"},
    "layers": [
        "Linear(4, 8)",
        "ReLU()",
        {"ref": "shared"},
        "ReLU()",
        {"ref": "shared"},
        "ReLU()",
        "Linear(8, 1)",
    ],
}
CONSTANT_JSON = {
    "children": {"linear": "Linear(20, 20)"},
    "constants": {"rand_weight": "rand(20, 20)"},
    "inputs": ["X"],
    "forward": ["X = linear(X)", "X = relu(mm(X, rand_weight) + 1)", "return linear(X).sum()"],
}


def mlp(seed: int = 7) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))


def tied(seed: int = 7) -> nn.Sequential:
    torch.manual_seed(seed)
    shared = nn.Linear(8, 8)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), shared, nn.ReLU(), shared, nn.ReLU(), nn.Linear(8, 1))


def create(service: httpx.Client, name: str, architecture: object, **more: object) -> str:
    """Makes a network and gives its path."""
    reply = service.post("/v1/networks", json={"name": name, "architecture": architecture, "seed": 7, **more})
    assert reply.status_code == 201, reply.text
    return f"/v1/networks/{name}"


def tensor_of(value: dict[str, Any]) -> torch.Tensor:
    numbers = torch.tensor(_spelt(value["data"]), dtype=getattr(torch, value["dtype"]))
    return numbers.reshape(value["shape"])


def _spelt(data: Any) -> Any:
    """Numbers that are not finite come as words that Python reads as floats."""
    return [_spelt(item) for item in data] if isinstance(data, list) else float(data) if isinstance(data, str) else data


def read(service: httpx.Client, path: str, parameter: str, **query: object) -> torch.Tensor:
    reply = service.get(f"{path}/parameters/{parameter}", params=query)
    assert reply.status_code == 200, reply.text
    return tensor_of(reply.json()["value"])


def state(service: httpx.Client, path: str, **query: object) -> dict[str, torch.Tensor]:
    """Every parameter and buffer under each of its names."""
    items = service.get(f"{path}/parameters", params=query).json()["items"]
    return {
        name: read(service, path, item["name"], **query) for item in items for name in [item["name"], *item["tied_to"]]
    }


def same_state(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def forward(service: httpx.Client, path: str, inputs: torch.Tensor, **more: object) -> torch.Tensor:
    reply = service.post(f"{path}/forward", json={"inputs": inputs.tolist(), **more})
    assert reply.status_code == 200, reply.text
    return tensor_of(reply.json()["outputs"]["output"])
