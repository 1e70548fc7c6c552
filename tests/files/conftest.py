"""Networks and tensors for the tests of state_dicts and artifacts, and how to send and read them in every format."""

import io
from collections import OrderedDict
from collections.abc import Callable

import httpx
import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

MEDIA = {
    "safetensors": "application/vnd.safetensors",
    "pt": "application/x-pytorch",
    "npz": "application/x-npz",
    "npy": "application/x-npy",
    "json": "application/json",
}
MLP = ["Linear(20, 256)", "ReLU()", "Linear(256, 10)"]
NETWORKS = "/v1/networks"


def mlp(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10))


def to_file(tensors: dict[str, torch.Tensor], format_name: str) -> bytes:
    """What plain PyTorch, safetensors or NumPy writes."""
    if format_name == "safetensors":
        return safetensors.torch.save({name: tensor.clone() for name, tensor in tensors.items()})
    stream = io.BytesIO()
    if format_name == "pt":
        torch.save(tensors, stream)
    else:
        np.savez(stream, **{name: tensor.numpy() for name, tensor in tensors.items()})
    return stream.getvalue()


def from_file(body: bytes, format_name: str) -> dict[str, torch.Tensor]:
    """What plain PyTorch, safetensors or NumPy reads."""
    if format_name == "safetensors":
        return safetensors.torch.load(body)
    if format_name == "pt":
        return torch.load(io.BytesIO(body), weights_only=True)
    read = np.load(io.BytesIO(body), allow_pickle=False)
    return {name: torch.from_numpy(read[name]) for name in read.files}


def equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return set(left) == set(right) and all(
        left[name].dtype == right[name].dtype and torch.equal(left[name], right[name]) for name in left
    )


class Files:
    """The service's files, through a client."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def make(self, name: str, architecture: object = MLP, **more: object) -> str:
        made = self.client.post(NETWORKS, json={"name": name, "architecture": architecture, **more})
        assert made.status_code == 201, made.text
        return f"{NETWORKS}/{name}"

    def get(self, address: str, format_name: str = "safetensors", **params: object) -> dict[str, torch.Tensor]:
        reply = self.client.get(f"{address}/state_dict", params={"format": format_name, **params})
        assert reply.status_code == 200, reply.text
        return from_file(reply.content, format_name)

    def put(
        self, address: str, tensors: dict[str, torch.Tensor], format_name: str = "safetensors", **params: object
    ) -> httpx.Response:
        return self.send(f"{address}/state_dict", to_file(tensors, format_name), format_name, **params)

    def send(self, address: str, body: object, format_name: str, **params: object) -> httpx.Response:
        return self.client.put(address, content=body, headers={"content-type": MEDIA[format_name]}, params=params)

    def forward(self, address: str, X: torch.Tensor) -> torch.Tensor:
        body = safetensors.torch.save({"input": X})
        reply = self.client.post(
            f"{address}/forward?format=safetensors", content=body, headers={"content-type": MEDIA["safetensors"]}
        )
        assert reply.status_code == 200, reply.text
        return safetensors.torch.load(reply.content)["output"]


@pytest.fixture
def files(service: httpx.Client) -> Files:
    return Files(service)


@pytest.fixture
def network(files: Files, fresh_name: Callable[..., str]) -> str:
    """The address of the chapter's MLP with values of its own."""
    return files.make(fresh_name("mlp"), seed=1)


def state(net: nn.Module) -> dict[str, torch.Tensor]:
    return OrderedDict((name, tensor.clone()) for name, tensor in net.state_dict().items())
