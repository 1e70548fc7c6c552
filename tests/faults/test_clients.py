"""Clients that go away: their work ends, and nobody else notices."""

import json
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from tests.faults import conditions
from tests.faults.conditions import MATRIX, create, forward, gives, numbers
from tests.service import Service, start_service

ENDLESS = {"inputs": ["x"], "forward": ["for i in range(100000):", "    x = (x @ x) / 1000", "return x"]}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with one worker that would wait long for a task to end."""
    settings = {"MODEL_LAB_DEADLINE_SECONDS": "120"}
    with start_service(tmp_path_factory.mktemp("clients"), env=settings) as service:
        yield service


@pytest.fixture
def client(alone: Service) -> Iterator[httpx.Client]:
    with alone.client() as client:
        yield client


def send(service: Service, method: str, path: str, body: object) -> socket.socket:
    """Sends a whole request and leaves it to the caller to wait for the reply or to go."""
    content = json.dumps(body).encode()
    address = urlsplit(service.base_url)
    connection = socket.create_connection((address.hostname, address.port))
    head = ["Host: localhost", "Content-Type: application/json", f"Content-Length: {len(content)}", "", ""]
    connection.sendall("\r\n".join([f"{method} {path} HTTP/1.1", *head]).encode() + content)
    return connection


def queue_of(client: httpx.Client) -> int:
    return int(conditions.workers(client)[0]["queue"])


def leave(service: Service, client: httpx.Client, method: str, path: str, body: object) -> None:
    connection = send(service, method, path, body)
    conditions.eventually(lambda: queue_of(client) == 1, "the worker has it")
    time.sleep(0.3)
    connection.close()
    conditions.eventually(lambda: queue_of(client) == 0, "it was broken off", 10)


def test_a_forward_whose_client_leaves_is_broken_off(alone: Service, client: httpx.Client) -> None:
    assert create(client, "small", 1).status_code == 201
    assert client.post("/v1/networks", json={"name": "endless", "architecture": ENDLESS}).status_code == 201
    before = conditions.workers(client)[0]
    for _ in range(3):
        leave(alone, client, "POST", "/v1/networks/endless/forward", {"inputs": MATRIX})
        assert gives(forward(client, "small"), numbers(1))
    after = conditions.workers(client)[0]
    assert (after["pid"], after["restarts"]) == (before["pid"], before["restarts"])
    assert '"level":"error"' not in alone.log.read_text()


def test_a_check_whose_client_leaves_is_broken_off(alone: Service, client: httpx.Client) -> None:
    looping = {"inputs": ["x"], "forward": ["for i in range(99999):", "    for j in range(1):", "        x = x.abs()"]}
    looping["forward"] += ["return x"]
    before = conditions.workers(client)[0]
    body = {"architecture": looping, "input_shapes": {"x": [4]}}
    leave(alone, client, "POST", "/v1/architectures/check", body)
    assert conditions.workers(client)[0]["pid"] == before["pid"]
    assert client.post("/v1/architectures/check", json={"architecture": "Linear(2, 2)"}).status_code == 200
    assert '"level":"error"' not in alone.log.read_text()


def test_a_crowd_that_leaves_makes_room_for_those_who_stay(alone: Service, client: httpx.Client) -> None:
    body = {"inputs": [[0.001] * 64] * 64}  # one or two seconds each
    crowd = [send(alone, "POST", "/v1/networks/endless/forward", body) for _ in range(60)]
    conditions.eventually(lambda: queue_of(client) > 50, "most of them wait")
    time.sleep(0.3)
    for connection in crowd:
        connection.close()
    began = time.monotonic()
    assert gives(forward(client, "small"), numbers(1))
    assert time.monotonic() - began < 20  # all of them would take more than a minute
    conditions.eventually(lambda: queue_of(client) == 0, "nothing is left")


def test_a_download_whose_client_leaves_ends(alone: Service, client: httpx.Client) -> None:
    assert client.put("/v1/artifacts/large", json={"data": [1.0] * 2_000_000}).status_code == 201
    connection = send(alone, "GET", "/v1/artifacts/large?format=safetensors", None)
    assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    connection.close()
    assert len(client.get("/v1/artifacts/large?format=safetensors").content) > 8_000_000
    assert '"level":"error"' not in alone.log.read_text()
