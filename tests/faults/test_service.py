"""The service itself dies or is told to end: what was acknowledged is there, and no process stays behind."""

import itertools
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.faults import conditions
from tests.faults.conditions import create, forward, gives, numbers
from tests.service import start_service

ROUNDS = 3


def test_after_a_kill_every_acknowledged_network_is_there_and_whole(tmp_path: Path) -> None:
    acknowledged: dict[str, int] = {}
    seeds = itertools.count(1)
    for _ in range(ROUNDS):
        with start_service(tmp_path) as service:
            done = threading.Event()

            def make(base_url: str = service.base_url, done: threading.Event = done) -> None:
                with httpx.Client(base_url=base_url, timeout=20.0) as client:
                    while not done.is_set():
                        seed = next(seeds)
                        try:
                            if create(client, f"net{seed}", seed, width=2_000).status_code == 201:
                                acknowledged[f"net{seed}"] = seed
                        except httpx.TransportError:
                            return  # killed under this request: it may be there or not, but not in part

            with service.client() as client:
                worker = int(conditions.workers(client)[0]["pid"])
            with ThreadPoolExecutor(4) as threads:
                for _ in range(4):
                    threads.submit(make)
                time.sleep(1.0)
                service.process.send_signal(signal.SIGKILL)
                service.process.wait()
                done.set()
            conditions.eventually(lambda pid=worker: not conditions.is_alive(pid), "the worker has gone too", 5.0)
    assert len(acknowledged) > 20
    with start_service(tmp_path) as service, service.client() as client:
        names: list[str] = []
        path = "/v1/networks?page_size=500"
        while path:
            page = client.get(path).json()
            names += [item["name"] for item in page["items"]]
            token = page["next_page_token"]
            path = f"/v1/networks?page_size=500&page_token={token}" if token else ""
        assert set(acknowledged) <= set(names)
        for name in names:  # also those whose acknowledgement was cut off: whole, or not there
            assert gives(forward(client, name), numbers(int(name.removeprefix("net")), 2_000)), name


def test_a_service_told_to_end_answers_what_runs_and_ends(tmp_path: Path) -> None:
    with start_service(tmp_path) as service, service.client() as client, ThreadPoolExecutor(1) as threads:
        conditions.slow_network(client, "last", steps=300)
        worker = int(conditions.workers(client)[0]["pid"])
        running = threads.submit(forward, client, "last", conditions.MATRIX)
        time.sleep(0.4)
        assert not running.done()
        service.process.send_signal(signal.SIGTERM)
        assert running.result().status_code == 200
        assert service.process.wait(timeout=15) in (
            0,
            -signal.SIGTERM,
        )  # uvicorn ends as the signal would, when all is done
        conditions.eventually(lambda: not conditions.is_alive(worker), "the worker has ended", 5.0)


def test_the_http_process_never_loads_pytorch(tmp_path: Path) -> None:
    with start_service(tmp_path) as service, service.client() as client:
        assert create(client, "light", 1).status_code == 201
        assert gives(forward(client, "light"), numbers(1))
        for path in ("catalog/layers", "catalog/functions", "networks/light/modules", "networks/light/parameters"):
            assert client.get(f"/v1/{path}").status_code == 200
        assert "libtorch" not in conditions.maps(service)
        worker = Path(f"/proc/{conditions.workers(client)[0]['pid']}/maps").read_text()
        assert "libtorch" in worker  # so the look at the maps would have told
