"""Runs over HTTP, and the loop of plain PyTorch beside them."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tests.laboratory import in_json


def start(client: httpx.Client, network: str, **request: Any) -> str:
    """Begins a run and gives its job's address."""
    body = {key: in_json(value) for key, value in request.items()}
    reply = client.post(f"/v1/networks/{network}/train", json=body)
    assert reply.status_code == 202, reply.text
    return reply.headers["location"]


def follow(client: httpx.Client, job: str, after: int = 0) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Events of a job as they come: number, type, data."""
    number, kind = after, ""
    with client.stream("GET", f"{job}/events", headers={"Last-Event-ID": str(after)}, timeout=120.0) as stream:
        for line in stream.iter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                number = int(value)
            elif name == "event":
                kind = value
            elif name == "data":
                data = json.loads(value)
            elif not line and kind:
                yield number, kind, data
                kind = ""


def wait(client: httpx.Client, job: str) -> dict[str, Any]:
    """Waits for the end of a job that succeeds, and gives its result."""
    for _ in follow(client, job):
        pass
    ended = client.get(job).json()
    assert ended["state"] == "succeeded", ended
    return client.get(f"{job}/result").json()


def plain(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Callable[[Tensor, Tensor], Tensor],
    data: tuple[Tensor, Tensor],
    *,
    seed: int,
    batch_size: int,
    epochs: int,
    after_epoch: Callable[[], object] = lambda: None,
) -> None:
    """The loop that one writes in PyTorch."""
    torch.manual_seed(seed)
    loader = DataLoader(TensorDataset(*data), batch_size, shuffle=True, generator=torch.Generator().manual_seed(seed))
    net.train()
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss(net(x), y).backward()
            optimizer.step()
        after_epoch()
