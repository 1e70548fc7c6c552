"""A few networks worth looking at, made over HTTP: for the picture in the README and for the tests of the lab.

`python -m tests.pages.demonstration` starts a service, fills it and takes the picture (`make picture`).
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "lab.png"

RESIDUAL: dict[str, Any] = {
    "blocks": {
        "Residual": {
            "hyperparameters": ["width"],
            "children": {
                "norm": "LayerNorm(width)",
                "hidden": "Linear(width, 4 * width)",
                "out": "Linear(4 * width, width)",
            },
            "inputs": ["x"],
            "forward": ["return x + out(gelu(hidden(norm(x))))"],
        }
    },
    "shared": {"gate": "Linear(32, 32)"},
    "children": {
        "read": "Linear(16, 32)",
        "first": [{"ref": "gate"}, "Residual(32)"],
        "second": [{"ref": "gate"}, "Residual(32)"],
        "answer": "Linear(32, 4)",
    },
    "inputs": ["x"],
    "forward": ["h = read(x)", "return answer(first(h) + second(h))"],
}
NETWORKS: tuple[dict[str, Any], ...] = (
    {"name": "two-towers", "architecture": RESIDUAL, "seed": 7, "labels": {"task": "demonstration"}},
    {"name": "mlp", "architecture": ["Linear(20, 256)", "ReLU()", "Linear(256, 10)"], "labels": {"chapter": "5"}},
    {
        "name": "lenet",
        "architecture": [
            "Conv2d(1, 6, 5, padding=2)", "Sigmoid()", "AvgPool2d(2, 2)", "Conv2d(6, 16, 5)", "Sigmoid()",
            "AvgPool2d(2, 2)", "Flatten()", "Linear(400, 120)", "Sigmoid()", "Linear(120, 10)",
        ],
        "seed": 1,
    },
)  # fmt: skip


def fill(client: httpx.Client) -> None:
    """Makes the networks, changes one, and has one trained."""
    for network in NETWORKS:
        client.post("/v1/networks", json=network).raise_for_status()
    edits = {"edits": [{"index": "0, :", "value": 0}]}
    client.patch("/v1/networks/two-towers/parameters/read.weight", json=edits).raise_for_status()
    rules = {"rules": [{"path": "answer", "parameters": {"weight": "xavier_uniform_()"}}], "seed": 1}
    client.post("/v1/networks/two-towers/initialize", json=rules).raise_for_status()
    client.put("/v1/networks/two-towers/checkpoints/best", json={}).raise_for_status()
    train(client, "two-towers", 16, steps=400)


def train(client: httpx.Client, name: str, width: int, *, steps: int) -> str:
    """Has a network trained on a few rows for so many steps; returns the address of the job."""
    rows = [[((7 * row + 3 * column) % 11) / 11 for column in range(width)] for row in range(64)]
    body = {
        "inputs": rows,
        "targets": {"y": [[row[0], row[1] * row[2], row[3] - row[4], 1 - row[5]] for row in rows]},
        "loss": "mse_loss(output, y)",
        "optimizer": "Adam(lr=0.002)",
        "steps": steps,
        "batch_size": 16,
        "seed": 7,
    }
    return str(client.post(f"/v1/networks/{name}/train", json=body).raise_for_status().headers["location"])


def wait_for(client: httpx.Client, job: str) -> str:
    """Waits until a job has ended; returns how."""
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        state = str(client.get(job).json()["state"])
        if state not in ("queued", "running"):
            return state
        time.sleep(0.2)
    raise TimeoutError(job)


def take_picture() -> None:
    from playwright.sync_api import sync_playwright

    from tests.pages.conftest import CHROMIUM, FLAGS
    from tests.service import start_service

    with tempfile.TemporaryDirectory() as folder, start_service(Path(folder)) as service, service.client() as client:
        fill(client)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport={"width": 1200, "height": 1120})
            page.goto(f"{service.base_url}/lab#/networks/two-towers")
            page.locator("main:not([aria-busy])").wait_for()  # all of it is there
            PICTURE.parent.mkdir(exist_ok=True)
            page.screenshot(path=PICTURE)
            browser.close()


if __name__ == "__main__":
    take_picture()
