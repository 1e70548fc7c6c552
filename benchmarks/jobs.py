"""Jobs: how many small ones are done in a second, how long one takes from asking to its end, and what a small request
notices of a long one.

Each small job is a forward of the chapter's MLP. "Asked" is the 202; the whole time ends with the event of the job's
end. The long job loops over products of matrices for some ten seconds, on as many threads as a worker takes.
"""

import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from benchmarks import service

ARCHITECTURE = ["Linear(20, 256)", "ReLU()", "Linear(256, 10)"]
SLOW = {
    "inputs": ["x"],
    "forward": ["y = x", "for i in range(100000):", "    y = (y @ y) / 1000", "return y.sum()"],
}
MATRIX = {"shape": [500, 500], "dtype": "float32", "data": [0.001] * 250_000}
LATER = {"Prefer": "respond-async"}
X = {"inputs": [[0.1] * 20, [0.2] * 20]}
JOBS = 400
ONE_BY_ONE = 50
CLIENTS = 8
LONG_SECONDS = 10.0


def measure() -> list[str]:
    """Returns the lines of a Markdown section."""
    with service.model_lab() as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
        for name, architecture in (("mlp", ARCHITECTURE), ("slow", SLOW)):
            client.post("/v1/networks", json={"name": name, "architecture": architecture}).raise_for_status()
        _whole_seconds(client)  # starts the worker for jobs
        asked, whole = zip(*(_whole_seconds(client) for _ in range(ONE_BY_ONE)), strict=True)
        asked_per_second, done_per_second = _throughput(client, port)
        alone = _request_seconds(client, LONG_SECONDS / 2)
        long = client.post("/v1/networks/slow/forward", json={"inputs": MATRIX}, headers=LATER).headers["location"]
        while client.get(long).json()["state"] != "running":
            time.sleep(0.01)
        beside = _request_seconds(client, LONG_SECONDS)
        client.post(f"{long}/cancel").raise_for_status()
    return [
        "## Jobs",
        "",
        "| what | |",
        "|---|---|",
        f"| asked, one after the other, median ms | {statistics.median(asked) * 1e3:.1f} |",
        f"| from asking to the event of the end, median ms | {statistics.median(whole) * 1e3:.1f} |",
        f"| asked by {CLIENTS} clients, a second | {asked_per_second:.0f} |",
        f"| done, a second | {done_per_second:.0f} |",
        "",
        "| a small request, ms | median | 99 % | worst |",
        "|---|---|---|---|",
        _row("alone", alone),
        _row("beside a long job", beside),
        "",
    ]


def _whole_seconds(client: httpx.Client) -> tuple[float, float]:
    start = time.perf_counter()
    url = client.post("/v1/networks/mlp/forward", json=X, headers=LATER).raise_for_status().headers["location"]
    asked = time.perf_counter() - start
    with client.stream("GET", f"{url}/events") as events:
        last = [json.loads(line[6:]) for line in events.iter_lines() if line.startswith("data: ")][-1]
    assert last["state"] == "succeeded"
    return asked, time.perf_counter() - start


def _throughput(client: httpx.Client, port: int) -> tuple[float, float]:
    def ask(count: int) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as own:
            for _ in range(count):
                own.post("/v1/networks/mlp/forward", json=X, headers=LATER).raise_for_status()

    start = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as threads:
        list(threads.map(ask, [JOBS // CLIENTS] * CLIENTS))
    asked = time.perf_counter() - start
    while client.get("/v1/jobs?state=queued&page_size=1").json()["items"]:
        time.sleep(0.01)
    while client.get("/v1/jobs?state=running&page_size=1").json()["items"]:
        time.sleep(0.01)
    return JOBS / asked, JOBS / (time.perf_counter() - start)


def _request_seconds(client: httpx.Client, seconds: float) -> list[float]:
    taken = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        client.post("/v1/networks/mlp/forward", json=X).raise_for_status()
        taken.append(time.perf_counter() - start)
    return taken


def _row(name: str, seconds: list[float]) -> str:
    ordered = sorted(seconds)
    late = ordered[int(len(ordered) * 0.99)]
    return f"| {name} | {statistics.median(ordered) * 1e3:.2f} | {late * 1e3:.1f} | {ordered[-1] * 1e3:.1f} |"
