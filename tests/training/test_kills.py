"""Row F3 with a hard hand: whatever is killed at whatever moment, a run ends bit for bit where plain PyTorch ends."""

import random
import signal
from pathlib import Path

import pytest

from tests.service import start_service
from tests.training.killed import QUICK, STEPS, assert_ended_well, begin, kill_worker_of_jobs, step_reached


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_run_survives_many_deaths_at_random_moments(tmp_path: Path, seed: int):
    chance = random.Random(seed)
    job, step = "", 0
    while step < STEPS:
        with start_service(tmp_path, env=QUICK) as service, service.client() as client:
            job = job or begin(client)
            for _ in range(chance.randrange(3)):
                step += chance.randrange(50, 300)
                step_reached(client, job, min(step, STEPS))
                kill_worker_of_jobs(client)
            step += chance.randrange(50, 300)
            step_reached(client, job, min(step, STEPS))
            service.stop(signal.SIGKILL)
    with start_service(tmp_path, env=QUICK) as service, service.client() as client:
        assert_ended_well(client, job)
