"""Row F3 with a hard hand: whatever is killed at whatever moment, a run ends bit for bit where plain PyTorch ends."""

import random
import signal
import time
from pathlib import Path

import httpx
import pytest

from tests.service import start_service
from tests.training.killed import QUICK, STEPS, assert_ended_well, begin, kill_worker_of_training, step_reached


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_run_survives_many_deaths_at_random_moments(tmp_path: Path, seed: int):
    chance = random.Random(seed)
    job, step = "", 0
    while step < STEPS:
        with start_service(tmp_path, env=QUICK) as service, service.client() as client:
            job = job or begin(client)
            for _ in range(chance.randrange(3)):
                step = further(client, job, chance)
                kill_worker_of_training(client)
            step = further(client, job, chance)
            service.stop(signal.SIGKILL)
    with start_service(tmp_path, env=QUICK) as service, service.client() as client:
        assert_ended_well(client, job)


def further(client: httpx.Client, job: str, chance: random.Random) -> int:
    """Waits for some more steps, and for the checkpoint that two deaths have between them; gives the step it is at."""
    begun = checkpoints(client)
    step_reached(client, job, min(told_step(client, job) + chance.randrange(50, 300), STEPS))
    while checkpoints(client) == begun and client.get(job).json()["state"] in ("queued", "running"):
        time.sleep(0.02)
    return told_step(client, job)


def told_step(client: httpx.Client, job: str) -> int:
    told = client.get(job).json()
    return STEPS if told["state"] == "succeeded" else (told["progress"] or {"step": 0})["step"]


def checkpoints(client: httpx.Client) -> int:
    return client.get("/v1/networks/net").json()["revision"]
