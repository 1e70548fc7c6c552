"""Forwards of the chapter's MLP by many clients, with and without batching, on one worker and on two, beside `direct`
(PyTorch called in the event loop of a bare server). Targets take turns, so that a noisy minute hits all of them.

On two workers half of the clients run a network on `cpu:0`, half its twin on `cpu:1`.
"""

import contextlib
import statistics
from collections import defaultdict
from collections.abc import Iterator

import httpx
import orjson
import safetensors.torch
import torch

from benchmarks import service
from benchmarks.load import Load, drive, http_request
from benchmarks.networks import CHAPTER_MLP, chapter_mlp

CLIENTS = (1, 8, 32)
ROUNDS = 3
SECONDS = 2.0
WARM_UP_SECONDS = 0.5
BATCHING = {"max_size": 32, "max_wait_ms": 2}
JSON, SAFETENSORS = "application/json", "application/vnd.safetensors"
SERVICES = {"one worker": "cpu:0", "two workers": "cpu:0,cpu:1"}

Target = tuple[int, list[str]]  # a port, and the paths that the clients divide among them


def measure() -> list[str]:
    """Runs everything, about 4 minutes; returns the lines of a Markdown section."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = chapter_mlp()
    inputs = torch.rand(2, 20)
    bodies = {
        "JSON": (JSON, orjson.dumps({"inputs": inputs.tolist()})),
        "binary": (SAFETENSORS, safetensors.torch.save({"input": inputs})),
    }
    lines = ["## Batching", ""]
    with _targets(safetensors.torch.save(net.state_dict())) as targets:
        for encoding, (media_type, body) in bodies.items():
            lines += _table(encoding, _drive_all(targets, media_type, body))
    return lines


@contextlib.contextmanager
def _targets(state: bytes) -> Iterator[dict[str, Target]]:
    """`direct`, and for each number of workers the networks that batch and those that do not."""
    with contextlib.ExitStack() as running:
        targets: dict[str, Target] = {"direct": (running.enter_context(service.direct(state)), ["/forward"])}
        for words, devices in SERVICES.items():
            port = running.enter_context(service.model_lab({"MODEL_LAB_DEVICES": devices}))
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                for batching in (None, BATCHING):
                    names = [_make(client, device, batching) for device in devices.split(",")]
                    key = f"{words}, {'batched' if batching else 'unbatched'}"
                    targets[key] = (port, [f"/v1/networks/{name}/forward" for name in names])
        yield targets


def _make(client: httpx.Client, device: str, batching: dict[str, int] | None) -> str:
    name = f"mlp-{device.replace(':', '-')}-{'batched' if batching else 'alone'}"
    asked = {"name": name, "architecture": CHAPTER_MLP, "seed": 0, "device": device}
    client.post("/v1/networks", json=asked).raise_for_status()
    client.patch(f"/v1/networks/{name}", json={"batching": batching}).raise_for_status()
    return name


def _drive_all(targets: dict[str, Target], media_type: str, body: bytes) -> dict[tuple[str, int], list[Load]]:
    loads: dict[tuple[str, int], list[Load]] = defaultdict(list)
    for clients in CLIENTS:
        for _ in range(ROUNDS):
            for name, (port, paths) in targets.items():
                requests = [http_request("127.0.0.1", port, path, body, media_type, media_type) for path in paths]
                drive("127.0.0.1", port, *requests, clients=clients, seconds=WARM_UP_SECONDS)
                load = drive("127.0.0.1", port, *requests, clients=clients, seconds=SECONDS)
                assert load.errors == 0, f"{name}: {load.errors} replies were not 200"
                loads[name, clients].append(load)
    return loads


def _table(encoding: str, loads: dict[tuple[str, int], list[Load]]) -> list[str]:
    lines = [
        f"### {encoding}",
        "",
        "| target | clients | req/s | times direct | p50 ms | p99 ms |",
        "|---|---|---|---|---|---|",
    ]
    rates = {key: statistics.median(load.requests_per_second for load in rounds) for key, rounds in loads.items()}
    for (name, clients), rounds in loads.items():
        p50 = statistics.median(load.p50_ms for load in rounds)
        p99 = statistics.median(load.p99_ms for load in rounds)
        rate = rates[name, clients]
        ratio = rate / rates["direct", clients]
        lines.append(f"| {name} | {clients} | {rate:.0f} | {ratio:.2f} | {p50:.3f} | {p99:.3f} |")
    return [*lines, ""]
