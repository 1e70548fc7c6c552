"""Workers that die: nothing is lost but time. A real service, `kill -9`, and the numbers that PyTorch gives."""

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.faults import conditions
from tests.faults.conditions import create, forward, gives, numbers
from tests.service import Service, start_service

KILLS = 20
CLIENTS = 8


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with two workers."""
    folder = tmp_path_factory.mktemp("pair")
    with start_service(folder, "--devices", "cpu:0,cpu:1") as service:
        yield service


@pytest.fixture
def client(pair: Service) -> Iterator[httpx.Client]:
    with pair.client() as client:
        conditions.wait_until_ready(client)
        conditions.eventually(
            lambda: all(worker["state"] == "ready" for worker in conditions.workers(client)), "both workers are ready"
        )
        yield client


def test_a_worker_killed_between_requests_is_replaced_and_the_numbers_stay(client: httpx.Client) -> None:
    assert create(client, "between", 1).status_code == 201
    assert gives(forward(client, "between"), numbers(1))
    before = conditions.workers(client)[0]
    pid = conditions.kill_worker(client)
    assert gives(forward(client, "between"), numbers(1))  # it waits for the successor
    after = conditions.workers(client)[0]
    assert after["pid"] != pid
    assert after["restarts"] == before["restarts"] + 1
    assert not conditions.is_alive(pid)


def test_a_worker_killed_in_the_middle_of_a_forward_has_a_successor_that_ends_it(client: httpx.Client) -> None:
    conditions.slow_network(client, "middle", steps=200)
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(forward, client, "middle", conditions.MATRIX)
        time.sleep(0.3)
        conditions.kill_worker(client)
        reply = running.result()
    assert reply.status_code == 200
    assert reply.json()["outputs"]["output"]["data"] == pytest.approx(250.0, rel=1e-4)


def test_a_request_that_two_workers_died_of_is_told_so(client: httpx.Client) -> None:
    conditions.slow_network(client, "deadly", steps=2_000)
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(forward, client, "deadly", conditions.MATRIX)
        for _ in range(2):
            conditions.eventually(lambda: conditions.workers(client)[0]["state"] == "ready", "a worker runs it")
            time.sleep(0.3)
            pid = conditions.kill_worker(client)
            conditions.eventually(lambda: conditions.workers(client)[0]["pid"] != pid, "the worker is replaced")  # noqa: B023
        reply = running.result()
    assert conditions.is_clear_absence(reply)
    assert reply.json()["code"] == "worker-died"
    assert client.get("/healthz").status_code == 200


def test_a_worker_killed_in_the_middle_of_a_create_leaves_a_whole_network_or_none(client: httpx.Client) -> None:
    outcomes = Counter()
    for attempt in range(4):
        name = f"half{attempt}"
        with ThreadPoolExecutor(1) as threads:
            making = threads.submit(create, client, name, attempt, width=200_000)
            time.sleep(0.02 + 0.03 * attempt)
            conditions.kill_worker(client, attempt % 2)
            reply = making.result()
        outcomes[reply.status_code] += 1
        if reply.status_code == 201:
            assert gives(forward(client, name), numbers(attempt, 200_000))
        else:
            assert conditions.is_clear_absence(reply)
            assert client.get(f"/v1/networks/{name}").status_code == 404
    assert outcomes[201] > 0, outcomes


def test_readiness_tells_the_truth(tmp_path_factory: pytest.TempPathFactory) -> None:
    with start_service(tmp_path_factory.mktemp("alone")) as service, service.client() as client:
        assert create(client, "ready", 3).status_code == 201
        conditions.kill_worker(client)
        conditions.eventually(lambda: client.get("/readyz").status_code == 503, "nobody is there to work", 2.0)
        assert client.get("/healthz").status_code == 200
        assert client.get("/v1/networks/ready").status_code == 200  # what needs no worker is answered
        took = conditions.wait_until_ready(client)
        assert took < 15
        began = time.monotonic()
        assert gives(forward(client, "ready"), numbers(3))
        assert time.monotonic() - began < 5


def test_requests_that_come_while_a_worker_starts_are_answered_when_it_has(client: httpx.Client) -> None:
    assert create(client, "early", 4).status_code == 201
    conditions.kill_worker(client)
    with ThreadPoolExecutor(CLIENTS) as threads:
        replies = list(threads.map(lambda _: forward(client, "early"), range(40)))
    assert all(gives(reply, numbers(4)) for reply in replies)


def test_under_many_kills_every_request_ends_in_the_right_numbers_or_a_clear_absence(
    pair: Service, client: httpx.Client
) -> None:
    expected = {f"storm{device}": numbers(10 + device) for device in range(2)}
    for device in range(2):
        assert create(client, f"storm{device}", 10 + device, device=f"cpu:{device}").status_code == 201
    restarts = sum(worker["restarts"] for worker in conditions.workers(client))
    done = threading.Event()
    outcomes: Counter[str] = Counter()
    fresh = itertools.count()

    def work(number: int) -> None:
        chance = random.Random(number)
        with pair.client() as own:
            while not done.is_set():
                if chance.random() < 0.1:
                    seed = next(fresh)
                    reply = create(own, f"made{seed}", seed, device=f"cpu:{chance.randrange(2)}")
                    assert reply.status_code == 201 or conditions.is_clear_absence(reply), reply.text
                    outcomes["made" if reply.status_code == 201 else "absent"] += 1
                    continue
                name = f"storm{chance.randrange(2)}"
                reply = forward(own, name)
                assert gives(reply, expected[name]) or conditions.is_clear_absence(reply), reply.text
                outcomes["ran" if reply.status_code == 200 else "absent"] += 1

    with ThreadPoolExecutor(CLIENTS) as threads:
        working = [threads.submit(work, number) for number in range(CLIENTS)]
        chance = random.Random(0)
        try:
            for kill in range(KILLS):
                number = kill % 2
                conditions.eventually(
                    lambda number=number: conditions.workers(client)[number]["state"] == "ready", "the worker is back"
                )
                time.sleep(chance.random() * 0.1)
                pid = conditions.kill_worker(client, number)
                conditions.eventually(
                    lambda number=number, pid=pid: conditions.workers(client)[number]["pid"] != pid, "it is replaced"
                )
        finally:
            done.set()
        for one in working:
            one.result()
    assert sum(worker["restarts"] for worker in conditions.workers(client)) == restarts + KILLS
    assert outcomes["ran"] > KILLS * CLIENTS
    made = [
        item for item in client.get("/v1/networks?page_size=500").json()["items"] if item["name"].startswith("made")
    ]
    assert len(made) == outcomes["made"]  # what was acknowledged, and nothing else
    for item in made[:20]:
        assert gives(forward(client, item["name"]), numbers(int(item["name"].removeprefix("made"))))
