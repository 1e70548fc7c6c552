"""Mixed load from many clients at once, and a hand that kills a worker again and again: what `test_soak.py` runs.

Every client does one thing after the other: forwards, edits, jobs, uploads. What it was told is counted by operation,
status and code; edits and jobs add 1 to numbers that nobody else changes, so what was lost or doubled shows in a sum.
"""

import os
import random
import signal
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import httpx
import psutil
import torch
from safetensors.torch import save

from tests.faults import conditions
from tests.faults.conditions import gives, is_clear_absence, numbers

CLIENTS = 32
SEED = 1
ADD_ONE = {"rules": [{"parameters": {"bias": "param + 1"}}]}
LATER = {"Prefer": "respond-async"}
SHARES = {"forward": 12, "edit": 4, "job": 2, "upload": 2}
PATIENCE_SECONDS = 120.0


class Client(threading.Thread):
    """One client of the load. `outcomes` counts (operation, status, code); `wrong` are replies that nobody may get."""

    def __init__(self, number: int, base_url: str, expected: list[list[float]], stopping: threading.Event) -> None:
        super().__init__(daemon=True)
        self.number = number
        self.outcomes: Counter[tuple[str, int, str]] = Counter()
        self.wrong: list[str] = []
        self.edits = 0
        self.jobs: list[str] = []
        self._expected = expected
        self._http = httpx.Client(base_url=base_url, timeout=PATIENCE_SECONDS)
        self._stopping = stopping
        self._chance = random.Random(number)
        self._tensors = save({"a": torch.full((50_000,), float(number))})

    def run(self) -> None:
        operations: dict[str, Callable[[], httpx.Response]] = {
            "forward": self._forward, "edit": self._edit, "job": self._job, "upload": self._upload,
        }  # fmt: skip
        while not self._stopping.is_set():
            [name] = self._chance.choices(list(SHARES), list(SHARES.values()))
            try:
                reply = operations[name]()
            except httpx.TransportError as error:  # the service itself lives all the time
                self.wrong.append(f"{name}: {error!r}")
                continue
            self._count(name, reply)

    def _count(self, name: str, reply: httpx.Response) -> None:
        code = "" if reply.is_success else str(reply.json().get("code"))
        self.outcomes[name, reply.status_code, code] += 1
        if reply.is_success:
            return
        if reply.status_code == 429 and "retry-after" in reply.headers:
            time.sleep(0.2)
        elif not is_clear_absence(reply):
            self.wrong.append(f"{name}: {reply.status_code} {reply.text}")

    def _forward(self) -> httpx.Response:
        reply = conditions.forward(self._http, f"net-{self.number % 2}")
        if reply.is_success and not gives(reply, self._expected):
            self.wrong.append(f"forward: {reply.text}")
        return reply

    def _edit(self) -> httpx.Response:
        edit = {"edits": [{"index": str(self.number), "expression": "param + 1"}]}
        reply = self._http.patch("/v1/networks/edited/parameters/bias", json=edit)
        self.edits += reply.is_success
        return reply

    def _job(self) -> httpx.Response:
        """Asks for a job; follows the last one while that has not ended."""
        if self.jobs:
            last = self._http.get(self.jobs[-1])
            if not last.is_success or last.json()["state"] in ("queued", "running"):
                return last
        reply = self._http.post("/v1/networks/counted/initialize", json=ADD_ONE, headers=LATER)
        if reply.status_code == 202:
            self.jobs.append(reply.headers["location"])
        return reply

    def _upload(self) -> httpx.Response:
        headers = {"Content-Type": "application/vnd.safetensors"}
        return self._http.put(f"/v1/artifacts/soak-{self.number}", content=self._tensors, headers=headers)


@dataclass
class Soaked:
    """What came of it."""

    outcomes: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    kills: int = 0
    replaced_seconds: list[float] = field(default_factory=list)
    memory_bytes: list[int] = field(default_factory=list)  # of the HTTP process, as it went
    jobs: Counter[str] = field(default_factory=Counter)

    def histogram(self) -> str:
        lines = [
            f"{name:>8} {status} {code:<18} {count:>8}" for (name, status, code), count in sorted(self.outcomes.items())
        ]
        lines.append(f"{self.kills} kills; a ready worker again after {self._replaced()}; jobs: {dict(self.jobs)}")
        first, last = self.memory()
        lines.append(f"memory of the HTTP process: {first / 2**20:.0f} MiB early, {last / 2**20:.0f} MiB late")
        return "\n".join(lines)

    def memory(self) -> tuple[float, float]:
        """The median of the second fifth of the time and that of the last."""
        fifth = max(1, len(self.memory_bytes) // 5)
        return statistics.median(self.memory_bytes[fifth : 2 * fifth]), statistics.median(self.memory_bytes[-fifth:])

    def _replaced(self) -> str:
        ordered = sorted(self.replaced_seconds)
        return f"{statistics.median(ordered):.1f} s (median), {ordered[-1]:.1f} s (worst)" if ordered else "no time"


def prepare(client: httpx.Client) -> None:
    """Two networks to run, one on each device; one to edit; one that jobs count on."""
    for number in range(2):
        reply = conditions.create(client, f"net-{number}", SEED, device=f"cpu:{number}")
        assert reply.status_code == 201, reply.text
    zeros = [{"parameters": {"*": "zeros_()"}}]
    for name, device in (("edited", "cpu:0"), ("counted", "cpu:1")):
        body = {"name": name, "architecture": f"Linear(1, {CLIENTS})", "init": zeros, "device": device}
        reply = client.post("/v1/networks", json=body)
        assert reply.status_code == 201, reply.text


def soak(client: httpx.Client, pid: int, seconds: float, pause_seconds: float) -> Soaked:
    """Loads the service `pid` for so long, kills one of its workers after every pause, and checks all sums."""
    prepare(client)
    stopping, found = threading.Event(), Soaked()
    expected = numbers(SEED)
    clients = [Client(number, str(client.base_url), expected, stopping) for number in range(CLIENTS)]
    for one in clients:
        one.start()
    chance, process, end = random.Random(SEED), psutil.Process(pid), time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            time.sleep(pause_seconds)
            found.memory_bytes.append(process.memory_info().rss)
            kill_one(client, chance, found)
    finally:
        stopping.set()
    for one in clients:
        one.join(PATIENCE_SECONDS)
        assert not one.is_alive(), "a request hangs"
        found.outcomes += one.outcomes
        found.wrong += one.wrong
    check_sums(client, clients, found)
    return found


def kill_one(client: httpx.Client, chance: random.Random, found: Soaked) -> None:
    """Kills any worker that answers, and waits for the successor of one for requests."""
    worker = chance.choice([worker for worker in conditions.workers(client) if worker["state"] == "ready"] or [None])
    if worker is None:
        return
    with suppress(ProcessLookupError):
        os.kill(worker["pid"], signal.SIGKILL)
        found.kills += 1
    if worker["lane"] == "requests":
        found.replaced_seconds.append(
            conditions.eventually(
                lambda: is_replaced(client, worker["name"], worker["pid"]), "replaced", PATIENCE_SECONDS
            )
        )


def is_replaced(client: httpx.Client, name: str, pid: int) -> bool:
    now = next((worker for worker in conditions.workers(client) if worker["name"] == name), None)
    return now is not None and now["state"] == "ready" and now["pid"] != pid


def check_sums(client: httpx.Client, clients: list[Client], found: Soaked) -> None:
    """Every acknowledged edit is there once, and every job has ended: once, or not at all and said why."""
    succeeded = 0
    for url in (url for one in clients for url in one.jobs):
        conditions.eventually(lambda: client.get(url).json()["state"] in ("succeeded", "failed"), url, PATIENCE_SECONDS)  # noqa: B023
        job = client.get(url).json()
        succeeded += job["state"] == "succeeded"
        why = f" ({job['error']['code']})" if job["state"] == "failed" else ""
        found.jobs[job["state"] + why] += 1
    edited = bias(client, "edited")
    assert edited == [float(one.edits) for one in clients]
    assert bias(client, "counted") == [float(succeeded)] * CLIENTS


def bias(client: httpx.Client, network: str) -> list[float]:
    reply = client.get(f"/v1/networks/{network}/parameters/bias")
    assert reply.status_code == 200, reply.text
    return list(reply.json()["value"]["data"])
