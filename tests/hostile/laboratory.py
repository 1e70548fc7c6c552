"""What hostile tests share: a real service with small limits, and what every refusal must look like.

`Laboratory.refused` looks at one answer: a problem document with the right status, code and place, no traceback, no
input sent back at length, and no worker lost. Called by the tests beside it.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import torch
from torch import nn

from tests.service import Service

DEADLINE_SECONDS = 10.0  # ample on two busy cores, where a case that is refused takes a second or two
BODY_BYTES = 4 * 2**20
SETTINGS = {
    "MODEL_LAB_DEADLINE_SECONDS": str(DEADLINE_SECONDS),
    "MODEL_LAB_WORKER_MEMORY_BYTES": str(2**30),
    "MODEL_LAB_BODY_BYTES": str(BODY_BYTES),
    "MODEL_LAB_JSON_BODY_BYTES": str(BODY_BYTES),
}
LONGEST_PROBLEM = 6_000  # bytes; a pointer may be long, what was sent never comes back whole
TELLTALES = re.compile(r'Traceback|File \\?"|site-packages|/app/|\.cpp[:\"]|__w/pytorch|INTERNAL ASSERT|0x[0-9a-f]{8}')


@dataclass
class Laboratory:
    """A service under attack. `folder` is its data folder; `explained` counts the workers that cases mean to end."""

    service: Service
    client: httpx.Client
    folder: Path
    explained: int = field(default=0)

    def post(self, path: str, body: Any) -> httpx.Response:
        """Sends JSON as it is, also what no client library would write."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post(path, content=content, headers={"content-type": "application/json"})

    def restarts(self) -> int:
        return int(sum(worker["restarts"] for worker in self.client.get("/v1/workers").json()["items"]))

    def refused(self, reply: httpx.Response, status: int, code: str, pointer: str | None = None) -> dict[str, Any]:
        """Checks one refusal and gives the problem. A pointer that ends with an ellipsis is the beginning of one."""
        assert reply.headers["content-type"] == "application/problem+json", reply.text[:300]
        problem = reply.json()
        assert (reply.status_code, problem["code"]) == (status, code), reply.text[:500]
        assert problem["status"] == status
        assert problem["detail"]
        assert len(reply.content) <= LONGEST_PROBLEM
        assert not TELLTALES.search(reply.text), reply.text[:500]
        if pointer is not None:
            found = problem["errors"][0]["pointer"]
            assert found.startswith(pointer[:-1]) if pointer.endswith("…") else found == pointer, found
        assert reply.elapsed.total_seconds() < DEADLINE_SECONDS + 2.5
        restarts, explained = self.restarts(), self.explained
        self.explained = restarts  # told once: the cases after this one are not to blame
        assert restarts == explained, "a worker died of this"
        return dict(problem)

    def names(self, kind: str) -> list[str]:
        return [item["name"] for item in self.client.get(f"/v1/{kind}").json()["items"]]

    def look_around(self) -> None:
        """After every attack: nothing is left of it, no worker died unexplained, and numbers are right."""
        assert self.names("networks") == []
        assert self.names("blocks") == []
        files = [path.name for path in self.folder.rglob("*")]
        assert [name for name in files if not name.startswith("model-lab.sqlite")] == []
        assert self.restarts() == self.explained
        assert "Traceback" not in self.service.log.read_text()
        torch.manual_seed(7)
        net = nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10))
        x = torch.rand(2, 20)
        architecture = ["Linear(20, 256)", "ReLU()", "Linear(256, 10)"]
        assert self.post("/v1/networks", {"name": "after", "architecture": architecture, "seed": 7}).status_code == 201
        reply = self.post("/v1/networks/after/forward", {"inputs": x.tolist()})
        assert torch.equal(torch.tensor(reply.json()["outputs"]["output"]["data"]), net(x).detach())
