"""What each role may send, what needs no key, and which addresses are answered before one was made."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest

from app.api.gate import is_local, needed_role
from app.messages import Checked, Encoded, RunForward, Updated
from app.messages.architectures import CheckArchitecture
from app.services.keys import KeyRequest, draw_key, keep_key
from app.services.lab import Lab
from tests.api.fake_pool import faked_service
from tests.api.problem import check_problem

CHECKED = Checked(parameter_count=2, parameter_bytes=8, tree="", inputs=["input"], output_shapes=None, note=None)
CHECK = {"architecture": "Linear(1, 1)"}


def key_of(lab: Lab, role: str, **more: object) -> dict[str, str]:
    """Makes a key and gives the header that carries it."""
    request = KeyRequest(role=role, **more)  # type: ignore[arg-type]  # the test's own word
    key, new = draw_key(request)
    keep_key(lab.database, new, request.lifetime)
    return {"authorization": f"Bearer {key}"}


def answered(tmp_path, scene, table=None):
    """Runs `scene(client, lab)` against the application with a fake pool."""

    async def run() -> None:
        async with faked_service(tmp_path, table or {CheckArchitecture: CHECKED}) as (client, lab):
            await scene(client, lab)

    asyncio.run(run())


def test_without_a_good_key_the_answer_says_how_to_send_one(tmp_path):
    async def scene(client: httpx.AsyncClient, lab: Lab) -> None:
        assert (await client.get("/v1/networks")).status_code == 200
        good = key_of(lab, "read")
        for headers in (
            {},
            {"authorization": ""},
            {"authorization": "Bearer"},
            {"authorization": "Bearer "},
            {"authorization": "Bearer lab_x_y"},
            {"authorization": good["authorization"].replace("Bearer", "Basic")},
            {"authorization": good["authorization"].removeprefix("Bearer ")},
            {"authorization": good["authorization"] + "x"},
            {"authorization": b"Bearer \xff\x00"},
        ):
            for method, path in (("GET", "/v1/networks"), ("POST", "/v1/networks/x/forward"), ("GET", "/nowhere")):
                reply = await client.request(method, path, headers=headers)
                check_problem(reply, 401, "unauthorized")
                assert reply.headers["www-authenticate"].startswith("Bearer")
        assert (await client.get("/v1/networks", headers=good)).status_code == 200
        lower = {"authorization": good["authorization"].replace("Bearer", "bearer")}
        assert (await client.get("/v1/networks", headers=lower)).status_code == 200

    answered(tmp_path, scene)


def test_pages_and_health_need_no_key(tmp_path):
    async def scene(client: httpx.AsyncClient, lab: Lab) -> None:
        key_of(lab, "read")
        for path in ("/", "/docs", "/openapi.json", "/healthz", "/readyz", "/problems", "/problems/name-taken"):
            assert (await client.get(path)).status_code == 200, path
        page = (await client.get("/docs")).text
        for address in [part.split('"')[0] for part in page.split('"/static/')[1:]]:
            assert (await client.get(f"/static/{address}")).status_code == 200, address
        document = (await client.get("/openapi.json")).json()
        for path, item in document["paths"].items():
            for method, operation in item.items():
                reply = await client.request(method, path)
                assert (reply.status_code == 401) == bool(operation["security"]), (method, path)

    answered(tmp_path, scene)


def test_a_key_that_reads_looks_and_runs_and_changes_nothing(tmp_path):
    async def scene(client: httpx.AsyncClient, lab: Lab) -> None:
        client.headers = key_of(lab, "read")
        assert (await client.get("/v1/networks")).status_code == 200
        assert (await client.head("/v1/networks")).status_code == 200
        assert (await client.post("/v1/architectures/check", json=CHECK)).status_code == 200
        assert (await client.post("/v1/networks/none/forward", json={"inputs": [1]})).status_code == 404
        problem = check_problem(await client.post("/v1/networks", json=CHECK), 403, "forbidden")
        assert "`write`" in problem["detail"]
        assert "`read`" in problem["detail"]
        for method, path in (("PUT", "/v1/blocks/X"), ("PATCH", "/v1/networks/x"), ("DELETE", "/v1/artifacts/x")):
            check_problem(await client.request(method, path), 403, "forbidden")
        check_problem(await client.get("/v1/keys"), 403, "forbidden")

    answered(tmp_path, scene)


def test_a_key_that_writes_does_not_see_keys_and_one_of_an_administrator_does(tmp_path):
    async def scene(client: httpx.AsyncClient, lab: Lab) -> None:
        writes = key_of(lab, "write", name="w")
        admin = key_of(lab, "admin", name="a")
        key_of(lab, "admin", name="b", workspace="other")
        check_problem(await client.get("/v1/keys", headers=writes), 403, "forbidden")
        reply = (await client.get("/v1/keys", headers=admin)).json()
        assert [(item["name"], item["role"]) for item in reply["items"]] == [("w", "write"), ("a", "admin")]
        assert not any(word in str(reply) for word in ("digest", admin["authorization"][-43:]))
        check_problem(await client.delete("/v1/networks/x", headers=writes), 404, "not-found")

    answered(tmp_path, scene)


def test_every_operation_that_is_no_plain_look_takes_a_key_that_writes():
    assert {needed_role(method, "/v1/anything") for method in ("POST", "PUT", "PATCH", "DELETE", "PROPFIND")} == {
        "write"
    }
    assert needed_role("GET", "/v1/anything") == needed_role("HEAD", "/v1/anything") == "read"
    for path in ("/v1/networks/a/forward", "/v2/models/a/infer", "/v2/models/a/versions/1/infer"):
        assert needed_role("POST", path) == "read"
    for path in (
        "/v1/networks/a/b/forward",
        "/v1/networks//forward",
        "/v1/networks/a/forward/",
        "/v1/networks/a/train",
    ):
        assert needed_role("POST", path) == "write"
    assert needed_role("PUT", "/v1/networks/a/forward") == "write"


def test_keeping_buffers_takes_a_key_that_writes_although_a_forward_does_not(tmp_path):
    updated = Updated(base=None, manifest="", names=[], reply=Encoded(media_type="x", body=b""))  # type: ignore[arg-type]

    async def scene(client: httpx.AsyncClient, lab: Lab) -> None:
        await add_network(lab)
        client.headers = key_of(lab, "read")
        reply = await client.post("/v1/networks/net/forward", json={"inputs": [1], "update_buffers": True})
        check_problem(reply, 403, "forbidden")

    answered(tmp_path, scene, {RunForward: updated})


async def add_network(lab: Lab) -> None:
    from tests.db.rows import add_network

    with lab.database.transaction() as connection:
        add_network(connection, workspace="default")


def test_bodies_larger_than_a_key_may_send_are_refused_announced_or_not(tmp_path):
    async def parts(count: int):
        for _ in range(count):
            yield b" " * 100

    async def scene(client: httpx.AsyncClient, lab: Lab) -> None:
        client.headers = key_of(lab, "write", body_bytes=1000)
        json_type = {"content-type": "application/json"}
        assert (await client.post("/v1/architectures/check", json=CHECK)).status_code == 200
        for path in ("/v1/architectures/check", "/v1/networks/net/forward"):
            for content in (b" " * 1001, parts(11)):
                reply = await client.post(path, content=content, headers=json_type)
                assert check_problem(reply, 413, "too-large")["limit_bytes"] == 1000
        reply = await client.post("/v1/architectures/check", content=parts(10), headers=json_type)
        check_problem(reply, 400, "malformed")

    answered(tmp_path, scene)


def test_a_key_that_is_used_too_often_gets_429_and_a_time(tmp_path):
    async def scene(client: httpx.AsyncClient, lab: Lab) -> None:
        client.headers = key_of(lab, "read", requests_per_second=0.1)
        assert (await client.get("/v1/networks")).status_code == 200
        reply = await client.get("/v1/networks")
        check_problem(reply, 429, "too-many-requests")
        assert reply.headers["retry-after"] == "10"
        assert (await client.get("/healthz")).status_code == 200

    answered(tmp_path, scene)


@asynccontextmanager
async def reached_at(address: str, tmp_path, *, without_key: bool = False):
    """A client whose requests came in at `address`, as a server tells it."""
    async with faked_service(tmp_path, {}) as (client, lab):
        edge = client._transport.app
        edge.begin(replace(lab, settings=lab.settings.model_copy(update={"allow_without_key": without_key})))

        async def told(scope, receive, send) -> None:
            await edge({**scope, "server": (address, 8000)}, receive, send)

        async with httpx.AsyncClient(transport=httpx.ASGITransport(told), base_url="http://lab.test") as reached:
            yield reached, lab


@pytest.mark.parametrize("address", ["10.1.2.3", "192.168.0.1", "::", "2001:db8::1", "somewhere"])
def test_without_any_key_only_loopback_is_answered_however_the_service_was_started(tmp_path, address):
    async def scene() -> None:
        async with reached_at(address, tmp_path / "closed") as (client, lab):
            check_problem(await client.get("/v1/networks"), 401, "unauthorized")
            assert (await client.get("/healthz")).status_code == 200
            key = key_of(lab, "read")
            assert (await client.get("/v1/networks", headers=key)).status_code == 200
        async with reached_at(address, tmp_path / "open", without_key=True) as (client, _):
            assert (await client.get("/v1/networks")).status_code == 200

    asyncio.run(scene())


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_addresses_and_unix_sockets_are_local(address):
    assert is_local({"server": (address, 80)})
    assert is_local({"server": ("/run/lab.sock", None)})
    assert is_local({})
