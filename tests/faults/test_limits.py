"""Time and memory that run out: a clear answer, and the service goes on."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults import conditions
from tests.faults.conditions import create, forward, gives, numbers
from tests.service import start_service

DEADLINE_SECONDS = 15.0


def test_a_network_without_end_is_stopped_and_its_neighbours_are_answered(tmp_path: Path) -> None:
    settings = {"MODEL_LAB_DEADLINE_SECONDS": str(DEADLINE_SECONDS)}
    with (
        start_service(tmp_path, "--devices", "cpu:0,cpu:1", env=settings) as service,
        service.client() as client,
        ThreadPoolExecutor(8) as threads,
    ):
        conditions.slow_network(client, "endless", steps=90_000)
        assert create(client, "same", 1, device="cpu:0").status_code == 201
        assert create(client, "other", 2, device="cpu:1").status_code == 201
        began = time.monotonic()
        endless = threads.submit(forward, client, "endless", conditions.MATRIX)
        time.sleep(0.2)
        assert gives(forward(client, "other"), numbers(2))
        assert time.monotonic() - began < 5  # on the other worker nobody notices
        time.sleep(DEADLINE_SECONDS - 2)  # what comes now waits for the kill and for the successor
        behind = [threads.submit(forward, client, "same") for _ in range(5)]
        stopped = endless.result()
        assert (stopped.status_code, stopped.json()["code"]) == (504, "deadline-exceeded")
        assert DEADLINE_SECONDS <= stopped.elapsed.total_seconds() < DEADLINE_SECONDS + 5
        assert all(gives(one.result(), numbers(1)) for one in behind)
        assert [worker["restarts"] for worker in conditions.workers(client)] == [1, 0]


def test_a_worker_that_hangs_is_replaced_and_those_behind_it_are_answered(tmp_path: Path) -> None:
    with (
        start_service(tmp_path, env={"MODEL_LAB_DEADLINE_SECONDS": "6"}) as service,
        service.client() as client,
        ThreadPoolExecutor(8) as threads,
    ):
        assert create(client, "steady", 3).status_code == 201
        pid = int(conditions.workers(client)[0]["pid"])
        os.kill(pid, signal.SIGSTOP)
        hung = threads.submit(forward, client, "steady")
        time.sleep(5)  # those who come now wait for the kill and for the successor
        behind = [threads.submit(forward, client, "steady") for _ in range(5)]
        assert (hung.result().status_code, hung.result().json()["code"]) == (504, "deadline-exceeded")
        conditions.eventually(lambda: not conditions.is_alive(pid), "the worker that hung has ended")
        conditions.wait_until_ready(client)
        assert gives(forward(client, "steady"), numbers(3))
        for one in behind:  # on a machine that is busy the successor may come too late for them
            assert gives(one.result(), numbers(3)) or conditions.is_clear_absence(one.result())


def test_more_than_may_wait_are_told_at_once_to_come_back(tmp_path: Path) -> None:
    with (
        start_service(tmp_path, env={"MODEL_LAB_QUEUE_LENGTH": "4"}) as service,
        service.client() as client,
        ThreadPoolExecutor(20) as threads,
    ):
        conditions.slow_network(client, "slow", steps=100)
        replies = list(threads.map(lambda _: forward(client, "slow", conditions.MATRIX), range(20)))
        refused = [reply for reply in replies if reply.status_code != 200]
        assert refused
        assert {(reply.status_code, reply.json()["code"]) for reply in refused} == {(429, "busy")}
        assert all(int(reply.headers["retry-after"]) >= 1 for reply in refused)
        assert len(replies) - len(refused) >= 4
        assert forward(client, "slow", conditions.MATRIX).status_code == 200


def test_a_forward_that_asks_for_too_much_memory_is_refused_and_the_worker_lives(tmp_path: Path) -> None:
    with (
        start_service(tmp_path, env={"MODEL_LAB_WORKER_MEMORY_BYTES": str(512 * 2**20)}) as service,
        service.client() as client,
    ):
        body = {"inputs": ["x"], "forward": ["y = zeros(300000000)", "return y.sum() + x.sum()"]}
        assert client.post("/v1/networks", json={"name": "greedy", "architecture": body}).status_code == 201
        assert create(client, "modest", 5).status_code == 201
        before = conditions.workers(client)[0]["pid"]
        for _ in range(3):
            reply = forward(client, "greedy")
            assert (reply.status_code, reply.json()["code"]) == (422, "limit-exceeded")
            assert gives(forward(client, "modest"), numbers(5))
        worker = conditions.workers(client)[0]
        assert (worker["pid"], worker["restarts"]) == (before, 0)
