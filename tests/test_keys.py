"""Keys as their holders meet them: a real service, keys made on the command line, workspaces that see nothing of each
other."""

import re
import time

import httpx
import pytest
import typer

from app.cli.keys import read_request
from tests.service import start_service
from tests.test_cli import check_refusal, run

PLACEHOLDER = re.compile(r"\{(\w+)\}")


def make_key(database: tuple[str, str], *arguments: str) -> str:
    done = run("keys", "create", *arguments, *database)
    assert done.returncode == 0, done.stderr
    [key] = done.stdout.split()
    assert key not in done.stderr
    return key


def listed(database: tuple[str, str]) -> list[list[str]]:
    done = run("keys", "list", *database)
    assert done.returncode == 0, done.stderr
    return [re.split(r" {2,}", line) for line in done.stdout.splitlines()[1:]]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_a_key_is_made_used_listed_and_revoked(tmp_path):
    database = ("--data-dir", str(tmp_path / "data"))
    with start_service(tmp_path) as service, service.client() as client:
        assert client.post("/v1/networks", json={"name": "net", "architecture": "Linear(2, 2)"}).status_code == 201
        run_it = {"url": "/v1/networks/net/forward", "json": {"inputs": [[1, 2]]}}
        assert client.post(**run_it).status_code == 200
        key = make_key(database, "--name", "ada's laptop")
        assert client.post(**run_it).status_code == 401
        assert client.post(**run_it, headers=bearer(key)).status_code == 200
        edit = {"edits": [{"index": ":", "value": 0}]}
        reply = client.patch("/v1/networks/net/parameters/bias", json=edit, headers=bearer(key))
        assert reply.status_code == 200, reply.text
        tag = client.put("/v1/networks/net/checkpoints/best", headers=bearer(key))
        assert tag.json()["author"] == "ada's laptop"
        revisions = client.get("/v1/networks/net/revisions", headers=bearer(key)).json()["items"]
        assert [item["author"] for item in revisions] == ["ada's laptop", None]
        later = {**bearer(key), "Prefer": "respond-async"}
        rules = {"rules": [{"parameters": {"bias": "zeros_()"}}]}
        job = client.post("/v1/networks/net/initialize", json=rules, headers=later).headers["location"]
        until(lambda: client.get(job, headers=bearer(key)).json()["state"] == "succeeded")
        newest = client.get("/v1/networks/net/revisions", headers=bearer(key)).json()["items"][0]
        assert (newest["revision"], newest["author"]) == (3, "ada's laptop")
        [[key_id, role, workspace, name, _, state]] = listed(database)
        assert (role, workspace, name, state) == ("write", "default", "ada's laptop", "holds")
        done = run("keys", "revoke", key_id, *database)
        assert done.returncode == 0
        assert client.post(**run_it, headers=bearer(key)).status_code == 401
        assert listed(database)[0][-1].startswith("revoked ")
        check_refusal(run("keys", "revoke", "nobody", *database), "nobody", "keys list")
        assert key not in service.log.read_text()


def test_a_revoked_key_ends_on_every_replica_within_seconds(tmp_path, postgres_url):
    database = ("--database-url", postgres_url)
    with start_service(tmp_path / "a", *database) as one, start_service(tmp_path / "b", *database) as two:
        key = make_key(database)
        key_id = key.split("_")[1]
        addresses = [f"{service.base_url}/v1/networks" for service in (one, two)]
        until(lambda: all(httpx.get(address, headers=bearer(key)).status_code == 200 for address in addresses))
        until(lambda: all(httpx.get(address).status_code == 401 for address in addresses))
        assert run("keys", "revoke", key_id, *database).returncode == 0
        until(lambda: all(httpx.get(address, headers=bearer(key)).status_code == 401 for address in addresses))


def until(holds) -> None:
    give_up = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.1)


@pytest.fixture(scope="module")
def two_workspaces(tmp_path_factory):
    """A service, and clients of two workspaces; the first one has done the tour of all examples but what deletes."""
    folder = tmp_path_factory.mktemp("workspaces")
    database = ("--data-dir", str(folder / "data"))
    keys = [make_key(database, "--workspace", name, "--role", "admin", "--name", name) for name in ("one", "two")]
    with start_service(folder) as service, service.client() as one, service.client() as two:
        one.headers, two.headers = bearer(keys[0]), bearer(keys[1])
        yield one, two


def operations(client: httpx.Client):
    document = client.get("/openapi.json").json()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if operation["security"]:
                yield path, method.upper(), operation


def names_in(operation: dict, path: str) -> str:
    """The path of an operation with the names of its own example."""
    values = {
        parameter["name"]: next(iter(parameter["examples"].values()))["value"]
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "path"
    }
    return PLACEHOLDER.sub(lambda found: str(values[found.group(1)]), path)


def example_body(operation: dict) -> object | None:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    examples = [example["value"] for example in content.get("examples", {}).values()]
    return examples[0] if examples else None


def test_what_one_workspace_has_does_not_exist_for_another(two_workspaces):
    one, two = two_workspaces
    tour = list(operations(one))
    for path, method, operation in tour:
        if method != "DELETE":
            reply = one.request(method, names_in(operation, path), json=example_body(operation))
            assert reply.status_code < 500, reply.text
    mine = [item["name"] for item in one.get("/v1/networks").json()["items"]]
    assert mine
    for path, method, operation in tour:
        if not PLACEHOLDER.search(path) or path.startswith("/v1/catalog") or method == "PUT":
            continue
        address = names_in(operation, path)
        reply = two.request(method, address, json=example_body(operation))
        assert reply.status_code in (404, 422), (method, address, reply.text)
    for path in [path for path, method, _ in tour if method == "GET" and not PLACEHOLDER.search(path)]:
        reply = two.get(path)
        for name in mine:
            assert f'"{name}"' not in reply.text, path
    for kind in ("networks", "blocks", "artifacts"):
        assert two.get(f"/v1/{kind}").json()["items"] == [], kind


def test_both_workspaces_may_use_one_name_and_one_idempotency_key(two_workspaces):
    for client, width in zip(two_workspaces, (2, 3), strict=True):
        body = {"name": "same", "architecture": f"Linear({width}, 1)", "seed": 1}
        reply = client.post("/v1/networks", json=body, headers={"Idempotency-Key": "the-key"})
        assert reply.status_code == 201, reply.text
        assert client.post("/v1/networks/same/forward", json={"inputs": [[1.0] * width]}).status_code == 200
        names = [item["name"] for device in client.get("/v1/devices").json()["items"] for item in device["networks"]]
        assert names.count("same") <= 1
    client.delete("/v1/networks/same")
    assert two_workspaces[0].get("/v1/networks/same").status_code == 200


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"role": "owner"}, "read, write, admin"),
        ({"workspace": "a/b"}, "--workspace"),
        ({"expires": "soon"}, "--expires"),
        ({"expires": "0"}, "--expires"),
        ({"name": ""}, "--name"),
        ({"name": "a\nb"}, "--name"),
    ],
)
def test_a_key_that_makes_no_sense_is_one_line(capsys, changes, word):
    with pytest.raises(typer.Exit) as ended:
        read_request(**{"role": "read", "workspace": "default", "name": None, "expires": None, **changes})
    assert ended.value.exit_code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("model-lab: ")
    assert word in line


def test_the_first_key_may_be_made_by_a_script_into_a_file(tmp_path):
    database = ("--data-dir", str(tmp_path / "data"))
    file = tmp_path / "keys" / "first"
    create = ("keys", "create", "--role", "admin", "--unless-any", "--file", str(file), *database)
    done = run(*create)
    assert (done.returncode, done.stdout) == (0, "")
    key = file.read_text().strip()
    assert file.stat().st_mode & 0o777 == 0o600
    again = run(*create)
    assert (again.returncode, again.stdout) == (0, "")
    assert "There is a key already" in again.stderr
    assert file.read_text().strip() == key
    assert [item.name for item in file.parent.iterdir()] == ["first"]
    assert len(listed(database)) == 1
    check_refusal(run("keys", "create", "--file", "/proc/none/key", *database), "--file")
    assert len(listed(database)) == 1


def test_with_a_key_made_other_addresses_than_loopback_are_served(tmp_path):
    database = ("--data-dir", str(tmp_path / "data"))
    key = make_key(database, "--expires", "1h")
    with start_service(tmp_path, "--host", "0.0.0.0") as service:
        address = service.base_url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{address}/v1/networks").status_code == 401
        assert httpx.get(f"{address}/v1/networks", headers=bearer(key)).status_code == 200
        assert listed(database)[0][-1].startswith("holds, until ")
