"""The outermost layer in this process, around a pool that answers as the test wants."""

import asyncio
import logging

import pytest

from app.errors import Busy, Damaged, DeadlineExceeded, StorageFull, Unavailable, Unprocessable
from app.messages import CheckArchitecture
from tests.api.fake_pool import FakePool, faked_service
from tests.api.problem import check_problem

BODY = {"architecture": "Linear(1, 1)"}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Busy("Too many.", extra={"retry_after_seconds": 7}), 429, "busy"),
        (Unavailable("Gone.", code="worker-died"), 503, "worker-died"),
        (DeadlineExceeded("Too slow."), 504, "deadline-exceeded"),
        (StorageFull("Full."), 507, "storage-full"),
        (Damaged("Broken."), 500, "damaged-data"),
        (Unprocessable("Odd.", code="a-code-of-tomorrow"), 422, "a-code-of-tomorrow"),
    ],
)
def test_each_error_of_a_worker_has_its_status(tmp_path, error, status, code):
    async def scene() -> None:
        async with faked_service(tmp_path, {CheckArchitecture: error}) as (client, _):
            response = await client.post("/v1/architectures/check", json=BODY)
            check_problem(response, status, code)
            if status == 429:
                assert response.headers["retry-after"] == "7"

    asyncio.run(scene())


def test_an_exception_that_nobody_foresaw_is_logged_and_not_told(tmp_path, caplog):
    async def scene() -> None:
        async with faked_service(tmp_path, {CheckArchitecture: ZeroDivisionError("a secret")}) as (client, _):
            with caplog.at_level(logging.ERROR):
                response = await client.post("/v1/architectures/check", json=BODY)
            check_problem(response, 500, "internal-error")
            assert "secret" not in response.text
            assert "ZeroDivision" in caplog.text

    asyncio.run(scene())


def test_text_with_lone_surrogates_in_an_error_is_no_second_error(tmp_path):
    async def scene() -> None:
        error = Unprocessable("a \ud800 b", code="bad-expression")
        async with faked_service(tmp_path, {CheckArchitecture: error}) as (client, _):
            check_problem(await client.post("/v1/architectures/check", json=BODY), 422, "bad-expression")

    asyncio.run(scene())


def test_ready_needs_a_worker_and_a_database_while_alive_needs_neither(tmp_path):
    async def scene() -> None:
        async with faked_service(tmp_path, {}) as (client, lab):
            assert (await client.get("/readyz")).json()["checks"] == {"database": "ok", "workers": "ok"}
            assert isinstance(lab.pool, FakePool)
            lab.pool.is_ready = False
            problem = check_problem(await client.get("/readyz"), 503, "unavailable")
            assert problem["checks"]["workers"] != "ok"
            lab.pool.is_ready = True
            for file in tmp_path.glob("model-lab.sqlite*"):
                file.unlink()
            lab.database.close()
            problem = check_problem(await client.get("/readyz"), 503, "unavailable")
            assert problem["checks"]["database"] != "ok"
            assert (await client.get("/healthz")).status_code == 200

    asyncio.run(scene())


def test_a_request_before_the_start_is_told_to_come_back(tmp_path):
    async def scene() -> None:
        async with faked_service(tmp_path, {}) as (client, _):
            edge = client._transport.app
            edge.end()
            check_problem(await client.get("/healthz"), 503, "unavailable")

    asyncio.run(scene())


def test_only_hosts_on_the_list_are_answered(tmp_path):
    async def scene() -> None:
        async with faked_service(tmp_path, {}, hosts="lab.test, [::1]") as (client, _):
            assert (await client.get("/healthz")).status_code == 200
            assert (await client.get("/healthz", headers={"host": "LAB.test:80"})).status_code == 200
            assert (await client.get("/healthz", headers={"host": "[::1]:80"})).status_code == 200
            for host in ("evil.test", "lab.test.evil", "", "lab.test@evil", "[::2]"):
                check_problem(await client.get("/healthz", headers={"host": host}), 403, "unknown-host")
            response = await client.post("/v1/networks/x/forward", content=b"{}", headers={"host": "evil.test"})
            check_problem(response, 403, "unknown-host")

    asyncio.run(scene())


@pytest.mark.parametrize("host", ['lab.test"><script>', "lab.test/x", "qq zz", "", "lab.test:99999999"])
def test_a_strange_host_does_not_get_into_a_page(tmp_path, host):
    async def scene() -> None:
        async with faked_service(tmp_path, {}) as (client, _):
            for path in ("/", "/docs", "/openapi.json"):
                response = await client.get(path, headers={"accept": "text/html, */*", "host": host})
                assert response.status_code == 200
                assert "<script>" not in response.text
                assert not host or host not in response.text
                assert path == "/docs" or "http://127.0.0.1:8000/v1" in response.text

    asyncio.run(scene())
