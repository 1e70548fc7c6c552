"""The same files on PostgreSQL: two services on one database, the collector and the checker, and little memory."""

import pytest
import safetensors.torch
import torch

from tests.files.conftest import Files, equal, mlp
from tests.files.test_memory import LAYERS, MIB, MOST_GROWTH, pass_both_ways
from tests.service import start_service
from tests.test_cli import run


def test_what_one_service_loads_the_other_gives_and_the_checker_finds_no_damage(postgres_url, tmp_path):
    option = ["--database-url", postgres_url]
    with (
        start_service(tmp_path / "a", *option) as one,
        start_service(tmp_path / "b", *option) as two,
        one.client() as first,
        two.client() as second,
    ):
        here, there = Files(first), Files(second)
        address = here.make("mlp")
        X = torch.randn(2, 20)
        for number, format_name in enumerate(("safetensors", "pt", "npz"), 2):
            net = mlp(number)
            assert here.put(address, net.state_dict(), format_name).json()["revision"] == number
            assert equal(there.get(address, format_name), net.state_dict())
            assert torch.equal(there.forward(address, X), net(X))
        body = first.get(f"{address}/state_dict").content
        assert here.send("/v1/artifacts/saved", body, "safetensors").status_code == 201
        assert second.put(f"{address}/state_dict", json={"artifact": "saved"}).json()["revision"] == 5
        assert second.put("/v1/artifacts/x", json={"data": X.tolist()}).status_code == 201
        reply = first.post(f"{address}/forward", json={"inputs": {"artifact": "x"}}).json()
        assert torch.equal(torch.tensor(reply["outputs"]["output"]["data"]), net(X))
        assert second.delete(address).status_code == 204
        done = run("gc", "--grace", "0", *option)
        assert (done.returncode, "Collected 3 manifests" in done.stdout) == (0, True), done.stdout
        assert equal(_load(here), net.state_dict())
        assert run("fsck", *option).returncode == 0


def _load(files: Files) -> dict[str, torch.Tensor]:
    return safetensors.torch.load(files.client.get("/v1/artifacts/saved?format=safetensors").content)


@pytest.mark.timeout(600)
def test_half_a_gibibyte_passes_both_ways_in_little_memory(postgres_url, tmp_path):
    with start_service(tmp_path, "--database-url", postgres_url) as service:
        told = pass_both_ways(service, LAYERS, 4096)
    print(told)
    assert told["up MiB"] < MOST_GROWTH / MIB, told
    assert told["down MiB"] < MOST_GROWTH / MIB, told
