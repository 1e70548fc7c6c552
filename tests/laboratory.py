"""What tests over HTTP do again and again: make a network, read its whole state, run it.

Works with any `httpx.Client` of a service; tensors go and come in binary, so values are exact whatever their dtype.
"""

import io
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

SAFETENSORS = "application/vnd.safetensors"
NPY = "application/x-npy"


def create(client: httpx.Client, name: str, architecture: object, **fields: Any) -> dict[str, Any]:
    """Creates a network and gives the reply."""
    reply = client.post("/v1/networks", json={"name": name, "architecture": architecture, **fields})
    assert reply.status_code == 201, reply.text
    return reply.json()


def listed(client: httpx.Client, network: str, **query: str) -> list[dict[str, Any]]:
    """The items of the list of parameters."""
    reply = client.get(f"/v1/networks/{network}/parameters", params=query)
    assert reply.status_code == 200, reply.text
    return reply.json()["items"]


def parameter(client: httpx.Client, network: str, name: str, **query: str) -> dict[str, Any]:
    """One parameter as JSON, its name percent-encoded."""
    reply = client.get(f"/v1/networks/{network}/parameters/{quote(name, safe='')}", params=query)
    assert reply.status_code == 200, reply.text
    return reply.json()


def value_of(client: httpx.Client, network: str, name: str) -> Tensor:
    """The value of one parameter, read as safetensors."""
    reply = client.get(f"/v1/networks/{network}/parameters/{quote(name, safe='')}?format=safetensors")
    assert reply.status_code == 200, reply.text
    (value,) = load(reply.content).values()
    return value


def state_of(client: httpx.Client, network: str) -> dict[str, Tensor]:
    """The whole state, parameter by parameter, under every name that a tied one has."""
    state: dict[str, Tensor] = {}
    for item in listed(client, network):
        for name in (item["name"], *item["tied_to"]):
            state[name] = value_of(client, network, name)
    return state


def run(client: httpx.Client, network: str, inputs: object, **fields: Any) -> dict[str, Tensor]:
    """Outputs by name of a forward in JSON."""
    reply = client.post(f"/v1/networks/{network}/forward", json={"inputs": in_json(inputs), **fields})
    assert reply.status_code == 200, reply.text
    return {name: from_json(value) for name, value in reply.json()["outputs"].items()}


def run_binary(client: httpx.Client, network: str, inputs: Mapping[str, Tensor], **query: Any) -> dict[str, Tensor]:
    """Outputs by name of a forward whose inputs and outputs are safetensors."""
    body = save({name: value.contiguous() for name, value in inputs.items()})
    headers = {"Content-Type": SAFETENSORS, "Accept": SAFETENSORS}
    reply = client.post(f"/v1/networks/{network}/forward", content=body, headers=headers, params=query)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == SAFETENSORS
    return load(reply.content)


def in_json(value: object) -> object:
    """Tensors as the JSON that the service takes; floats keep every bit."""
    if isinstance(value, Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        return {"dtype": dtype, "shape": list(value.shape), "data": value.tolist()}
    if isinstance(value, Mapping):
        return {name: in_json(part) for name, part in value.items()}
    return value


def from_json(value: Mapping[str, Any]) -> Tensor:
    """A tensor of a JSON reply."""
    numbers = torch.tensor(value["data"], dtype=getattr(torch, value["dtype"]))
    return numbers.reshape(value["shape"])


def npy(value: Tensor) -> bytes:
    """A tensor as a `.npy` file."""
    file = io.BytesIO()
    np.save(file, value.numpy())
    return file.getvalue()


def from_npy(content: bytes) -> Tensor:
    """The tensor of a `.npy` file."""
    return torch.from_numpy(np.load(io.BytesIO(content)))


def assert_same_state(state: Mapping[str, Tensor], twin: nn.Module) -> None:
    """Every entry of the twin's state_dict, by name and bit for bit, and nothing else."""
    wanted = twin.state_dict()
    assert set(state) == set(wanted)
    for name, tensor in wanted.items():
        assert_same(state[name], tensor, name)


def assert_same(got: Tensor, wanted: Tensor, what: str = "") -> None:
    """Equal in dtype, shape and every number; NaN equals NaN."""
    named = (lambda message: f"{what}: {message}") if what else None
    torch.testing.assert_close(got, wanted, rtol=0, atol=0, equal_nan=True, msg=named)
