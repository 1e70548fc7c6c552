"""Replicas of the service and its workers on a Ray cluster, in containers: up, kill -9 of each, scale, down and up.

`make test-compose` runs it; it needs a Docker engine, and minutes.
"""

from collections.abc import Iterator

import httpx
import pytest

from tests.deployment.stack import Stack, docker, missing, running_stack, until
from tests.deployment.test_compose import X, answer, make, replicas_that_answer

pytestmark = [pytest.mark.compose, pytest.mark.timeout(3600)]

WHY_NOT = missing()
COMES_BACK_SECONDS = 180.0


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    if WHY_NOT is not None:
        pytest.skip(WHY_NOT)
    with running_stack("docker-compose.cluster.yml", "docker-compose.ray.yml") as started:
        started.up("--scale", "lab=2", "--scale", "worker=2")
        yield started


def gives(client: httpx.Client, name: str, expected: bytes) -> bool:
    """Whether the network answers as it did before."""
    try:
        reply = client.post(f"/v1/networks/{name}/forward", json=X)
    except httpx.TransportError:
        return False
    return reply.content == expected


def pids(client: httpx.Client) -> set[tuple[str, int]]:
    return {(worker["device"], worker["pid"]) for worker in client.get("/v1/workers").json()["items"]}


def test_replicas_share_workers_that_sit_in_containers_of_their_own(stack: Stack):
    with stack.client() as client:
        until(lambda: replicas_that_answer(stack, client) == 2, 60)
        assert [item["name"] for item in client.get("/v1/devices").json()["items"]] == ["cpu:0", "cpu:1"]
        before = make(client, "shared")
        assert {answer(client, "shared") for _ in range(20)} == {before}
        assert len({frozenset(pids(client)) for _ in range(20)}) == 1
    for container in stack.containers("lab"):
        assert "app.worker.process" not in docker("top", container)
    assert "app.worker.process" in "".join(docker("top", container) for container in stack.containers("worker"))


def starts(stack: Stack, service: str) -> list[str]:
    """When each container of a service was started last."""
    return [docker("inspect", "--format", "{{.State.StartedAt}}", one) for one in stack.containers(service)]


@pytest.mark.parametrize("service", ["worker", "lab", "proxy", "database", "head"])
def test_a_killed_container_comes_back_and_nothing_is_lost(stack: Stack, service: str):
    with stack.client() as client:
        before = make(client, f"before-{service}")
        earlier = {*starts(stack, "lab"), *starts(stack, "worker")}
        stack.kill(stack.containers(service)[0])
        if service == "head":  # its nodes go on for a while, then each starts beside the next one
            until(lambda: earlier.isdisjoint(starts(stack, "lab") + starts(stack, "worker")), COMES_BACK_SECONDS)
        until(lambda: gives(client, f"before-{service}", before), COMES_BACK_SECONDS)
        until(lambda: stack.status("/readyz") == 200, COMES_BACK_SECONDS)
        make(client, f"after-{service}")


def test_workers_are_scaled_and_what_was_made_is_there_after_down_and_up(stack: Stack):
    with stack.client() as client:
        before = make(client, "scaled")
        for count in (1, 3):
            stack.up("--scale", "lab=2", "--scale", f"worker={count}", "--no-recreate")
            until(lambda: gives(client, "scaled", before), COMES_BACK_SECONDS)
    stack.compose("down")
    stack.up("--scale", "lab=1", "--scale", "worker=2")
    with stack.client() as client:
        until(lambda: gives(client, "scaled", before), COMES_BACK_SECONDS)
