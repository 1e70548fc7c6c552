"""Row F3: long training saves as it goes, and a power cut loses little."""

import random
import signal
from pathlib import Path

from tests.service import start_service
from tests.training.killed import QUICK, assert_ended_well, begin, kill_worker_of_training, step_reached


def test_f3_a_run_survives_its_worker_its_service_and_a_move_to_another_device(tmp_path: Path):
    chance = random.Random(5)  # the moments differ in any case
    with start_service(tmp_path, env=QUICK) as service, service.client() as client:
        job = begin(client)
        step_reached(client, job, chance.randrange(50, 250))
        assert kill_worker_of_training(client)
        told = client.get(job).json()["progress"]["step"]  # by whoever was killed
        step_reached(client, job, told + chance.randrange(100, 400))
        assert client.put("/v1/networks/net/device", json={"device": "cpu:1"}).status_code == 200
        service.stop(signal.SIGKILL)
    with start_service(tmp_path, env=QUICK) as service, service.client() as client:
        assert_ended_well(client, job)
        attempts = client.get(job).json()["attempts"]
        assert attempts >= 3
        at_work = {worker["device"] for worker in client.get("/v1/workers").json()["items"] if worker["lane"] == "jobs"}
        assert "cpu:0" not in at_work, "after the move it ran where the network is"
