"""kill -9 of the service and of its worker at any moment, while clients write: nothing lost, nothing done twice."""

import os
import random
import signal
import time
from pathlib import Path

import httpx
import pytest

from tests.faults.conditions import eventually, workers
from tests.faults.forge import Forge
from tests.faults.storms import Storm

CLIENTS = 3


def counts(few: int, many: int):
    """So many kills with every other test, and so many when there is time."""
    return pytest.mark.parametrize(
        "kills", [few, pytest.param(many, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
    )


@pytest.fixture
def settings(database_url: str) -> dict[str, str]:
    return {"MODEL_LAB_DATABASE_URL": database_url, "MODEL_LAB_DEVICES": "cpu:0"}


def kind_of(settings: dict[str, str]) -> str:
    return settings["MODEL_LAB_DATABASE_URL"].partition(":")[0]


def kill_another(client: httpx.Client, killed: int | None) -> int:
    """Kills the worker that has come since the last kill; a change may have needed none."""
    eventually(lambda: workers(client)[0]["pid"] not in (killed, None), "another worker")
    pid = workers(client)[0]["pid"]
    os.kill(pid, signal.SIGKILL)
    return pid


@counts(10, 200)
def test_killing_the_service_loses_and_doubles_nothing(
    forge: Forge, tmp_path: Path, settings: dict[str, str], kills: int
) -> None:
    source = random.Random(5)
    storm = Storm(CLIENTS, f"{kills} kills of the service on {kind_of(settings)}")
    for number in range(kills + 1):
        with forge.start(tmp_path, env=settings) as service, service.client() as client:
            storm.come_to(client)
            if number == kills:
                storm.end(client)
                return
            storm.wait_for(changes=2)
            time.sleep(source.random() * 0.1)
            service.process.send_signal(signal.SIGKILL)
            service.process.wait()


@counts(10, 300)
def test_killing_the_worker_loses_and_doubles_nothing(
    forge: Forge, tmp_path: Path, settings: dict[str, str], kills: int
) -> None:
    source = random.Random(6)
    storm = Storm(CLIENTS, f"{kills} kills of its worker on {kind_of(settings)}")
    with forge.start(tmp_path, env=settings) as service, service.client() as client:
        storm.come_to(client)
        killed = None
        for _ in range(kills):
            storm.wait_for(changes=2)
            time.sleep(source.random() * 0.1)
            killed = kill_another(client, killed)
        storm.end(client)
