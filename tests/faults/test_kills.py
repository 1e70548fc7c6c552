"""kill -9 of the service and of its worker while clients edit: nothing acknowledged is lost, nothing happens twice.

Clients send each edit with an `Idempotency-Key` until it is acknowledged, as a careful client does.
"""

import os
import random
import signal
import threading
import time
from pathlib import Path

import httpx
import psutil
import pytest

from tests.chapter.nets import create
from tests.service import start_service

SERVICE_KILLS = 4
WORKER_KILLS = 5
CLIENTS = 3
GIVE_UP_SECONDS = 120.0


class Client(threading.Thread):
    """Adds 1 to one element of its own, again and again, until told to stop; counts what was acknowledged."""

    def __init__(self, number: int, base_url: list[str], path: str) -> None:
        super().__init__(daemon=True)
        self.number = number
        self.base_url = base_url  # its only element changes when the service starts anew
        self.path = path
        self.done = 0
        self.refusals: list[str] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.is_set():
            self.edit_once()

    def edit_once(self) -> None:
        headers = {"Idempotency-Key": f"{self.path}-{self.number}-{self.done}"}
        body = {"edits": [{"index": str(self.number), "expression": "param + 1"}]}
        give_up = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < give_up:
            try:
                url = f"{self.base_url[0]}{self.path}/parameters/bias"
                reply = httpx.patch(url, json=body, headers=headers, timeout=30)
            except httpx.TransportError:
                time.sleep(0.02)
                continue
            if reply.status_code == 200:
                self.done += 1
                return
            if reply.status_code not in (409, 429, 503):
                self.refusals.append(reply.text)
                return
            time.sleep(0.02)


def check(client: httpx.Client, path: str, writers: list[Client]) -> None:
    for writer in writers:
        assert writer.refusals == []
    values = client.get(f"{path}/parameters/bias").json()["value"]["data"]
    assert values[:CLIENTS] == [writer.done for writer in writers]
    assert client.get(path).json()["revision"] == 1 + sum(writer.done for writer in writers)
    forward = client.post(f"{path}/forward", json={"inputs": [0.0] * 4}).json()["outputs"]["output"]["data"]
    assert forward[:CLIENTS] == values[:CLIENTS]


@pytest.fixture(params=["sqlite", "postgresql"])
def env(request, tmp_path: Path) -> dict[str, str]:
    url = f"sqlite:///{tmp_path}/lab.sqlite"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_server").fresh()
    return {"MODEL_LAB_DATABASE_URL": url, "MODEL_LAB_DEVICES": "cpu:0"}


def test_killing_the_service_loses_and_doubles_nothing(tmp_path: Path, env: dict[str, str]):
    source = random.Random(5)
    base_url, writers, path = [""], [], ""
    for round_number in range(SERVICE_KILLS + 1):
        with start_service(tmp_path, env=env) as service, service.client() as client:
            base_url[0] = service.base_url
            if not writers:
                path = create(client, "net", "Linear(4, 4)", init=[{"parameters": {"*": "zeros_()"}}])
                writers = [Client(number, base_url, path) for number in range(CLIENTS)]
                for writer in writers:
                    writer.start()
            if round_number == SERVICE_KILLS:
                break
            before = sum(writer.done for writer in writers)
            give_up = time.monotonic() + 30
            while sum(writer.done for writer in writers) < before + 3 and time.monotonic() < give_up:
                time.sleep(0.01)
            time.sleep(source.random() * 0.1)
            service.process.send_signal(signal.SIGKILL)
            service.process.wait()
    with start_service(tmp_path, env=env) as service, service.client() as client:
        base_url[0] = service.base_url
        for writer in writers:
            writer.stopping.set()
        for writer in writers:
            writer.join(GIVE_UP_SECONDS)
            assert not writer.is_alive()
        assert sum(writer.done for writer in writers) > 3 * SERVICE_KILLS
        check(client, path, writers)


def test_killing_the_worker_loses_and_doubles_nothing(tmp_path: Path, env: dict[str, str]):
    source = random.Random(6)
    with start_service(tmp_path, env=env) as service, service.client() as client:
        path = create(client, "net", "Linear(4, 4)", init=[{"parameters": {"*": "zeros_()"}}])
        writers = [Client(number, [service.base_url], path) for number in range(CLIENTS)]
        for writer in writers:
            writer.start()
        for _ in range(WORKER_KILLS):
            before = sum(writer.done for writer in writers)
            give_up = time.monotonic() + 60
            while sum(writer.done for writer in writers) < before + 2 and time.monotonic() < give_up:
                time.sleep(0.01)
            time.sleep(source.random() * 0.1)
            for process in psutil.Process(service.process.pid).children(recursive=True):
                os.kill(process.pid, signal.SIGKILL)
        for writer in writers:
            writer.stopping.set()
        for writer in writers:
            writer.join(GIVE_UP_SECONDS)
            assert not writer.is_alive()
        assert sum(writer.done for writer in writers) >= 2 * WORKER_KILLS
        check(client, path, writers)
