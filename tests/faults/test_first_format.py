"""Networks that an earlier version made, without a layout, are read, edited, initialised and cloned like others."""

import sqlite3

import torch

from tests.chapter.nets import TIED_JSON, create, forward, read, same_state, state, tied
from tests.service import start_service


def test_a_network_without_a_layout_does_all_that_others_do(tmp_path):
    with start_service(tmp_path) as service, service.client() as client:
        path = create(client, "old", TIED_JSON)
        with sqlite3.connect(tmp_path / "data" / "model-lab.sqlite") as connection:
            assert connection.execute("UPDATE networks SET layout = NULL").rowcount == 1
    x = torch.linspace(-1, 1, 8).reshape(2, 4)
    with start_service(tmp_path) as service, service.client() as client:
        net = tied()
        assert same_state(state(client, path), net.state_dict())
        edits = {"edits": [{"index": "0, 0", "value": 9}]}
        assert client.patch(f"{path}/parameters/[4].weight", json=edits).status_code == 200
        net[2].weight.data[0, 0] = 9
        rule = {"path": "6", "parameters": {"weight": "ones_()"}}
        assert client.post(f"{path}/initialize", json={"rules": [rule]}).status_code == 200
        net[6].weight.data.fill_(1)
        assert same_state(state(client, path), net.state_dict())
        assert torch.equal(forward(client, path, x), net(x))
        assert client.post(f"{path}/clone", json={"name": "new"}).status_code == 201
        assert torch.equal(read(client, "/v1/networks/new", "4.weight"), net[4].weight)
