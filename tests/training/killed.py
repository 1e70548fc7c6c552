"""A run that is to be disturbed: how it begins, what kills it, and where it has to end all the same."""

import os
import signal

import httpx
import torch
from torch import nn
from torch.nn import functional as F

from tests.laboratory import assert_same_state, create, state_of
from tests.training.runs import follow, plain, start, wait

QUICK = {"MODEL_LAB_JOB_LEASE_SECONDS": "3", "MODEL_LAB_JOB_POLL_SECONDS": "0.2", "MODEL_LAB_DEVICES": "cpu:0,cpu:1"}
NET = ["Linear(16, 64)", "BatchNorm1d(64)", "ReLU()", "Dropout(0.2)", "Linear(64, 4)"]
X = torch.randn(192, 16, generator=torch.Generator().manual_seed(1))
Y = (X[:, :4].abs().argmax(1) + (X[:, 5] > 1)) % 4
EPOCHS, BATCH = 160, 16
STEPS = EPOCHS * len(X) // BATCH


def begin(client: httpx.Client) -> str:
    create(client, "net", NET, seed=7)
    return start(
        client, "net", inputs=X, targets={"y": Y}, loss="cross_entropy(output, y)", optimizer="Adam(lr=0.003)",
        scheduler="StepLR(40, gamma=0.3)", epochs=EPOCHS, batch_size=BATCH, seed=21,
        checkpoint={"every_steps": 40, "keep_last": 2},
    )  # fmt: skip


def twin() -> nn.Module:
    torch.manual_seed(7)
    net = nn.Sequential(nn.Linear(16, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 4))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.003)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 40, gamma=0.3)
    plain(net, optimizer, F.cross_entropy, (X, Y), seed=21, batch_size=BATCH, epochs=EPOCHS, after_epoch=scheduler.step)
    return net


def step_reached(client: httpx.Client, job: str, step: int) -> None:
    """Returns when the run has told of this step, or ended."""
    told = client.get(job).json()
    if told["progress"] and told["progress"]["step"] >= step:
        return
    for _, kind, data in follow(client, job):
        if kind == "progress" and data["step"] >= step:
            return


def kill_worker_of_training(client: httpx.Client) -> bool:
    """Kills whoever runs the training; False if nobody does."""
    for worker in client.get("/v1/workers").json()["items"]:
        if worker["lane"] == "training" and worker["queue"] and worker["pid"]:
            os.kill(worker["pid"], signal.SIGKILL)
            return True
    return False


def assert_ended_well(client: httpx.Client, job: str) -> None:
    result = wait(client, job)
    assert (result["steps"], result["epochs"]) == (STEPS, EPOCHS)
    assert_same_state(state_of(client, "net"), twin())
    curve = client.get("/v1/networks/net/curve").json()
    assert curve["steps"][-1] == STEPS - STEPS % curve["stride"]
    assert [point["epoch"] for point in curve["epochs"]] == list(range(1, EPOCHS + 1))
    assert len(client.get("/v1/networks/net/revisions").json()["items"]) == 1 + 2, "the first, and the newest two"
