"""Forward of the chapter's MLP over HTTP, beside a bare echo of the same bytes, PyTorch in the event loop (`direct`),
and the same call in process. Targets take turns, round after round, so that a noisy minute hits all of them.
"""

import statistics
import time
from collections import defaultdict

import httpx
import numpy as np
import orjson
import safetensors.torch
import torch

from benchmarks import service
from benchmarks.load import Load, drive, http_request
from benchmarks.networks import CHAPTER_MLP, chapter_mlp

CLIENTS = (1, 8, 32)
ROUNDS = 3
SECONDS = 2.0
JSON, SAFETENSORS = "application/json", "application/vnd.safetensors"


def measure() -> list[str]:
    """Runs everything; returns the lines of a Markdown section."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = chapter_mlp()
    inputs = torch.rand(2, 20)
    state = safetensors.torch.save(net.state_dict())
    bodies = {
        "JSON": (JSON, orjson.dumps({"inputs": inputs.tolist()})),
        "binary": (SAFETENSORS, safetensors.torch.save({"input": inputs})),
    }
    lines = ["## Forward of the chapter's MLP over HTTP", ""]
    for encoding, (content_type, body) in bodies.items():
        in_process_us = _in_process_us(net, content_type, body)
        loads = _drive_all(state, content_type, body)
        lines += _table(encoding, in_process_us, loads)
    return lines


def _in_process_us(net: torch.nn.Module, content_type: str, body: bytes) -> float:
    """The same work without HTTP: decode, run, encode; median microseconds."""

    def once() -> bytes:
        if content_type == JSON:
            data = torch.from_numpy(np.array(orjson.loads(body)["inputs"], dtype=np.float32))
            with torch.inference_mode():
                return orjson.dumps(net(data).numpy(), option=orjson.OPT_SERIALIZE_NUMPY)
        with torch.inference_mode():
            return safetensors.torch.save({"output": net(safetensors.torch.load(body)["input"])})

    times = []
    for _ in range(2000):
        start = time.perf_counter()
        once()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def _drive_all(state: bytes, content_type: str, body: bytes) -> dict[tuple[str, int], list[Load]]:
    loads: dict[tuple[str, int], list[Load]] = defaultdict(list)
    with service.model_lab() as lab, service.direct(state) as direct:
        path = "/v1/networks/mlp/forward"
        base = f"http://127.0.0.1:{lab}"
        seeded = {"name": "mlp", "architecture": CHAPTER_MLP, "seed": 0}
        httpx.post(f"{base}/v1/networks", json=seeded).raise_for_status()
        headers = {"content-type": content_type, "accept": content_type}
        reply = httpx.post(base + path, content=body, headers=headers)
        reply.raise_for_status()
        with service.echo(reply.content, content_type) as echo:
            targets = {"echo": (echo, "/forward"), "direct": (direct, "/forward"), "model-lab": (lab, path)}
            for clients in CLIENTS:
                for _ in range(ROUNDS):
                    for name, (port, target_path) in targets.items():
                        request = http_request("127.0.0.1", port, target_path, body, content_type, content_type)
                        drive("127.0.0.1", port, request, clients=clients, seconds=0.5)
                        load = drive("127.0.0.1", port, request, clients=clients, seconds=SECONDS)
                        assert load.errors == 0, f"{name}: {load.errors} replies were not 200"
                        loads[name, clients].append(load)
    return loads


def _table(encoding: str, in_process_us: float, loads: dict[tuple[str, int], list[Load]]) -> list[str]:
    lines = [
        f"### {encoding}",
        "",
        "| target | clients | req/s | p50 ms | p95 ms | p99 ms |",
        "|---|---|---|---|---|---|",
    ]
    middle: dict[tuple[str, int], dict[str, float]] = {}
    for (name, clients), rounds in sorted(loads.items(), key=lambda item: (item[0][1], item[0][0])):
        row = {
            field: statistics.median(getattr(load, field) for load in rounds)
            for field in ("requests_per_second", "p50_ms", "p95_ms", "p99_ms")
        }
        middle[name, clients] = row
        rate, p50, p95, p99 = row.values()
        lines.append(f"| {name} | {clients} | {rate:.0f} | {p50:.3f} | {p95:.3f} | {p99:.3f} |")
    floor_ms = middle["echo", 1]["p50_ms"] + in_process_us / 1e3
    lines += ["", f"- in process: {in_process_us:.0f} µs"]
    lines.append(f"- p50 at one client / (echo + in process): {middle['model-lab', 1]['p50_ms'] / floor_ms:.2f}")
    for clients in CLIENTS:
        rates = [middle[name, clients]["requests_per_second"] for name in ("model-lab", "direct", "echo")]
        lines.append(
            f"- {clients} clients: {rates[0] / rates[1]:.2f} times direct, {rates[0] / rates[2]:.2f} times echo"
        )
    return [*lines, ""]
