"""Forwards of many clients at a time on networks that batch: each gets what it would get alone,
whatever the others send.

A slow network keeps the worker busy while requests come, so that they are there together when it looks.
"""

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Awaitable, Callable

import httpx
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from tests.laboratory import SAFETENSORS, create
from tests.service import Service, start_service

MLP = ["Linear(20, 32)", "ReLU()", "Linear(32, 4)"]
SLOW = {"inputs": ["x"], "forward": ["for i in range(20000):", "    x = x * 1.0001", "return x"]}
TOGETHER = re.compile(r'model_lab_(tasks_shared|shared_runs)_total\{[^}]*lane="requests"[^}]*\} (\d+)')

Send = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]


@pytest.fixture(name="twins", scope="module")
def make_twins(service: httpx.Client) -> tuple[str, str]:
    """Two networks of one seed: one batches, and has run once, the other does not."""
    for name in ("shares", "alone"):
        create(service, name, MLP, seed=5)
    create(service, "slow", SLOW)
    changed = service.patch("/v1/networks/shares", json={"batching": {"max_size": 32, "max_wait_ms": 5}})
    assert changed.status_code == 200
    for name in ("shares", "slow"):
        assert forward_now(service, name, {"inputs": torch.rand(1, 20).tolist()}).status_code == 200
    return "shares", "alone"


def forward_now(service: httpx.Client, name: str, body: object) -> httpx.Response:
    return service.post(f"/v1/networks/{name}/forward", json=body)


def forward(name: str, body: object) -> Send:
    return lambda client: client.post(f"/v1/networks/{name}/forward", json=body)


def counted(service: httpx.Client) -> tuple[int, int]:
    """How many requests shared a run so far, and in how many runs."""
    found = {kind: int(number) for kind, number in TOGETHER.findall(service.get("/metrics").text)}
    return found["tasks_shared"], found["shared_runs"]


def together(service: Service, sends: list[Send]) -> list[httpx.Response]:
    """Sends all at a time, from a connection each, while the worker is busy."""

    async def send_all() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=service.base_url, timeout=60.0, limits=limits) as client:
            busy = asyncio.create_task(client.post("/v1/networks/slow/forward", json={"inputs": [1.0]}))
            await asyncio.sleep(0.02)
            replies = await asyncio.gather(*(send(client) for send in sends))
            assert (await busy).status_code == 200
            return replies

    return asyncio.run(send_all())


def output(reply: httpx.Response) -> Tensor:
    assert reply.status_code == 200, reply.text
    value = reply.json()["outputs"]["output"]
    return torch.tensor(value["data"]).reshape(value["shape"])


def test_requests_that_come_together_share_runs_and_get_what_they_get_alone(twins, service, running_service):
    shares, alone = twins
    inputs = [torch.rand(1 + number % 3, 20) for number in range(24)]
    before = counted(service)
    replies = together(running_service, [forward(shares, {"inputs": one.tolist()}) for one in inputs])
    tasks, runs = (after - earlier for after, earlier in zip(counted(service), before, strict=True))
    assert tasks >= 12
    assert 1 <= runs <= tasks / 2
    for one, reply in zip(inputs, replies, strict=True):
        assert reply.headers["etag"] == '"1"'
        expected = output(forward_now(service, alone, {"inputs": one.tolist()}))
        torch.testing.assert_close(output(reply), expected)


def test_binary_requests_share_runs(twins, service, running_service):
    shares, _ = twins
    headers = {"content-type": SAFETENSORS, "accept": SAFETENSORS}
    inputs = [torch.rand(2, 20) for _ in range(8)]
    before = counted(service)
    replies = together(
        running_service,
        [
            lambda client, one=one: client.post(
                f"/v1/networks/{shares}/forward", content=save({"input": one}), headers=headers
            )
            for one in inputs
        ],
    )
    assert counted(service)[0] > before[0]
    outputs = [load(reply.content)["output"] for reply in replies]
    expected = output(forward_now(service, "alone", {"inputs": torch.cat(inputs).tolist()}))
    torch.testing.assert_close(torch.cat(outputs), expected)


def test_bad_requests_fail_alone_with_the_problem_they_have_alone(twins, service, running_service):
    shares, alone = twins
    good = {"inputs": torch.rand(2, 20).tolist()}
    bad = [
        {"inputs": [[1.0] * 19]},
        {"inputs": [[1.0] * 20, [1.0]]},
        {"inputs": [["a"] + [1.0] * 19]},
        {"inputs": {"data": [[1] * 20], "dtype": "int64"}},
        {"inputs": [[1e39] + [1.0] * 19]},
        {"inputs": {"nobody": [[1.0] * 20]}},
        {"inputs": [[1.0] * 20], "speed": 1},
    ]
    bodies = [body for one in bad for body in (good, one)] + [good]
    before = counted(service)
    replies = together(running_service, [forward(shares, body) for body in bodies])
    assert counted(service)[0] > before[0]
    expected = output(forward_now(service, alone, good))
    for body, reply in zip(bodies, replies, strict=True):
        if body is good:
            torch.testing.assert_close(output(reply), expected)
        else:
            unbatched = forward_now(service, alone, body)
            assert 400 <= reply.status_code < 500
            shown = ("status", "code", "detail", "errors")
            assert [reply.json().get(key) for key in shown] == [unbatched.json().get(key) for key in shown]


def test_captures_seeds_and_training_mode_get_what_they_ask_for(twins, service, running_service):
    shares, alone = twins
    rows = {"inputs": torch.rand(2, 20).tolist()}
    special = [{"capture": ["0"]}, {"seed": 3}, {"mode": "train"}, {"revision": 1}]
    bodies = [rows | more for more in [{}, *special, {}, {}]]
    replies = together(running_service, [forward(shares, body) for body in bodies])
    for body, reply in zip(bodies, replies, strict=True):
        expected = forward_now(service, alone, body)
        torch.testing.assert_close(output(reply), output(expected))
        assert reply.json().keys() == expected.json().keys()


def test_a_client_that_goes_away_harms_none_of_those_it_would_have_run_with(twins, service, running_service):
    shares, _ = twins
    body = {"inputs": torch.rand(1, 20).tolist()}

    async def leave(client: httpx.AsyncClient) -> httpx.Response:
        with contextlib.suppress(httpx.ReadTimeout):
            await client.post(f"/v1/networks/{shares}/forward", json=body, timeout=0.1)
        return httpx.Response(499)

    replies = together(running_service, [forward(shares, body), leave] * 6)
    assert [reply.status_code for reply in replies[::2]] == [200] * 6


def test_a_write_is_seen_by_the_next_request_although_others_wait(twins, service, running_service):
    create(service, "written", MLP, seed=6)
    service.patch("/v1/networks/written", json={"batching": {"max_size": 32}})
    body = {"inputs": [[1.0] * 20]}
    forward_now(service, "written", body)

    async def write_and_run(client: httpx.AsyncClient) -> httpx.Response:
        edits = {"edits": [{"index": ":", "value": 0.0}]}
        for name in ("2.weight", "2.bias"):
            changed = await client.patch(f"/v1/networks/written/parameters/{name}", json=edits)
            assert changed.status_code == 200, changed.text
        return await client.post("/v1/networks/written/forward", json=body)

    first = forward("written", body)
    replies = together(running_service, [first, first, first, write_and_run, first])
    assert replies[3].json()["revision"] == 3
    assert torch.equal(output(replies[3]), torch.zeros(1, 4))


def test_those_that_wait_when_a_worker_dies_are_answered_by_the_next(tmp_path):
    with start_service(tmp_path) as running, running.client() as client:
        create(client, "slow", SLOW)
        create(client, "shares", MLP, seed=5)
        client.patch("/v1/networks/shares", json={"batching": {"max_size": 32}})
        body = {"inputs": torch.rand(2, 20).tolist()}
        expected = output(forward_now(client, "shares", body))

        async def kill(asking: httpx.AsyncClient) -> httpx.Response:
            found = await asking.get("/v1/workers")
            os.kill(found.json()["items"][0]["pid"], signal.SIGKILL)
            return found

        replies = together(running, [*[forward("shares", body)] * 6, kill])
        for reply in replies[:-1]:
            torch.testing.assert_close(output(reply), expected)
        assert client.get("/v1/workers").json()["items"][0]["restarts"] == 1
