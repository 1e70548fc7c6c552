"""After every attack: nothing is left of it, and the service works. Named so that it runs last in this folder."""

import torch
from torch import nn

from tests.hostile.laboratory import Laboratory


def test_afterwards_a_network_is_made_and_gives_the_right_numbers(lab: Laboratory) -> None:
    torch.manual_seed(7)
    net = nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10))
    x = torch.rand(2, 20)
    architecture = ["Linear(20, 256)", "ReLU()", "Linear(256, 10)"]
    assert lab.post("/v1/networks", {"name": "after", "architecture": architecture, "seed": 7}).status_code == 201
    reply = lab.post("/v1/networks/after/forward", {"inputs": x.tolist()})
    assert torch.equal(torch.tensor(reply.json()["outputs"]["output"]["data"]), net(x).detach())
    assert lab.client.delete("/v1/networks/after").status_code == 204


def test_afterwards_no_network_and_no_block_is_left(lab: Laboratory) -> None:
    assert lab.names("networks") == []
    assert lab.names("blocks") == []


def test_afterwards_there_is_no_file_but_the_database(lab: Laboratory) -> None:
    files = sorted(path.name for path in lab.folder.rglob("*"))
    assert [name for name in files if not name.startswith("model-lab.sqlite")] == []


def test_afterwards_no_worker_died_but_of_its_deadline(lab: Laboratory) -> None:
    assert lab.restarts() == lab.explained


def test_afterwards_the_log_holds_no_traceback(lab: Laboratory) -> None:
    assert "Traceback" not in lab.service.log.read_text()
