"""The containers as their users meet them: up, the README's quickstart, kills, scaling, down, up again with the data
there. `make test-compose` runs it; it needs a Docker engine, and minutes."""

import subprocess
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.deployment.stack import Stack, docker, missing, running_stack, until
from tests.docs.pages import ROOT, examples_of

pytestmark = [pytest.mark.compose, pytest.mark.timeout(3600)]

WHY_NOT = missing()
SLOW = {"inputs": ["x"], "forward": ["for i in range(60000):", "    x = x * 1.0001", "return x"]}
X = {"inputs": [[0.5] * 20]}


@pytest.fixture(scope="module", autouse=True)
def _engine() -> None:
    if WHY_NOT is not None:
        pytest.skip(WHY_NOT)


@pytest.fixture(scope="module")
def stack(_engine: None) -> Iterator[Stack]:
    with running_stack("docker-compose.yml") as started:
        started.up()
        yield started


@pytest.fixture(scope="module")
def cluster(_engine: None) -> Iterator[Stack]:
    with running_stack("docker-compose.cluster.yml") as started:
        started.up("--scale", "lab=3")
        yield started


def make(client: httpx.Client, name: str) -> bytes:
    """Makes the textbook's first network and gives what it answers."""
    body = {"name": name, "architecture": ["Linear(20, 256)", "ReLU()", "Linear(256, 10)"], "seed": 7}
    reply = client.post("/v1/networks", json=body)
    assert reply.status_code == 201, reply.text
    return answer(client, name)


def answer(client: httpx.Client, name: str) -> bytes:
    reply = client.post(f"/v1/networks/{name}/forward", json=X)
    assert reply.status_code == 200, reply.text
    return reply.content


def test_nothing_is_answered_without_the_key_that_was_made(stack: Stack):
    assert stack.status("/v1/networks") == 401
    assert stack.status("/healthz") == stack.status("/docs") == 200
    with stack.client() as client:
        assert client.get("/v1/networks").status_code == 200
        assert client.get("/v1/keys").json()["items"][0]["role"] == "admin"


def test_nobody_is_root_and_nothing_is_allowed_that_is_not_needed(stack: Stack):
    status = stack.compose("exec", "-T", "lab", "cat", "/proc/1/status")
    assert "Uid:\t10001" in status
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert stack.compose("exec", "-T", "lab", "stat", "-c", "%a", "/keys/first").strip() == "600"


def test_the_readme_can_be_pasted_with_the_key_beside_it(stack: Stack):
    key = stack.key()
    for example in [one for one in examples_of(ROOT / "README.md", "bash") if "curl" in one.text]:
        command = example.text.replace("http://127.0.0.1:8000", stack.base_url)
        command = command.replace("curl -s", f"curl -s -w '\\n%{{http_code}}' -H 'Authorization: Bearer {key}'", 1)
        done = subprocess.run(["bash", "-euc", command], capture_output=True, text=True, timeout=60, check=True)
        status = done.stdout.rpartition("\n")[2]
        assert int(status) == (example.problem[0] if example.problem else int(status)), done.stdout
        assert example.problem or status in ("200", "201"), f"{example.place}: {done.stdout}"


def test_a_service_that_is_killed_comes_back_with_what_it_knew(stack: Stack):
    with stack.client() as client:
        before = make(client, "killed")
        for service in ("lab", "database"):
            [container] = stack.containers(service)
            started = docker("inspect", "--format", "{{.State.StartedAt}}", container)
            stack.kill(container)
            until(lambda: docker("inspect", "--format", "{{.State.StartedAt}}", container) != started, 60)  # noqa: B023
            stack.wait_until_ready()
            assert answer(client, "killed") == before


def test_a_worker_that_is_killed_is_replaced(stack: Stack):
    with stack.client() as client:
        before = make(client, "worked")
        [worker] = [item for item in client.get("/v1/workers").json()["items"] if item["lane"] == "requests"]
        stack.compose("exec", "-T", "lab", "python", "-c", f"import os; os.kill({worker['pid']}, 9)")
        assert answer(client, "worked") == before


def test_a_stop_lets_running_requests_end(stack: Stack):
    with stack.client() as client:
        assert client.post("/v1/networks", json={"name": "slow", "architecture": SLOW}).status_code == 201
        replies: list[httpx.Response] = []
        body = {"inputs": [1.0] * 4000}
        asking = threading.Thread(target=lambda: replies.append(client.post("/v1/networks/slow/forward", json=body)))
        asking.start()
        time.sleep(0.3)
        stack.compose("stop", "lab")
        asking.join()
        assert replies[0].status_code == 200, replies[0].text
    [container] = stack.containers("lab")
    assert docker("inspect", "--format", "{{.State.ExitCode}}", container) in ("0", "143")
    stack.compose("start", "lab")
    stack.wait_until_ready()


def test_what_was_made_is_there_after_down_and_up(stack: Stack):
    with stack.client() as client:
        before, key = make(client, "kept"), stack.key()
    stack.compose("down")
    assert stack.containers("lab") == []
    stack.up()
    assert stack.key() == key
    with stack.client() as client:
        assert answer(client, "kept") == before


def test_a_backup_is_whole_and_comes_back(stack: Stack):
    with stack.client() as client:
        before = make(client, "dumped")
        dump = stack.compose_bytes("exec", "-T", "database", "pg_dump", "-U", "lab", "-Fc", "lab")
        assert client.delete("/v1/networks/dumped").status_code == 204
        stack.compose("run", "--rm", "lab", "gc", "--grace", "0")
        stack.compose("stop", "lab")
        restore = ("pg_restore", "-U", "lab", "-d", "lab", "--clean", "--if-exists")
        stack.compose_bytes("exec", "-T", "database", *restore, given=dump)
        stack.compose("start", "lab")
        stack.wait_until_ready()
        assert answer(client, "dumped") == before
    assert "No damage" in stack.compose("run", "--rm", "lab", "fsck")


def replicas_that_answer(stack: Stack, client: httpx.Client, requests: int = 30) -> int:
    """How many replicas answered some requests: each begins the ids of its requests in its own way."""
    ids = [client.get("/v1/networks").headers["x-request-id"] for _ in range(requests)]
    return len({text.partition("-")[0] for text in ids})


def test_replicas_share_the_work_and_what_they_know(cluster: Stack):
    with cluster.client() as client:
        until(lambda: replicas_that_answer(cluster, client) == 3, 60)
        before = make(client, "shared")
        assert {answer(client, "shared") for _ in range(20)} == {before}
        edit = {"edits": [{"index": ":", "value": 0}]}
        for revision in range(2, 12):
            reply = client.patch("/v1/networks/shared/parameters/2.bias", json=edit)
            assert reply.json()["revision"] == revision
            assert client.get("/v1/networks/shared").json()["revision"] == revision


def test_a_killed_replica_costs_no_more_than_the_requests_it_held(cluster: Stack):
    statuses: list[int] = []
    stop = threading.Event()

    def ask(client: httpx.Client) -> None:
        while not stop.is_set():
            try:
                statuses.append(client.post("/v1/networks/asked/forward", json=X).status_code)
            except httpx.TransportError:  # the proxy hangs up on a connection that was kept: the client may try again
                statuses.append(0)

    with cluster.client() as client:
        make(client, "asked")
        threads = [threading.Thread(target=ask, args=(client,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(2)
        cluster.kill(cluster.containers("lab")[0])
        time.sleep(15)
        stop.set()
        for thread in threads:
            thread.join()
    failed = [status for status in statuses if status != 200]
    assert len(statuses) > 50
    assert len(failed) <= len(threads), failed
    assert set(failed) <= {0, 502, 503}


def test_a_killed_proxy_and_a_killed_database_come_back(cluster: Stack):
    with cluster.client() as client:
        before = make(client, "proxied")
        for service in ("proxy", "database"):
            cluster.kill(cluster.containers(service)[0])
            cluster.wait_until_ready()
            until(lambda: cluster.status("/readyz") == 200, 60)
            assert answer(client, "proxied") == before


def test_replicas_come_and_go_while_requests_are_answered(cluster: Stack):
    with cluster.client() as client:
        before = make(client, "scaled")
        for count in (1, 4):
            cluster.up("--scale", f"lab={count}", "--no-recreate")
            assert answer(client, "scaled") == before
            until(lambda: replicas_that_answer(cluster, client, 40) == count, 120)  # noqa: B023
    cluster.compose("down")
    cluster.up("--scale", "lab=2")
    with cluster.client() as client:
        assert answer(client, "scaled") == before
