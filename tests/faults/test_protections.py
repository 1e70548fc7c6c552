"""Every protection can be taken away by a switch (`switches.py`), and then it shows: the fault that it holds against is
caused twice, with the protection and without.

Each scene gives what went wrong, in words: with the protection nothing, without it something. Faults are put together
step by step (one request waits at a point while another passes, or a process dies there), so nothing here is luck.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import safetensors.torch
import sqlalchemy as sa
import torch

from app.store.collect import collect
from tests.chapter.nets import create
from tests.faults import conditions, kill_points
from tests.faults.forge import Forge
from tests.faults.kill_points import paused
from tests.faults.unprotected import NET, RULES, SAFETENSORS, Laboratory, Scene, bias, edit, make_net, unless
from tests.service import Service

# --- writers beside writers ---


def two_writers_of_one_network(laboratory: Laboratory) -> list[str]:
    with laboratory.two_clients() as (here, there):
        make_net(here)
        with paused(laboratory.armed("a"), "before", lambda: edit(here)) as slow:
            quick = edit(there)
        numbers = [quick.json()["revision"], slow.result().json()["revision"]]
        wrong = unless(bias(there) == [2.0] * 4, f"both were acknowledged, and the bias is {bias(there)}")
        return wrong + unless(numbers == [2, 3], f"revisions {numbers}")


def two_writers_of_one_artifact(laboratory: Laboratory) -> list[str]:
    laboratory.switches.append("slow to read what is locked")
    with laboratory.two_clients() as clients, ThreadPoolExecutor(2) as threads:
        tag = {"If-Match": clients[0].put("/v1/artifacts/x", json=[0.0]).headers["etag"]}
        asked = [
            threads.submit(client.put, "/v1/artifacts/x", json=[number + 1.0], headers=tag)
            for number, client in enumerate(clients)
        ]
        codes = sorted(future.result().status_code for future in asked)
        return unless(codes == [200, 412], f"of two writers on one ETag the answers were {codes}")


def a_writer_with_a_precondition(laboratory: Laboratory) -> list[str]:
    with laboratory.two_clients() as (here, there):
        make_net(here)
        with paused(laboratory.armed("a"), "before", lambda: edit(here, If_Match='"1"')) as slow:
            assert edit(there, If_Match='"1"').status_code == 200
        code = slow.result().status_code
        return unless(code == 412, f"a second writer on the same ETag was answered {code}")


def many_writers_of_a_file_that_is_held(laboratory: Laboratory) -> list[str]:
    laboratory.switches.append("short patience")
    with laboratory.client() as client, ThreadPoolExecutor(24) as threads:
        make_net(client)
        with closing(sqlite3.connect(laboratory.url.removeprefix("sqlite:///"), isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            writing = [threads.submit(client.put, f"/v1/networks/net/checkpoints/t{n}", json={}) for n in range(24)]
            time.sleep(0.3)
            code = client.get("/v1/networks").status_code
            holder.execute("ROLLBACK")
        assert {future.result().status_code for future in writing} <= {201, 503}
        return unless(code == 200, f"while writers waited for the file, a reader was answered {code}")


# --- requests that are sent again ---


def a_kill_between_the_change_and_its_answer(laboratory: Laboratory) -> list[str]:
    with laboratory.client() as client:
        make_net(client)
        kill_points.arm(laboratory.armed(), "committed")
        with pytest.raises(httpx.TransportError):
            edit(client, Idempotency_Key="k")
    with laboratory.client() as client:
        assert edit(client, Idempotency_Key="k").status_code == 200
        return unless(bias(client) == [1.0] * 4, f"one edit, sent twice with one key, made the bias {bias(client)}")


def one_key_on_two_services(laboratory: Laboratory) -> list[str]:
    def make(client: httpx.Client) -> httpx.Response:
        return client.post("/v1/networks", json={"architecture": "Linear(1, 1)"}, headers={"Idempotency-Key": "k"})

    with laboratory.two_clients() as (here, there):
        with paused(laboratory.armed("a"), "before", lambda: make(here)) as slow:
            first = make(there)
        made = [item["name"] for item in here.get("/v1/networks").json()["items"]]
        wrong = unless(slow.result().content == first.content, "one key had two answers")
        return wrong + unless(len(made) == 1, f"one key made {len(made)} networks")


def one_key_for_two_requests(laboratory: Laboratory) -> list[str]:
    with laboratory.client() as client:
        key = {"Idempotency-Key": "k"}
        for name, expected in (("one", 201), ("two", 422)):
            code = client.post(
                "/v1/networks", json={"name": name, "architecture": "Linear(1, 1)"}, headers=key
            ).status_code
            if code != expected:
                return [f"the request for {name!r} was answered {code}"]
        return []


# --- what is kept ---


def a_power_cut(laboratory: Laboratory) -> list[str]:
    """The disk is an image in a file: what the file holds at a moment is what a power cut would leave."""
    image, place = laboratory.folder / "disk.img", laboratory.folder / "disk"
    with image.open("wb") as file:
        file.truncate(64 * 2**20)
    try:
        subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("there is no mkfs.ext4")
    laboratory.url = f"sqlite:///{place}/lab.sqlite"
    with loop_mounted(image, place), laboratory.client() as client:
        make_net(client)
        subprocess.run(["sync", "-f", str(place)], check=True)
        acknowledged = [edit(client).json()["revision"] for _ in range(5)]
        left = image.with_name("left.img")
        shutil.copyfile(image, left)
    with loop_mounted(left, place), laboratory.client() as client:
        found = client.get(NET).json()["revision"]
        wrong = unless(found == acknowledged[-1], f"revision {acknowledged[-1]} was acknowledged; {found} is left")
        return wrong or unless(bias(client) == [5.0] * 4, f"five edits made the bias {bias(client)}")


@contextmanager
def loop_mounted(image: Path, place: Path) -> Iterator[None]:
    place.mkdir(exist_ok=True)
    mount = ["mount", "-o", "loop,commit=300", str(image), str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a disk in a file needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def a_flipped_byte(laboratory: Laboratory) -> list[str]:
    with laboratory.client() as client:
        create(client, "net", "Linear(4, 4)", seed=1)
    with laboratory.client() as client:
        with laboratory.database() as database, database.transaction() as connection:
            rows = connection.execute(sa.text("SELECT digest, data FROM chunks")).all()
            digest, data = next((row[0], bytes(row[1])) for row in rows if len(row[1]) == 64)
            flipped = bytes([data[0] ^ 1]) + data[1:]
            connection.execute(
                sa.text("UPDATE chunks SET data = :data WHERE digest = :digest"), {"data": flipped, "digest": digest}
            )
        wrong = []
        for path in ("parameters/weight", "state_dict"):
            reply = client.get(f"{NET}/{path}")
            wrong += unless(reply.status_code == 500 and reply.json()["code"] == "damaged-data", f"{path} was served")
        reply = client.post(f"{NET}/forward", json={"inputs": [1.0] * 4})
        return wrong + unless(reply.status_code == 500, "a forward ran on it")


def a_kill_after_the_acknowledgement(laboratory: Laboratory) -> list[str]:
    switches, laboratory.switches = laboratory.switches, []
    with laboratory.client() as client:
        make_net(client)
    laboratory.switches = switches
    with laboratory.running() as service, service.client() as client:
        assert edit(client).status_code == 200
        service.process.send_signal(signal.SIGKILL)
        service.process.wait()
    with laboratory.client() as client:
        reply = client.get(f"{NET}/parameters/bias")
        if reply.status_code != 200:
            return [f"an acknowledged edit cannot be read: {reply.text}"]
        return unless(bias(client) == [1.0] * 4, f"an acknowledged edit is not there: {bias(client)}")


def a_collector_between_a_write_and_its_head(laboratory: Laboratory) -> list[str]:
    with laboratory.client() as client:
        make_net(client)
        with paused(laboratory.armed(), "before", lambda: edit(client)) as slow, laboratory.database() as database:
            collect(database, timedelta(0))
        wrong = unless(slow.result().status_code in (200, 503), f"the edit was answered {slow.result().text}")
        return wrong + laboratory.damage()


def a_collector_with_its_time_of_grace(laboratory: Laboratory) -> list[str]:
    grace = timedelta(0) if "a time of grace" in laboratory.switches else timedelta(days=1)
    laboratory.switches.clear()
    with laboratory.client() as client:
        make_net(client)
        with paused(laboratory.armed(), "before", lambda: edit(client)) as slow, laboratory.database() as database:
            collect(database, grace)
        return unless(slow.result().status_code == 200, f"a slow writer was answered {slow.result().status_code}")


# --- what is served ---


def a_write_on_the_other_service(laboratory: Laboratory) -> list[str]:
    with laboratory.two_clients() as (here, there):
        make_net(here)
        run = {"inputs": [0.0] * 4}
        assert there.post(f"{NET}/forward", json=run).json()["revision"] == 1
        assert edit(here).json()["revision"] == 2
        number = there.post(f"{NET}/forward", json=run).json()["revision"]
        return unless(number == 2, f"revision 2 was acknowledged, and the other service ran {number}")


def a_revision_that_is_damaged_in_part(laboratory: Laboratory) -> list[str]:
    wide, x = ["Linear(1100, 1100, bias=False)", "Linear(1100, 1100, bias=False)"], torch.ones(1, 1100)
    with laboratory.client() as client:
        create(client, "net", wide, init=[{"parameters": {"weight": "constant_(0.5)"}}])
        body = safetensors.torch.save(
            {"0.weight": torch.ones(1100, 1100), "1.weight": torch.arange(1100.0 * 1100).reshape(1100, 1100)}
        )
        assert client.put(f"{NET}/state_dict", content=body, headers=SAFETENSORS).status_code == 200

        def first() -> Any:
            reply = client.post(f"{NET}/forward", json={"inputs": x.tolist(), "revision": 1})
            return reply.json()["outputs"]["output"]["data"]

        before = first()
        with laboratory.database() as database, database.transaction() as connection:
            last = safetensors.torch.load(body)["1.weight"].numpy().tobytes()[4 * 2**20 :]
            hurt = sa.text("UPDATE chunks SET data = :bad WHERE data = :good")
            assert connection.execute(hurt, {"good": last, "bad": last[:-1] + b"x"}).rowcount == 1
        assert client.post(f"{NET}/forward", json={"inputs": x.tolist()}).status_code == 500
        return unless(first() == before, "revision 1 gives other numbers since revision 2 could not be read")


# --- processes ---


def a_worker_that_is_killed_once(laboratory: Laboratory) -> list[str]:
    with laboratory.client() as client:
        make_net(client)
        kill_points.arm(laboratory.armed(), "before", role="worker")
        code = edit(client).status_code
        return unless(code == 200, f"after the death of one worker the request was answered {code}")


def a_service_that_is_killed_while_its_worker_works(laboratory: Laboratory) -> list[str]:
    with laboratory.running() as service, service.client() as client, ThreadPoolExecutor(1) as threads:
        conditions.slow_network(client, "slow", steps=2_000)
        worker = conditions.workers(client)[0]["pid"]
        threads.submit(conditions.forward, client, "slow", conditions.MATRIX)
        conditions.eventually(lambda: conditions.workers(client)[0]["queue"] > 0, "it runs")
        time.sleep(0.3)
        service.process.kill()
        service.process.wait()
        give_up = time.monotonic() + 2.0
        while conditions.is_alive(worker) and time.monotonic() < give_up:
            time.sleep(0.02)
        left = conditions.is_alive(worker)
        if left:
            os.kill(worker, signal.SIGKILL)
        return unless(not left, "the worker of a service that was killed goes on")


def a_lease_that_was_lost(laboratory: Laboratory) -> list[str]:
    """A service sleeps in the midst of a job until another one has done it, and wakes with the work in its hands."""
    laboratory.env |= {"MODEL_LAB_JOB_LEASE_SECONDS": "1", "MODEL_LAB_JOB_POLL_SECONDS": "0.2"}
    armed = laboratory.armed("a")
    with laboratory.running("a") as one, one.client() as here:
        make_net(here)
        kill_points.arm(armed, "before", role="worker", dies=False)
        asked = here.post(f"{NET}/initialize", json=RULES, headers={"Prefer": "respond-async"})
        job = asked.headers["location"]
        conditions.eventually(armed.with_suffix(".waiting").exists, "a worker is at it")
        stop_between_transactions(one, laboratory.url)
        with laboratory.running("b") as two, two.client() as there:
            conditions.eventually(lambda: there.get(job).json()["state"] == "succeeded", "the other one has done it")
            armed.with_suffix(".go").touch()
            one.process.send_signal(signal.SIGCONT)
            time.sleep(2.0)
            return unless(bias(there) == [1.0] * 4, f"one job made the bias {bias(there)}")


def stop_between_transactions(service: Service, url: str) -> None:
    """Stops a process when it does not write, for the whole file would be held by it."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=20)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        service.process.send_signal(signal.SIGSTOP)
        holder.execute("ROLLBACK")


def a_server_that_says_nothing(laboratory: Laboratory) -> list[str]:
    with laboratory.client() as client:
        make_net(client)
        with laboratory.databases.frozen():
            try:
                code = client.get("/v1/networks", timeout=12).status_code
            except httpx.TimeoutException:
                return ["nobody answered for 12 s"]
            return unless(code == 503, f"answered {code}")


PROTECTIONS: list[tuple[str, Scene, str]] = [
    ("compare and swap of the head", two_writers_of_one_network, "sqlite postgresql"),
    ("BEGIN IMMEDIATE", two_writers_of_one_artifact, "sqlite"),
    ("If-Match", a_writer_with_a_precondition, "sqlite"),
    ("one writer of a process waits for the file", many_writers_of_a_file_that_is_held, "sqlite"),
    (
        "the answer is kept in the change's own transaction",
        a_kill_between_the_change_and_its_answer,
        "sqlite postgresql",
    ),
    ("one answer for a key", one_key_on_two_services, "sqlite postgresql"),
    ("a key belongs to one request", one_key_for_two_requests, "sqlite"),
    ("durable before it is acknowledged", a_power_cut, "sqlite"),
    ("digests are checked", a_flipped_byte, "sqlite postgresql"),
    ("tensors are stored before the head moves", a_kill_after_the_acknowledgement, "sqlite"),
    ("references are checked", a_collector_between_a_write_and_its_head, "sqlite postgresql"),
    ("a time of grace", a_collector_with_its_time_of_grace, "sqlite"),
    ("a head is never older than the last commit", a_write_on_the_other_service, "sqlite"),
    ("half a revision is dropped", a_revision_that_is_damaged_in_part, "sqlite"),
    ("a task is tried on a second worker", a_worker_that_is_killed_once, "sqlite"),
    ("workers die with their service", a_service_that_is_killed_while_its_worker_works, "sqlite"),
    ("a job is fenced by its lease", a_lease_that_was_lost, "sqlite"),
    ("a silent server is given up", a_server_that_says_nothing, "breakable"),
]
DATABASES = {"sqlite": "sqlite_files", "postgresql": "postgresql_server", "breakable": "breakable_server"}
CASES = [
    pytest.param(name, scene, kind, id=f"{name} on {kind}")
    for name, scene, kinds in PROTECTIONS
    for kind in kinds.split()
]


@pytest.mark.parametrize(("protection", "scene", "kind"), CASES)
def test_a_protection_holds_and_without_it_the_fault_shows(
    request: pytest.FixtureRequest, forge: Forge, tmp_path: Path, protection: str, scene: Scene, kind: str
) -> None:
    databases = request.getfixturevalue(DATABASES[kind])
    assert scene(Laboratory(forge, tmp_path / "with", databases, [])) == []
    assert scene(Laboratory(forge, tmp_path / "without", databases, [protection])) != []
