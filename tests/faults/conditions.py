"""What tests of faults share: networks whose numbers are known, and looking at a service's processes from outside."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import torch
from torch import nn

from tests.service import Service

torch.set_num_threads(1)  # as in the workers of tests: sums of many numbers depend on it

PATIENCE_SECONDS = 30.0
X = [[0.5, -1.0, 2.0, 0.25]]
SLOW = ["y = x", "for i in range({steps}):", "    y = (y @ y) / 1000", "return x.sum() + 0 * y.sum()"]


def architecture(width: int = 16) -> list[str]:
    return [f"Linear(4, {width})", "ReLU()", f"Linear({width}, 2)"]


def numbers(seed: int, width: int = 16) -> list[list[float]]:
    """What the network of `architecture(width)` and `seed` gives for `X`, by PyTorch itself."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2))
    with torch.inference_mode():
        return list(net(torch.tensor(X)).tolist())


def create(client: httpx.Client, name: str, seed: int, *, width: int = 16, device: str = "cpu:0") -> httpx.Response:
    body = {"name": name, "architecture": architecture(width), "seed": seed, "device": device}
    return client.post("/v1/networks", json=body)


def forward(client: httpx.Client, name: str, inputs: Any = X) -> httpx.Response:
    return client.post(f"/v1/networks/{name}/forward", json={"inputs": inputs})


def gives(reply: httpx.Response, expected: list[list[float]]) -> bool:
    """Says whether a forward gave exactly these float32 numbers."""
    if reply.status_code != 200:
        return False
    return torch.equal(torch.tensor(reply.json()["outputs"]["output"]["data"]), torch.tensor(expected))


def is_clear_absence(reply: httpx.Response) -> bool:
    """Says whether a reply tells in so many words that a part was away, and when to come back."""
    if reply.headers["content-type"] != "application/problem+json":
        return False
    if reply.status_code == 504:  # it waited in vain for a worker that was being replaced
        return bool(reply.json()["code"] == "deadline-exceeded")
    known = reply.json()["code"] in ("worker-died", "unavailable")
    return reply.status_code == 503 and "retry-after" in reply.headers and known


def slow_network(client: httpx.Client, name: str, steps: int, device: str = "cpu:0") -> None:
    """A network whose forward multiplies 500 x 500 matrices `steps` times: 3 to 10 ms each."""
    lines = [line.format(steps=steps) for line in SLOW]
    body = {"name": name, "architecture": {"inputs": ["x"], "forward": lines}, "device": device}
    assert client.post("/v1/networks", json=body).status_code == 201


MATRIX = {"shape": [500, 500], "dtype": "float32", "data": [0.001] * 250_000}


def workers(client: httpx.Client) -> list[dict[str, Any]]:
    return list(client.get("/v1/workers").json()["items"])


def kill_worker(client: httpx.Client, number: int = 0) -> int:
    """Ends a worker as the system's memory killer would, and gives its process id."""
    pid = int(workers(client)[number]["pid"])
    os.kill(pid, signal.SIGKILL)
    return pid


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> float:
    """Waits until `condition` holds and gives how long that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"after {seconds} s still not so: {what}"
        time.sleep(0.02)
    return time.monotonic() - began


def wait_until_ready(client: httpx.Client) -> float:
    return eventually(lambda: client.get("/readyz").status_code == 200, "the service is ready")


def maps(service: Service) -> str:
    """The files that the HTTP process has in its memory."""
    return Path(f"/proc/{service.process.pid}/maps").read_text()
