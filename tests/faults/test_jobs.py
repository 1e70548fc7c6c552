"""Jobs under kills and stops, over real HTTP: none is lost, none is done twice, none hangs, and followers see all."""

import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.api.problem import check_problem
from tests.api.test_jobs import LATER, accepted, ended, read_events, states, wait_for
from tests.faults import conditions
from tests.faults.conditions import MATRIX, gives, numbers
from tests.faults.forge import Forge
from tests.service import Service

NET = "/v1/networks/net"
SHORT_LEASE = {"MODEL_LAB_JOB_LEASE_SECONDS": "1.5", "MODEL_LAB_JOB_POLL_SECONDS": "0.2"}
LENGTHEN = {"rules": [{"parameters": {"bias": "param + 1"}}]}  # done twice, it shows
SLOW_STEPS = 1_500  # some seconds


@pytest.fixture
def service(forge: Forge, tmp_path: Path) -> Iterator[Service]:
    with forge.start(tmp_path, env=SHORT_LEASE) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


def make_net(client: httpx.Client) -> None:
    assert client.post("/v1/networks", json={"name": "net", "architecture": "Linear(1, 1)"}).status_code == 201
    zero = {"rules": [{"parameters": {"bias": "zeros_()"}}]}
    assert client.post(f"{NET}/initialize", json=zero).status_code == 200


def bias(client: httpx.Client) -> float:
    return float(client.get(f"{NET}/parameters/bias").json()["value"]["data"][0])


def ask_slow(client: httpx.Client, steps: int = SLOW_STEPS, name: str = "slow") -> str:
    """A job that takes long, as its network loops."""
    if client.get(f"/v1/networks/{name}").status_code == 404:
        conditions.slow_network(client, name, steps=steps)
    return accepted(client.post(f"/v1/networks/{name}/forward", json={"inputs": MATRIX}, headers=LATER))


def job_worker(client: httpx.Client) -> int | None:
    """The process that jobs run in, if it is at work."""
    for worker in conditions.workers(client):
        if worker["lane"] == "jobs" and worker["state"] == "ready" and worker["queue"]:
            return int(worker["pid"])
    return None


def where_it_runs(*clients: httpx.Client) -> httpx.Client:
    """The service whose worker is at a job."""
    found: list[httpx.Client] = []

    def look() -> bool:
        found.extend(client for client in clients if job_worker(client) is not None)
        return bool(found)

    conditions.eventually(look, "one of them runs it")
    return found[0]


def kill_job_worker(client: httpx.Client) -> None:
    conditions.eventually(lambda: job_worker(client) is not None, "a worker runs the job")
    time.sleep(0.2)
    pid = job_worker(client)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    conditions.eventually(lambda: job_worker(client) != pid, "the worker is gone")


def test_a_job_whose_worker_is_killed_is_tried_again_and_ends_well(client: httpx.Client) -> None:
    url = ask_slow(client, steps=400)
    kill_job_worker(client)
    job = ended(client, url)
    assert (job["state"], job["attempts"]) == ("succeeded", 2)
    assert client.get(f"{url}/result").json()["outputs"]["output"]["data"] == pytest.approx(250.0, rel=1e-4)
    events = list(read_events(client, url))
    assert states(events) == ["queued", "running", "queued", "running", "succeeded"]
    assert "SIGKILL" in str(events[2].data["reason"])


def test_a_job_that_two_workers_died_on_has_failed_and_says_so(client: httpx.Client) -> None:
    url = ask_slow(client)
    kill_job_worker(client)
    kill_job_worker(client)
    job = ended(client, url)
    assert (job["state"], job["attempts"], job["error"]["code"]) == ("failed", 2, "worker-died")
    check_problem(client.get(f"{url}/result"), 503, "worker-died")
    assert gives_numbers_still(client)


def gives_numbers_still(client: httpx.Client) -> bool:
    assert conditions.create(client, "after", 1).status_code == 201
    return gives(conditions.forward(client, "after"), numbers(1))


def test_what_a_killed_service_was_doing_is_done_once_by_the_next_one(forge: Forge, tmp_path: Path) -> None:
    with forge.start(tmp_path, env=SHORT_LEASE) as service, service.client() as client:
        make_net(client)
        slow = ask_slow(client, steps=400)
        conditions.eventually(lambda: job_worker(client) is not None, "a worker runs the job")
        urls = [accepted(client.post(f"{NET}/initialize", json=LENGTHEN, headers=LATER)) for _ in range(3)]
        service.process.kill()
        service.process.wait()
    with forge.start(tmp_path, env=SHORT_LEASE) as service, service.client() as client:
        assert [ended(client, url)["state"] for url in urls] == ["succeeded"] * 3
        job = ended(client, slow)
        assert (job["state"], job["attempts"]) == ("succeeded", 2)
        assert bias(client) == 3.0
        assert client.get(NET).json()["revision"] == 5


def test_a_service_that_was_only_thought_dead_can_do_nothing_more(
    forge: Forge, tmp_path: Path, postgres_url: str
) -> None:
    option = ("--database-url", postgres_url)
    with (
        forge.start(tmp_path / "a", *option, env=SHORT_LEASE) as first,
        first.client() as here,
        forge.start(tmp_path / "b", *option, env=SHORT_LEASE) as second,
        second.client() as there,
    ):
        make_net(there)
        slow = ask_slow(there, steps=600)
        at_work, other = (first, there) if where_it_runs(here, there) is here else (second, here)
        jobs = [accepted(other.post(f"{NET}/initialize", json=LENGTHEN, headers=LATER)) for _ in range(5)]
        at_work.process.send_signal(signal.SIGSTOP)  # it sleeps longer than its lease
        try:
            for url in jobs:
                assert ended(other, url)["state"] == "succeeded"
            assert ended(other, slow)["attempts"] == 2
        finally:
            at_work.process.send_signal(signal.SIGCONT)
        time.sleep(1.0)
        assert bias(other) == 5.0
        assert states(list(read_events(other, slow))) == ["queued", "running", "queued", "running", "succeeded"]


def test_cancelling_a_running_job_stops_its_worker_and_the_next_job_runs(client: httpx.Client) -> None:
    make_net(client)
    url = ask_slow(client, steps=50_000)
    conditions.eventually(lambda: job_worker(client) is not None, "a worker runs the job")
    waiting = ask_slow(client)
    assert client.post(f"{waiting}/cancel").json()["state"] == "cancelled"
    assert client.post(f"{url}/cancel").json()["state"] == "cancelled"
    check_problem(client.get(f"{url}/result"), 409, "cancelled")
    behind = accepted(client.post(f"{NET}/initialize", json=LENGTHEN, headers=LATER))
    assert ended(client, behind)["state"] == "succeeded"
    assert client.get(waiting).json()["started_at"] is None
    assert client.post(f"{behind}/cancel").json()["state"] == "succeeded"
    assert states(list(read_events(client, url))) == ["queued", "running", "cancelled"]


def test_a_job_that_has_not_ended_has_no_result_and_cannot_be_deleted(client: httpx.Client) -> None:
    url = ask_slow(client)
    check_problem(client.get(f"{url}/result"), 409, "not-finished")
    check_problem(client.delete(url), 409, "not-finished")
    assert client.get(f"{url}/result").json()["state"] in ("queued", "running")
    client.post(f"{url}/cancel")
    assert client.delete(url).status_code == 204


def test_urgent_jobs_come_before_those_that_wait_longer(client: httpx.Client) -> None:
    make_net(client)
    ahead = ask_slow(client, steps=100)
    urls = [
        accepted(client.post(f"{NET}/initialize", json=LENGTHEN, headers={**LATER, "Priority": f"u={urgency}"}))
        for urgency in (7, 3, 0)
    ]
    assert [client.get(url).json()["priority"] for url in urls] == [7, 3, 0]
    for url in (ahead, *urls):
        ended(client, url)
    started = [client.get(url).json()["started_at"] for url in urls]
    assert started == sorted(started, reverse=True)


def test_a_job_that_runs_past_its_deadline_has_failed_and_the_next_one_runs(forge: Forge, tmp_path: Path) -> None:
    with forge.start(tmp_path, env={"MODEL_LAB_JOB_DEADLINE_SECONDS": "2"}) as service, service.client() as client:
        make_net(client)
        job = ended(client, ask_slow(client, steps=50_000))
        assert (job["state"], job["attempts"], job["error"]["code"]) == ("failed", 1, "deadline-exceeded")
        assert ended(client, accepted(client.post(f"{NET}/initialize", json=LENGTHEN, headers=LATER)))["attempts"] == 1


def test_a_small_request_is_answered_while_a_long_job_runs(client: httpx.Client) -> None:
    assert conditions.create(client, "small", 1).status_code == 201
    url = ask_slow(client, steps=50_000)
    conditions.eventually(lambda: job_worker(client) is not None, "a worker runs the job")
    for _ in range(5):
        assert gives(conditions.forward(client, "small"), numbers(1))
    assert client.get(url).json()["state"] == "running"
    client.post(f"{url}/cancel")


def test_a_stop_ends_what_ends_in_time_and_leaves_the_rest_unharmed_for_the_next(forge: Forge, tmp_path: Path) -> None:
    drain = {**SHORT_LEASE, "MODEL_LAB_DRAIN_SECONDS": "5"}
    with forge.start(tmp_path, "--devices", "cpu:0,cpu:1", env=drain) as service, service.client() as client:
        make_net(client)
        conditions.slow_network(client, "brief", steps=250)
        conditions.slow_network(client, "endless", steps=50_000, device="cpu:1")
        endless = ask_slow(client, name="endless")
        wait_for(client, endless, "running")
        brief = ask_slow(client, name="brief")
        wait_for(client, brief, "running")
        waiting = ask_slow(client, name="brief")
        with ThreadPoolExecutor(1) as threads:
            followed = threads.submit(lambda: states(list(read_events(client, waiting))))
            time.sleep(0.3)
            service.process.send_signal(signal.SIGTERM)
            assert followed.result(10) == ["queued"]  # the stream ends, so that the service can
        began = time.monotonic()
        service.process.wait(20)
        assert time.monotonic() - began < 12
    with forge.start(tmp_path, "--devices", "cpu:0,cpu:1", env=drain) as service, service.client() as client:
        assert client.get(brief).json()["state"] == "succeeded"
        assert client.get(brief).json()["attempts"] == 1
        events = list(read_events_until(client, endless, "running", 2))
        assert states(events) == ["queued", "running", "queued", "running"]
        assert events[2].data["reason"] == "the service stopped"
        assert client.get(endless).json()["attempts"] == 1
        assert ended(client, waiting)["state"] == "succeeded"
        client.post(f"{endless}/cancel")


def read_events_until(client: httpx.Client, url: str, state: str, times: int) -> Iterator:
    """Events up to the one that tells `state` for the so-manieth time; then the connection is closed."""
    seen = 0
    for event in read_events(client, url):
        yield event
        seen += event.data.get("state") == state
        if seen == times:
            return


def test_a_follower_whose_connection_breaks_goes_on_where_it_was(client: httpx.Client) -> None:
    url = ask_slow(client, steps=300)
    first = list(read_events_until(client, url, "running", 1))
    rest = list(read_events(client, url, after=first[-1].number))
    assert states(first + rest) == ["queued", "running", "succeeded"]
    assert [event.number for event in first + rest] == [1, 2, 3]


def test_word_of_a_job_goes_from_one_service_to_the_other_at_once(
    forge: Forge, tmp_path: Path, postgres_url: str
) -> None:
    """They would look by themselves only after a minute: PostgreSQL wakes them."""
    option = ("--database-url", postgres_url)
    patient = {"MODEL_LAB_JOB_POLL_SECONDS": "60"}
    with (
        forge.start(tmp_path / "a", *option, env=patient) as one,
        forge.start(tmp_path / "b", *option, env=patient) as two,
        one.client() as first,
        two.client() as second,
    ):
        make_net(first)
        began = time.monotonic()
        urls = [accepted(first.post(f"{NET}/initialize", json=LENGTHEN, headers=LATER)) for _ in range(4)]
        for url in urls:
            assert states(list(read_events(second, url)))[-1] == "succeeded"
        slow = ask_slow(first, steps=50_000)
        wait_for(second, slow, "running")
        holder = where_it_runs(first, second)
        other = second if holder is first else first
        other.post(f"{slow}/cancel")
        conditions.eventually(lambda: job_worker(holder) is None, "the other service stopped it", 20)
        assert time.monotonic() - began < 50


KILLS = 100
AHEAD = 10  # jobs that wait


def test_in_a_storm_of_kills_every_job_is_done_once_or_has_failed_with_the_reason(client: httpx.Client) -> None:
    make_net(client)
    conditions.slow_network(client, "busy", steps=40)
    killed: set[int] = set()
    done = threading.Event()

    def kill() -> None:
        """Ends every worker for jobs as soon as it works, until so many are dead."""
        while len(killed) < KILLS and not done.is_set():
            pid = job_worker(client)
            if pid is None or pid in killed:
                time.sleep(0.02)
                continue
            time.sleep(source.random() * 0.1)
            with suppress(ProcessLookupError):  # it ended by itself
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)

    source = random.Random(7)
    urls: list[str] = []
    with ThreadPoolExecutor(1) as threads:
        killing = threads.submit(kill)
        try:
            while not killing.done():
                urls.append(accepted(client.post(f"{NET}/initialize", json=LENGTHEN, headers=LATER)))
                urls.append(ask_slow(client, name="busy"))
                if len(urls) > AHEAD:
                    ended(client, urls[-AHEAD])
        finally:
            done.set()
        killing.result()
        jobs = [ended(client, url) for url in urls]
    assert len(killed) == KILLS
    assert sum(job["attempts"] for job in jobs) >= len(jobs) + KILLS // 4  # many died at work
    assert {job["state"] for job in jobs} == {"succeeded", "failed"}
    assert all(job["error"]["code"] == "worker-died" for job in jobs if job["state"] == "failed")
    good = [job for job in jobs if job["kind"] == "initialize" and job["state"] == "succeeded"]
    assert bias(client) == float(len(good))
    assert client.get(NET).json()["revision"] == 2 + len(good)
    told = sorted(int(client.get(f"{job['links']['self']}/result").json()["revision"]) for job in good)
    assert told == list(itertools.islice(itertools.count(3), len(good)))
