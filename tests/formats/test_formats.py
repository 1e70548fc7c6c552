"""Data that an earlier version wrote: migrated, read whole, compared with literal numbers, and written on."""

import gzip
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psycopg
import pytest
import safetensors.torch
import torch
from torch import Tensor

from app.db.engine import Database
from app.store.verify import Verifier
from tests.formats import EXPECTED, POSTGRESQL, SQLITE
from tests.formats.spelling import read
from tests.service import start_service

SAFETENSORS = "application/vnd.safetensors"
FORMATS = sorted(folder.parent for folder in Path(__file__).parent.glob(f"*/{EXPECTED}"))


def test_there_is_a_format():
    assert FORMATS


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("folder", FORMATS, ids=lambda folder: folder.name)
def test_a_database_of_an_earlier_version_is_read_whole_and_written_on(folder, kind, tmp_path, request):
    expected = json.loads((folder / EXPECTED).read_text())
    if kind == "sqlite":
        url, arguments = place_sqlite(folder, tmp_path), ()
    else:
        url = place_postgresql(folder, request.getfixturevalue("postgresql_server"))
        arguments = ("--database-url", url)
    with start_service(tmp_path, *arguments) as service, service.client() as client:
        client.headers["Authorization"] = f"Bearer {expected['keys'][kind]}"
        check(client, expected)
        write_on(client)
    database = Database(url)
    assert list(Verifier(database).run()) == []
    database.close()


def place_sqlite(folder: Path, tmp_path: Path) -> str:
    file = tmp_path / "data" / "model-lab.sqlite"
    file.parent.mkdir()
    file.write_bytes(gzip.decompress((folder / SQLITE).read_bytes()))
    now = "strftime('%Y-%m-%dT%H:%M:%S.000000Z')"
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.executescript(lately(now))
    return f"sqlite:///{file}"


def place_postgresql(folder: Path, server: Any) -> str:
    url = server.fresh(migrated=False)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(gzip.decompress((folder / POSTGRESQL).read_bytes()))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(lately("now()"))
    return url


def lately(now: str) -> str:
    """What the service forgets after some days was written just now."""
    return f"UPDATE idempotency SET created_at = {now}; UPDATE jobs SET finished_at = {now};"


def check(client: httpx.Client, expected: dict[str, Any]) -> None:
    listed = client.get("/v1/networks").json()["items"]
    assert {item["name"]: item["revision"] for item in listed} == {
        name: told["head"] for name, told in expected["networks"].items()
    }
    for name, told in expected["networks"].items():
        check_network(client, f"/v1/networks/{name}", told)
    for name, told in expected["artifacts"].items():
        assert client.get(f"/v1/artifacts/{name}?format=json").status_code == 200
        saved = {item["name"]: item["kind"] for item in client.get("/v1/artifacts").json()["items"]}
        assert saved[name] == told["kind"]
        check_tensors(client, f"/v1/artifacts/{name}?format=safetensors", told["tensors"])
    for name, definition in expected["blocks"].items():
        assert client.get(f"/v1/blocks/{name}").json()["definition"] == definition
    for retry in expected["retries"]:
        reply = client.post(retry["path"], json=retry["body"], headers={"Idempotency-Key": retry["key"]})
        assert reply.status_code == 201, reply.text  # without the kept answer: 409, the name is taken
    for job in expected["jobs"]:
        assert client.get(job["address"]).json()["state"] == job["state"]
        result = client.get(f"{job['address']}/result").json()
        assert [item["name"] for item in result["initialized"]] == job["initialized"]


def check_network(client: httpx.Client, path: str, told: dict[str, Any]) -> None:
    history = client.get(f"{path}/revisions").json()["items"]
    assert {str(item["revision"]): item["operation"] for item in history} == told["operations"]
    tags = {tag: item["revision"] for item in history for tag in item["checkpoints"]}
    assert tags == told.get("checkpoints", {})
    for number, state in told["revisions"].items():
        check_tensors(client, f"{path}/state_dict?revision={number}", state)
    if "frozen" in told:
        items = client.get(f"{path}/parameters").json()["items"]
        assert [item["name"] for item in items if not item["requires_grad"]] == told["frozen"]
        assert client.get(path).json()["labels"] == told["labels"]
        assert client.get(f"{path}/modules", headers={"Accept": "text/plain"}).text.rstrip("\n") == told["tree"]
    for name, gradient in told.get("gradients", {}).items():
        grad = client.get(f"{path}/parameters/{quote(name)}").json()["grad"]
        assert torch.equal(torch.tensor(grad["data"], dtype=getattr(torch, grad["dtype"])), read(gradient))
    if "forward" in told:
        name = client.get(path).json()["inputs"][0]
        body = safetensors.torch.save({name: read(told["forward"]["inputs"])})
        headers = {"Content-Type": SAFETENSORS, "Accept": SAFETENSORS}
        reply = client.post(f"{path}/forward", content=body, headers=headers)
        assert reply.status_code == 200, reply.text
        assert same(safetensors.torch.load(reply.content)["output"], read(told["forward"]["output"]))


def check_tensors(client: httpx.Client, url: str, told: dict[str, Any]) -> None:
    reply = client.get(url)
    assert reply.status_code == 200, reply.text
    found = safetensors.torch.load(reply.content)
    assert set(found) == set(told), url
    for name, tensor in found.items():
        assert same(tensor, read(told[name])), f"{url}: {name}"


def same(left: Tensor, right: Tensor) -> bool:
    """Equal in dtype, shape and bits; NaN equals NaN."""
    alike = (left.dtype, left.shape) == (right.dtype, right.shape)
    return alike and torch.equal(left.flatten().view(torch.uint8), right.flatten().view(torch.uint8))


def write_on(client: httpx.Client) -> None:
    """The old network takes an edit, and a new network is made beside it."""
    edit = {"edits": [{"index": "0", "value": 9}]}
    head = client.get("/v1/networks/chapter").json()["revision"]
    reply = client.patch("/v1/networks/chapter/parameters/0.bias", json=edit)
    assert reply.json()["revision"] == head + 1
    made = client.post("/v1/networks", json={"name": "new", "architecture": ["Linear(2, 2)", "Scaled(3)"]})
    assert made.status_code == 201, made.text
