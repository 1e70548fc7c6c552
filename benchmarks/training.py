"""Training: steps a second against the loop that one writes in PyTorch, with and without checkpoints, and what a
checkpoint costs by the size of what it keeps.

Both sides use one thread and the same niceness, and take turns; of several runs the best counts, for a busy machine
slows either. The plain loop takes its batches from a `DataLoader`, as the service's order is.
"""

import json
import os
import subprocess
import sys
import time

import httpx

from benchmarks import service

RUNS = 3
SAMPLES = 2_048
BATCH = 64
SECONDS = 4.0  # about as long as a run takes
NICENESS = 5  # of the service's workers for jobs
NETS = {
    "MLP 20-256-10": (20, ["Linear(20, 256)", "ReLU()", "Linear(256, 10)"]),
    "MLP 256-1024-1024-10": (
        256,
        ["Linear(256, 1024)", "ReLU()", "Linear(1024, 1024)", "ReLU()", "Linear(1024, 10)"],
    ),
}
WIDTHS = (256, 1024, 2048)  # of the networks whose checkpoints are measured


def measure() -> list[str]:
    """Returns the lines of a Markdown section."""
    lines = [
        "## Training",
        "",
        "| network | plain loop, steps/s | service | a checkpoint each second | ratio | with checkpoints |",
        "|---|---|---|---|---|---|",
    ]
    threads = {"MODEL_LAB_WORKER_THREADS": "1"}
    with service.model_lab(threads) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
        for number, (name, (width, layers)) in enumerate(NETS.items()):
            lines.append(_row(client, f"net{number}", name, width, layers))
        lines += ["", "| parameters and Adam's state, MB | a checkpoint, ms |", "|---|---|"]
        lines += [_checkpoint_row(client, width) for width in WIDTHS]
    return [*lines, ""]


def _row(client: httpx.Client, network: str, name: str, width: int, layers: list[str]) -> str:
    client.post("/v1/networks", json={"name": network, "architecture": layers, "seed": 7}).raise_for_status()
    _save_data(client, network, width)
    steps = int(SECONDS * _plain_rate(layers, width, 200))
    plain = ours = kept = 0.0
    for _ in range(RUNS):
        plain = max(plain, _plain_rate(layers, width, steps))
        ours = max(ours, _rate(client, network, steps, None))
        kept = max(kept, _rate(client, network, steps, 1.0))
    return f"| {name} | {plain:.0f} | {ours:.0f} | {kept:.0f} | {ours / plain:.2f} | {kept / plain:.2f} |"


def _save_data(client: httpx.Client, name: str, width: int) -> None:
    x = {"shape": [SAMPLES, width], "data": [((i * 7919) % 1000) / 500 - 1 for i in range(SAMPLES * width)]}
    y = {"dtype": "int64", "data": [i % 10 for i in range(SAMPLES)]}
    client.put(f"/v1/artifacts/{name}", json={"x": x, "y": y}).raise_for_status()


def _rate(client: httpx.Client, network: str, steps: int, every_seconds: float | None) -> float:
    """Steps a second, by the clock of the worker, without its start."""
    request = {
        "inputs": {"artifact": network, "item": "x"},
        "targets": {"y": {"artifact": network, "item": "y"}},
        "loss": "cross_entropy(output, y)",
        "optimizer": "Adam(lr=0.0001)",
        "steps": steps,
        "batch_size": BATCH,
        "seed": 7,
        "checkpoint": {"every_seconds": every_seconds},
    }
    reply = client.post(f"/v1/networks/{network}/train", json=request)
    reply.raise_for_status()
    rate = 0.0
    with client.stream("GET", reply.headers["location"] + "/events") as events:
        for line in events.iter_lines():
            if line.startswith("data: "):
                rate = json.loads(line[6:]).get("steps_per_second", rate)
    return rate


def _plain_rate(layers: list[str], width: int, steps: int) -> float:
    """The same loop in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.training", json.dumps([layers, width, steps])]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    return float(done.stdout)


def _checkpoint_row(client: httpx.Client, width: int) -> str:
    """What a checkpoint adds to a run: parameters, and twice as much for Adam."""
    network = f"wide{width}"
    layers = [f"Linear({width}, {width})", f"Linear({width}, 10)"]
    made = client.post("/v1/networks", json={"name": network, "architecture": layers, "seed": 7})
    made.raise_for_status()
    _save_data(client, network, width)
    steps, count = 40, 4
    without = min(_seconds(client, network, steps, None) for _ in range(RUNS))
    kept = min(_seconds(client, network, steps, steps // (count + 1)) for _ in range(RUNS))
    megabytes = 3 * made.json()["parameter_bytes"] / 1e6
    return f"| {megabytes:.1f} | {(kept - without) / count * 1e3:.0f} |"


def _seconds(client: httpx.Client, network: str, steps: int, every_steps: int | None) -> float:
    """From the asking to the end of a run whose worker is there already."""
    request = {
        "inputs": {"artifact": network, "item": "x"},
        "targets": {"y": {"artifact": network, "item": "y"}},
        "loss": "cross_entropy(output, y)",
        "optimizer": "Adam(lr=0.0001)",
        "steps": steps,
        "batch_size": 8,
        "checkpoint": {"every_seconds": None, "every_steps": every_steps},
    }
    began = time.perf_counter()
    reply = client.post(f"/v1/networks/{network}/train", json=request)
    reply.raise_for_status()
    with client.stream("GET", reply.headers["location"] + "/events") as events:
        for _ in events.iter_lines():
            pass
    return time.perf_counter() - began


def plain_loop(layers: list[str], width: int, steps: int) -> float:
    """Steps a second of the loop that one writes in PyTorch."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    os.nice(NICENESS)
    torch.set_num_threads(1)
    torch.manual_seed(7)
    net = torch.nn.Sequential(*(eval(f"torch.nn.{layer}", {"torch": torch}) for layer in layers))
    data = TensorDataset(torch.rand(SAMPLES, width) * 2 - 1, torch.arange(SAMPLES) % 10)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.0001)
    done, began = 0, time.perf_counter()
    while done < steps:
        for x, y in DataLoader(data, BATCH, shuffle=True, generator=torch.Generator().manual_seed(7)):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
            done += 1
            if done == steps:
                break
    return steps / (time.perf_counter() - began)


if __name__ == "__main__":
    print(plain_loop(*json.loads(sys.argv[1])))
