"""Creating a network of 1,000 layers over HTTP, beside building the same modules in plain PyTorch.

The service's time holds everything: reading the JSON, checking and measuring on `meta`, drawing the first values,
keeping 2,000 tensors durably in SQLite, and the transaction. Plain PyTorch only makes the modules.
"""

import statistics
import time

import httpx
import torch
from torch import nn

from benchmarks import service

LAYERS = 1000
WIDTH = 16
ROUNDS = 5


class OneLayer(nn.Module):
    """The block below, as a class."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.linear(x))


BLOCK = {
    "children": {"linear": f"Linear({WIDTH}, {WIDTH})"},
    "inputs": ["x"],
    "forward": "return torch.relu(linear(x))",
}
CASES = {
    "1,000 Linear": ([f"Linear({WIDTH}, {WIDTH})"] * LAYERS, lambda: [nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS)]),
    "1,000 blocks by repeat": (
        {"type": "Sequential", "layers": [{"repeat": LAYERS, "block": BLOCK}]},
        lambda: [OneLayer() for _ in range(LAYERS)],
    ),
}


def measure() -> list[str]:
    """Returns the lines of a Markdown section."""
    lines = [
        "## Creating a network of 1,000 layers",
        "",
        "| network | over HTTP, ms | PyTorch, ms | ratio |",
        "|---|---|---|---|",
    ]
    with service.model_lab() as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        for name, (architecture, build) in CASES.items():
            ours, theirs = [], []
            for round_ in range(ROUNDS):
                start = time.perf_counter()
                body = {"name": f"{name.split()[1]}-{round_}", "architecture": architecture, "seed": round_}
                client.post("/v1/networks", json=body).raise_for_status()
                ours.append(time.perf_counter() - start)
                start = time.perf_counter()
                nn.Sequential(*build())
                theirs.append(time.perf_counter() - start)
            mine, plain = statistics.median(ours) * 1e3, statistics.median(theirs) * 1e3
            lines.append(f"| {name} | {mine:.0f} | {plain:.0f} | {mine / plain:.1f} |")
    return [*lines, ""]
