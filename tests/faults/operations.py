"""Requests that change a laboratory, each with what must be there afterwards: what tests of kills ask of a service.

`prepare` makes the laboratory they start from; `look` reads all of it that they can change, as plain values that can
be compared. Every operation can be sent again: those with an `Idempotency-Key` get the first answer, a conditional
one is told 412 when it was done already, and a deletion 404.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import httpx
import safetensors.torch
import torch

from tests.chapter.nets import create

State = dict[str, dict[str, Any]]
NET = "/v1/networks/net"


@dataclass(frozen=True)
class Operation:
    """One request. `change` does to a `State` what the request does to the laboratory."""

    name: str
    method: str
    path: str
    body: Any  # JSON, or bytes of safetensors
    change: Callable[[State], None]
    keyed: bool = True  # takes an Idempotency-Key
    done_already: int = 200  # what the second of two is told, where it takes no key
    transactions: int = 1  # of the service, the last of which is the commit

    def send(self, client: httpx.Client, headers: dict[str, str]) -> httpx.Response:
        if isinstance(self.body, bytes):
            media = {"Content-Type": "application/vnd.safetensors"}
            return client.request(self.method, self.path, content=self.body, headers={**media, **headers})
        return client.request(self.method, self.path, json=self.body, headers=headers)

    def headers(self, key: str, client: httpx.Client) -> dict[str, str]:
        """What makes the request safe to send twice."""
        if self.keyed:
            return {"Idempotency-Key": key}
        return {"If-Match": client.get(NET).headers["etag"]} if self.done_already == 412 else {}

    def after(self, state: State) -> State:
        """What the laboratory is when the operation was done once."""
        changed = deepcopy(state)
        self.change(changed)
        return changed


def prepare(client: httpx.Client) -> None:
    """A network of zeros, at revision 2."""
    create(client, "net", "Linear(4, 4)", init=[{"parameters": {"*": "ones_()"}}])
    edit = {"edits": [{"index": ":", "expression": "param - 1"}]}
    assert client.patch(f"{NET}/parameters/bias", json=edit).status_code == 200


def look(client: httpx.Client) -> State:
    """All that operations change, read through the service."""
    return {
        "networks": {item["name"]: _network(client, item) for item in items(client, "/v1/networks")},
        "blocks": {item["name"]: item["links"]["self"] for item in items(client, "/v1/blocks")},
        "artifacts": {item["name"]: _artifact(client, item["name"]) for item in items(client, "/v1/artifacts")},
    }


def _network(client: httpx.Client, item: dict[str, Any]) -> dict[str, Any]:
    """A network of one Linear, whose bias is what it gives for zeros; and how it came to be, where it was changed."""
    path = f"/v1/networks/{item['name']}"
    run = client.post(f"{path}/forward", json={"inputs": [0.0] * 4}).json()
    bias = run["outputs"]["output"]["data"]
    assert run["revision"] == item["revision"]
    if item["revision"] == 1:
        return {"bias": bias}
    made = [revision["operation"] for revision in items(client, f"{path}/revisions")]
    assert len(made) == item["revision"]
    tags = {tag["tag"]: tag["revision"] for tag in items(client, f"{path}/checkpoints")}
    return {"bias": bias, "operations": made[::-1], "tags": tags}


def _artifact(client: httpx.Client, name: str) -> Any:
    return client.get(f"/v1/artifacts/{name}").json()["data"]


def items(client: httpx.Client, path: str) -> list[dict[str, Any]]:
    page = client.get(path, params={"page_size": 500})
    assert page.status_code == 200, page.text
    return list(page.json()["items"])


# --- the operations ---


def _revise(bias: Callable[[list[float]], list[float]], operation: str) -> Callable[[State], None]:
    def change(state: State) -> None:
        net = state["networks"]["net"]
        net["bias"] = bias(net["bias"])
        net["operations"].append(operation)

    return change


def _add(kind: str, name: str, value: Any) -> Callable[[State], None]:
    return lambda state: state[kind].__setitem__(name, deepcopy(value))


def operations(number: int) -> list[Operation]:
    """One of each kind, in an order in which they can be done; whatever they make is called by `number`."""
    made, twin, block = f"made{number}", f"twin{number}", f"Same{number}"
    one = {"architecture": "Linear(4, 4)", "init": [{"parameters": {"*": "ones_()"}}]}
    weights = safetensors.torch.save({"weight": torch.zeros(4, 4), "bias": torch.full((4,), number + 0.5)})
    edit = {"edits": [{"index": ":", "expression": "param + 1"}]}
    rules = {"rules": [{"parameters": {"bias": "param * 2"}}]}
    identity = {"name": block, "definition": {"inputs": ["x"], "forward": "return x"}}

    def clone(state: State) -> None:
        state["networks"][twin] = {"bias": state["networks"]["net"]["bias"]}

    def tag(state: State) -> None:
        state["networks"]["net"]["tags"][f"best{number}"] = 1

    def gone(state: State) -> None:
        del state["networks"][made]

    return [
        Operation("create", "POST", "/v1/networks", {"name": made, **one}, _add("networks", made, {"bias": [1.0] * 4})),
        Operation("edit", "PATCH", f"{NET}/parameters/bias", edit, _revise(lambda b: [v + 1 for v in b], "edit")),
        Operation("initialize", "POST", f"{NET}/initialize", rules, _revise(_doubled, "initialize")),
        Operation("clone", "POST", f"{NET}/clone", {"name": twin}, clone),
        Operation("restore", "POST", f"{NET}/revisions/1/restore", None, _revise(lambda _: [1.0] * 4, "restore")),
        Operation("block", "POST", "/v1/blocks", identity, _add("blocks", block, f"/v1/blocks/{block}")),
        Operation(
            "load",
            "PUT",
            f"{NET}/state_dict",
            weights,
            _revise(lambda _: [number + 0.5] * 4, "load"),
            keyed=False,
            done_already=412,
            transactions=3,  # chunks and tensors, the manifest, the head
        ),
        Operation(
            "artifact",
            "PUT",
            "/v1/artifacts/saved",
            {"data": [number, 4.0]},
            _add("artifacts", "saved", [number, 4.0]),
            keyed=False,
            transactions=2,  # the manifest, the artifact
        ),
        Operation("tag", "PUT", f"{NET}/checkpoints/best{number}", {"revision": 1}, tag, keyed=False),
        Operation("delete", "DELETE", f"/v1/networks/{made}", None, gone, keyed=False, done_already=404),
    ]


def _doubled(bias: list[float]) -> list[float]:
    return [value * 2 for value in bias]
