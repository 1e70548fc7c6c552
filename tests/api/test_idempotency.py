"""Requests sent twice over HTTP: the same key and body give the first answer again."""

import asyncio
from uuid import uuid4

import httpx
import pytest
import torch
from safetensors.torch import save

from app.messages import BuildNetwork
from tests.api.fake_pool import FakePool, faked_service
from tests.api.problem import check_problem
from tests.laboratory import create
from tests.training.runs import wait

SAFETENSORS = "application/vnd.safetensors"
ROUTES = {
    "/v1/networks": lambda name: {"name": name, "architecture": "Linear(2, 3)"},
    "/v1/blocks": lambda name: {"name": name, "definition": {"inputs": ["x"], "forward": "return x"}},
}


@pytest.fixture(params=list(ROUTES))
def route(request) -> str:
    return request.param


def headers_of(response: httpx.Response) -> dict[str, str]:
    return {name: response.headers[name] for name in ("location", "etag", "content-type", "content-length")}


def test_the_same_key_and_body_give_the_first_answer_again(service, fresh_name, route):
    key, body = {"Idempotency-Key": str(uuid4())}, ROUTES[route](fresh_name("Twice"))
    first = service.post(route, json=body, headers=key)
    second = service.post(route, json=body, headers=key)
    assert first.status_code == second.status_code == 201
    assert first.content == second.content
    assert headers_of(first) == headers_of(second)


def test_a_name_that_was_made_up_is_made_up_once(service):
    key, body = {"Idempotency-Key": str(uuid4())}, {"architecture": "Linear(2, 3)"}
    names = {service.post("/v1/networks", json=body, headers=key).json()["name"] for _ in range(3)}
    assert len(names) == 1


def test_the_answer_outlives_what_it_tells_of(service, fresh_name, route):
    key, body = {"Idempotency-Key": str(uuid4())}, ROUTES[route](fresh_name("Gone"))
    first = service.post(route, json=body, headers=key)
    assert service.delete(first.headers["location"]).status_code == 204
    assert service.post(route, json=body, headers=key).content == first.content
    check_problem(service.get(first.headers["location"]), 404, "not-found")


def test_the_same_key_with_another_body_is_refused(service, fresh_name, route):
    key = {"Idempotency-Key": str(uuid4())}
    assert service.post(route, json=ROUTES[route](fresh_name("One")), headers=key).status_code == 201
    other = fresh_name("Other")
    check_problem(service.post(route, json=ROUTES[route](other), headers=key), 422, "idempotency-key-reused")
    check_problem(service.get(f"{route}/{other}"), 404, "not-found")


def test_a_key_belongs_to_one_address(service, fresh_name):
    key = {"Idempotency-Key": str(uuid4())}
    assert service.post("/v1/networks", json=ROUTES["/v1/networks"](fresh_name()), headers=key).status_code == 201
    response = service.post("/v1/blocks", json=ROUTES["/v1/blocks"](fresh_name("B")), headers=key)
    check_problem(response, 422, "idempotency-key-reused")


def test_a_key_counts_for_the_query_too(service, fresh_name):
    name, key = fresh_name(), {"Idempotency-Key": str(uuid4()), "Content-Type": SAFETENSORS}
    create(service, name, "Linear(2, 3)", seed=7)
    body = save({"input": torch.ones(1, 2), "targets.y": torch.ones(1, 3)})
    address = f"/v1/networks/{name}/backward"
    first = service.post(address, params={"loss": "mse_loss(output, y)"}, content=body, headers=key)
    assert first.status_code == 200, first.text
    other = service.post(address, params={"loss": "l1_loss(output, y)"}, content=body, headers=key)
    check_problem(other, 422, "idempotency-key-reused")


def test_a_retry_is_answered_although_the_network_has_another_revision_or_name_by_now(service, fresh_name):
    name, key = fresh_name(), {"Idempotency-Key": str(uuid4()), "If-Match": '"1"'}
    create(service, name, "Linear(2, 3)", seed=7)
    edit = {"edits": [{"index": ":", "value": 0}]}
    first = service.patch(f"/v1/networks/{name}/parameters/bias", json=edit, headers=key)
    assert first.status_code == 200
    assert service.patch(f"/v1/networks/{name}/parameters/weight", json=edit).status_code == 200
    assert service.patch(f"/v1/networks/{name}/parameters/bias", json=edit, headers=key).content == first.content
    assert service.patch(f"/v1/networks/{name}", json={"name": fresh_name()}).status_code == 200
    assert service.patch(f"/v1/networks/{name}/parameters/bias", json=edit, headers=key).content == first.content


def test_a_retry_of_a_training_or_of_a_later_forward_is_answered_although_the_head_has_moved(service, fresh_name):
    name = fresh_name()
    create(service, name, "Linear(2, 1)", seed=7)
    asked = {
        "inputs": [[1, 2]], "targets": {"y": [[1]]}, "loss": "mse_loss(output, y)", "optimizer": "SGD(lr=0.1)",
        "steps": 2,
    }  # fmt: skip
    key = {"Idempotency-Key": str(uuid4()), "If-Match": '"1"'}
    first = service.post(f"/v1/networks/{name}/train", json=asked, headers=key)
    assert first.status_code == 202
    wait(service, first.headers["location"])
    assert service.post(f"/v1/networks/{name}/train", json=asked, headers=key).content == first.content
    later = {"Idempotency-Key": str(uuid4()), "Prefer": "respond-async"}
    first = service.post(f"/v1/networks/{name}/forward", json={"inputs": [[1, 2]]}, headers=later)
    assert first.status_code == 202
    assert service.patch(f"/v1/networks/{name}", json={"name": fresh_name()}).status_code == 200
    again = service.post(f"/v1/networks/{name}/forward", json={"inputs": [[1, 2]]}, headers=later)
    assert again.content == first.content


def test_a_request_that_failed_leaves_its_key_free(service, fresh_name):
    name, key = fresh_name(), {"Idempotency-Key": str(uuid4())}
    bad = {"name": name, "architecture": "Linaer(2, 3)"}
    check_problem(service.post("/v1/networks", json=bad, headers=key), 422, "unknown-layer")
    good = {"name": name, "architecture": "Linear(2, 3)"}
    assert service.post("/v1/networks", json=good, headers=key).status_code == 201


@pytest.mark.parametrize("key", ["a b", "x" * 256, "", "é"])
def test_a_key_that_is_no_word_is_malformed(service, fresh_name, route, key):
    response = service.post(
        route, json=ROUTES[route](fresh_name("Key")), headers=[(b"Idempotency-Key", key.encode("latin-1"))]
    )
    check_problem(response, 400, "malformed")


def test_two_at_once_make_one_network(service, fresh_name):
    name, key = fresh_name(), {"Idempotency-Key": str(uuid4())}

    async def send() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=service.base_url, timeout=60) as client:
            body = ROUTES["/v1/networks"](name)
            return await asyncio.gather(*(client.post("/v1/networks", json=body, headers=key) for _ in range(5)))

    responses = asyncio.run(send())
    made = [response for response in responses if response.status_code == 201]
    assert made
    assert len({response.content for response in made}) == 1
    for response in responses:
        if response.status_code != 201:
            check_problem(response, 409, "in-flight")


def test_a_second_request_while_the_first_runs_is_told_to_wait(tmp_path):
    async def scene() -> None:
        entered, leave = asyncio.Event(), asyncio.Event()

        async def build(_: BuildNetwork) -> object:
            entered.set()
            await leave.wait()
            raise RuntimeError("the test ends here")

        async with faked_service(tmp_path, {BuildNetwork: build}) as (client, lab):
            body, key = {"architecture": "Linear(1, 1)"}, {"Idempotency-Key": "k"}
            first = asyncio.create_task(client.post("/v1/networks", json=body, headers=key))
            await entered.wait()
            check_problem(await client.post("/v1/networks", json=body, headers=key), 409, "in-flight")
            assert isinstance(lab.pool, FakePool)
            assert len(lab.pool.tasks) == 1
            leave.set()
            check_problem(await first, 500, "internal-error")
            assert not lab.in_flight

    asyncio.run(scene())
