"""Many writers of one network at once: with one ETag one wins, without one all land; on one replica and on two."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.chapter.nets import create
from tests.service import start_service

WRITERS = 16
ROUNDS = 4


def bump(client: httpx.Client, path: str, **headers: str) -> httpx.Response:
    body = {"edits": [{"index": "0", "expression": "param + 1"}]}
    return client.patch(f"{path}/parameters/bias", json=body, headers=headers)


def first_bias(client: httpx.Client, path: str) -> float:
    return client.get(f"{path}/parameters/bias").json()["value"]["data"][0]


@pytest.fixture(scope="module", params=["one sqlite", "two sqlite", "two postgresql"])
def clients(request, tmp_path_factory):
    """Clients of one service, or of two on one database."""
    count, kind = request.param.split()
    folder = tmp_path_factory.mktemp("writers")
    if kind == "sqlite":
        url = f"sqlite:///{folder}/shared.sqlite"
    else:
        url = request.getfixturevalue("postgresql_server").fresh()
    env = {"MODEL_LAB_DATABASE_URL": url, "MODEL_LAB_DEVICES": "cpu:0"}
    with start_service(folder / "a", env=env) as first, first.client() as one:
        if count == "one":
            yield [one]
            return
        with start_service(folder / "b", env=env) as second, second.client() as other:
            yield [one, other]


def in_parallel(clients, path, **headers) -> list[httpx.Response]:
    with ThreadPoolExecutor(WRITERS) as threads:
        asked = [threads.submit(bump, clients[n % len(clients)], path, **headers) for n in range(WRITERS)]
        return [future.result() for future in asked]


def test_of_16_writers_on_one_etag_one_wins_each_time(clients, fresh_name):
    path = create(clients[0], fresh_name(), "Linear(2, 2)", init=[{"parameters": {"*": "zeros_()"}}])
    for number in range(1, ROUNDS + 1):
        replies = in_parallel(clients, path, **{"If-Match": f'"{number}"'})
        assert Counter(reply.status_code for reply in replies) == {200: 1, 412: WRITERS - 1}
        for client in clients:
            assert client.get(path).json()["revision"] == number + 1
            assert first_bias(client, path) == number


def test_writers_that_insist_on_no_revision_all_land(clients, fresh_name):
    path = create(clients[0], fresh_name(), "Linear(2, 2)", init=[{"parameters": {"*": "zeros_()"}}])
    replies = [reply for _ in range(2) for reply in in_parallel(clients, path)]
    assert Counter(reply.status_code for reply in replies) == {200: 2 * WRITERS}
    assert sorted(reply.json()["revision"] for reply in replies) == list(range(2, 2 * WRITERS + 2))
    for client in clients:
        assert first_bias(client, path) == 2 * WRITERS


def test_what_one_replica_acknowledged_the_other_serves(clients, fresh_name):
    path = create(clients[0], fresh_name(), "Linear(1, 1)", init=[{"parameters": {"*": "zeros_()"}}])
    for number in range(1, 11):
        assert bump(clients[number % len(clients)], path).status_code == 200
        for client in clients:
            reply = client.post(f"{path}/forward", json={"inputs": [[0.0]]}).json()
            assert (reply["outputs"]["output"]["data"], reply["revision"]) == ([[number]], number + 1)


def test_forwards_that_update_buffers_take_their_turns_too(clients, fresh_name):
    path = create(clients[0], fresh_name(), "BatchNorm1d(2)")
    body = {"inputs": [[0.0, 1.0], [1.0, 3.0]], "mode": "train", "update_buffers": True}
    with ThreadPoolExecutor(WRITERS) as threads:
        asked = [threads.submit(clients[n % len(clients)].post, f"{path}/forward", json=body) for n in range(WRITERS)]
        replies = [future.result() for future in asked]
    assert Counter(reply.status_code for reply in replies) == {200: WRITERS}
    assert sorted(reply.json()["revision"] for reply in replies) == list(range(2, WRITERS + 2))
    count = clients[0].get(f"{path}/parameters/num_batches_tracked").json()["value"]["data"]
    assert count == WRITERS
