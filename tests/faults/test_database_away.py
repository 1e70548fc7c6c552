"""A database that is away: whatever needs it is told 503 and when to come back, the rest goes on, and nothing needs a
restart when it is there again."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Self

import httpx
import pytest
import safetensors.torch
import torch

from app.db.sqlite import LOOK_SECONDS
from tests.chapter.nets import create
from tests.databases import PostgresqlServer
from tests.faults.conditions import PATIENCE_SECONDS, eventually
from tests.faults.forge import Forge
from tests.service import Service

NET = "/v1/networks/net"
EDIT = {"edits": [{"index": ":", "expression": "param + 1"}]}
READS = [
    ("POST", f"{NET}/forward", {"inputs": [0.0] * 4}),
    ("POST", f"{NET}/backward", {"inputs": [0.0] * 4}),
    ("GET", "/v1/networks", None),
    ("GET", NET, None),
    ("GET", f"{NET}/architecture", None),
    ("GET", f"{NET}/modules", None),
    ("GET", f"{NET}/parameters", None),
    ("GET", f"{NET}/parameters/bias", None),
    ("GET", f"{NET}/parameters/bias/histogram", None),
    ("GET", f"{NET}/state_dict", None),
    ("GET", f"{NET}/revisions", None),
    ("GET", f"{NET}/revisions/1/diff/2", None),
    ("GET", f"{NET}/checkpoints/best", None),
    ("GET", "/v1/artifacts", None),
    ("GET", "/v1/artifacts/saved", None),
    ("GET", "/v1/blocks/Same", None),
    ("GET", "/v1/jobs", None),
]
WRITES = [
    ("PATCH", f"{NET}/parameters/bias", EDIT),
    ("PUT", f"{NET}/parameters/bias", [0.0] * 4),
    ("POST", f"{NET}/initialize", {"rules": [{"parameters": {"bias": "zeros_()"}}]}),
    ("POST", "/v1/networks", {"architecture": "Linear(2, 2)"}),
    ("PATCH", NET, {"labels": {"a": "b"}}),
    ("POST", f"{NET}/clone", {}),
    ("POST", f"{NET}/revisions/1/restore", None),
    ("PUT", f"{NET}/checkpoints/best", {"revision": 1}),
    ("PUT", f"{NET}/state_dict?strict=false", {"bias": [1.0] * 4}),
    ("PUT", "/v1/artifacts/saved", {"data": [1.0]}),
    ("PUT", "/v1/blocks/Same", {"definition": {"inputs": ["x"], "forward": "return x + 1"}}),
    ("DELETE", "/v1/artifacts/gone", None),
]
BIG = 16 * 2**20  # numbers of a file that is on its way when the database goes


@pytest.fixture(scope="module")
def service(
    forge: Forge, breakable_server: PostgresqlServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    env = {"MODEL_LAB_DATABASE_URL": breakable_server.fresh(), "MODEL_LAB_DEVICES": "cpu:0"}
    with forge.start(tmp_path_factory.mktemp("away"), env=env) as service, service.client() as client:
        prepare(client)
        yield service


def prepare(client: httpx.Client) -> None:
    create(client, "net", "Linear(4, 4)")
    for method, path, body in WRITES[:-1]:
        assert client.request(method, path, json=body).is_success
    assert client.put("/v1/artifacts/gone", json=[1]).status_code == 201


class Pulse(threading.Thread):
    """Asks again and again whether the service lives, and keeps what it was told and how long that took."""

    def __init__(self, base_url: str) -> None:
        super().__init__(daemon=True)
        self.client = httpx.Client(base_url=base_url, timeout=PATIENCE_SECONDS)
        self.told: list[int] = []
        self.longest_seconds = 0.0
        self.stopping = threading.Event()

    def run(self) -> None:
        while True:  # once at least, however soon it is over
            began = time.monotonic()
            self.told.append(self.client.get("/healthz").status_code)
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)
            if self.stopping.wait(0.1):
                return

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.join()


def ask_all(service: Service, requests) -> list[httpx.Response]:
    """Sends all requests at once."""
    with service.client() as client, ThreadPoolExecutor(len(requests)) as threads:
        asked = [threads.submit(client.request, method, path, json=body) for method, path, body in requests]
        return [future.result() for future in asked]


def assert_away(reply: httpx.Response) -> None:
    told = (reply.request.method, reply.request.url.path, reply.status_code, reply.text[:300])
    assert reply.status_code == 503, told
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["code"] == "unavailable", told
    assert int(reply.headers["retry-after"]) >= 1


def assert_healed(service: Service) -> None:
    with service.client() as client:
        eventually(lambda: client.get("/readyz").status_code == 200, "the service is ready again")
        for method, path, body in [*READS, *WRITES[:-1]]:
            request = partial(client.request, method, path, json=body)
            eventually(
                lambda request=request: request().is_success, f"{method} {path} is answered", 5.0
            )  # by workers too


@pytest.mark.parametrize("how", ["frozen", "crashed"])
def test_everything_that_needs_the_database_says_that_it_is_away(
    breakable_server: PostgresqlServer, service: Service, how: str
) -> None:
    with service.client() as client:
        revision = client.get(NET).json()["revision"]
        with getattr(breakable_server, how)(), Pulse(service.base_url) as pulse:
            for reply in ask_all(service, [*READS, *WRITES]):
                assert_away(reply)
            reply = client.get("/readyz")
            assert_away(reply)
            assert "database" in reply.json()["detail"]
            began = time.monotonic()
            assert_away(client.get("/v1/networks"))  # known to be away: nobody waits to be told
            assert time.monotonic() - began < 3.5
        assert set(pulse.told) == {200}
        assert pulse.longest_seconds < 3.5
        assert_healed(service)
        assert client.get(NET).json()["revision"] >= revision


def test_a_download_that_loses_its_database_breaks_off(breakable_server: PostgresqlServer, service: Service) -> None:
    tensor = torch.arange(BIG, dtype=torch.int32)
    with service.client() as client:
        media, body = {"content-type": "application/vnd.safetensors"}, safetensors.torch.save({"t": tensor})
        assert client.put("/v1/artifacts/big", content=body, headers=media).is_success
        for format_name in ("safetensors", "npz"):
            with client.stream("GET", f"/v1/artifacts/big?format={format_name}") as reply:
                assert reply.status_code == 200
                pieces = reply.iter_raw()
                next(pieces)
                with breakable_server.crashed(), pytest.raises(httpx.RemoteProtocolError):
                    for _ in pieces:
                        pass
            eventually(lambda: client.get("/readyz").status_code == 200, "the service is ready again")
        whole = safetensors.torch.load(client.get("/v1/artifacts/big?format=safetensors").content)
        assert torch.equal(whole["t"], tensor)


def test_an_upload_that_loses_its_database_changes_nothing(
    breakable_server: PostgresqlServer, service: Service
) -> None:
    media = {"content-type": "application/vnd.safetensors"}
    with service.client() as client:
        path = create(client, "wide", "Linear(1000, 4000)")
        before = safetensors.torch.load(client.get(f"{path}/state_dict").content)
        weights = {"weight": torch.ones(4000, 1000), "bias": torch.ones(4000)}
        body = safetensors.torch.save(weights)

        with ExitStack() as stack:

            def sent_while_it_crashes() -> Iterator[bytes]:
                yield body[:9_000_000]
                stack.enter_context(breakable_server.crashed())
                yield body[9_000_000:]

            assert_away(client.put(f"{path}/state_dict", content=sent_while_it_crashes(), headers=media))
        eventually(lambda: client.get("/readyz").status_code == 200, "the service is ready again")
        assert client.get(path).json()["revision"] == 1
        after = safetensors.torch.load(client.get(f"{path}/state_dict").content)
        assert all(torch.equal(after[name], before[name]) for name in weights)
        assert client.put(f"{path}/state_dict", content=body, headers=media).json()["revision"] == 2


def test_an_sqlite_file_that_another_process_holds_is_read_and_its_writers_are_told(
    forge: Forge, tmp_path: Path, sqlite_url: str
) -> None:
    env = {"MODEL_LAB_DATABASE_URL": sqlite_url, "MODEL_LAB_DEVICES": "cpu:0"}
    with forge.start(tmp_path, env=env, switches=["short patience"]) as service, service.client() as client:
        prepare(client)
        with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            with Pulse(service.base_url) as pulse, ThreadPoolExecutor(1) as threads:
                many = [*WRITES, *WRITES, *WRITES]
                writing = threads.submit(ask_all, service, many)
                time.sleep(0.5)
                for method, path, body in READS:
                    if not path.endswith("backward"):  # which keeps its gradients
                        reply = client.request(method, path, json=body)
                        assert reply.is_success, (method, path, reply.text)
                assert client.get("/readyz").status_code == 200
                for reply in writing.result():
                    assert_away(reply)
            assert set(pulse.told) == {200}
            holder.execute("ROLLBACK")
        assert_healed(service)


def test_an_sqlite_file_that_is_moved_away_is_away_and_comes_back(
    forge: Forge, tmp_path: Path, sqlite_url: str
) -> None:
    """Connections to it would go on to work, and what they write would be lost."""
    env = {"MODEL_LAB_DATABASE_URL": sqlite_url, "MODEL_LAB_DEVICES": "cpu:0"}
    place = Path(sqlite_url.removeprefix("sqlite:///"))
    with forge.start(tmp_path, env=env) as service, service.client() as client:
        prepare(client)
        away = place.rename(place.with_suffix(".away"))
        for reply in ask_all(service, WRITES):
            assert_away(reply)
        time.sleep(LOOK_SECONDS)  # so long a head may still be known
        for reply in ask_all(service, READS):
            assert_away(reply)
        assert not place.exists()
        away.rename(place)
        assert_healed(service)
