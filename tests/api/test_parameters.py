"""Parameters and modules over HTTP, beside PyTorch."""

import io
from urllib.parse import quote

import numpy as np
import pytest
import safetensors.numpy
import torch
from torch import nn

from tests.api.problem import check_problem

REPEATED = {
    "type": "Sequential",
    "layers": [
        {
            "type": "Sequential",
            "layers": [{"repeat": 2, "name": "block {i}", "block": ["Linear(4, 8)", "ReLU()", "Linear(8, 4)"]}],
        },
        "Linear(4, 1)",
    ],
}


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(5)
    tower = nn.Sequential()
    for i in range(2):
        tower.add_module(f"block {i}", nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4)))
    return nn.Sequential(tower, nn.Linear(4, 1))


@pytest.fixture(scope="module")
def path(service) -> str:
    response = service.post("/v1/networks", json={"name": "parameters_net", "architecture": REPEATED, "seed": 5})
    assert response.status_code == 201, response.text
    return "/v1/networks/parameters_net"


def read(service, path: str, name: str, **query) -> dict:
    response = service.get(f"{path}/parameters/{quote(name, safe='')}", params=query)
    assert response.status_code == 200, response.text
    return response.json()


def tensor_of(value: dict) -> torch.Tensor:
    return torch.tensor(value["data"], dtype=getattr(torch, value["dtype"])).reshape(value["shape"])


def test_parameters_are_listed_in_the_order_and_under_the_names_of_pytorch(service, path, net):
    response = service.get(f"{path}/parameters")
    items = response.json()["items"]
    assert [item["name"] for item in items] == [name for name, _ in net.named_parameters()]
    assert [item["shape"] for item in items] == [list(p.shape) for p in net.parameters()]
    assert all(item["requires_grad"] and item["kind"] == "parameter" for item in items)
    assert response.json()["revision"] == 1
    assert response.headers["etag"] == '"1"'


def test_each_link_of_the_list_leads_to_the_value_that_pytorch_has(service, path, net):
    for item in service.get(f"{path}/parameters").json()["items"]:
        reply = service.get(item["link"]).json()
        assert torch.equal(tensor_of(reply["value"]), net.state_dict()[item["name"]])


def test_a_prefix_keeps_one_modules_parameters(service, path, net):
    items = service.get(f"{path}/parameters", params={"prefix": "0.block 1"}).json()["items"]
    assert [item["name"] for item in items] == [
        name for name, _ in net.named_parameters() if name.startswith("0.block 1.")
    ]
    check_problem(service.get(f"{path}/parameters", params={"prefix": "0.block 7"}), 404, "not-found")


@pytest.mark.parametrize("name", ["0.block 1.0.bias", "[0][1][0].bias"])
def test_a_parameter_is_read_by_its_name_or_by_positions(service, path, net, name):
    reply = read(service, path, name)
    assert reply["name"] == "0.block 1.0.bias"
    assert reply["kind"] == "parameter"
    assert reply["dtype"] == "float32"
    assert reply["shape"] == [8]
    assert reply["device"] == "cpu:0"
    assert reply["requires_grad"] is True
    assert reply["grad"] is None
    assert reply["tied_to"] == []
    assert reply["revision"] == 1
    assert torch.equal(tensor_of(reply["value"]), net[0][1][0].bias)


def test_an_index_takes_a_part_and_the_shape_stays_that_of_the_whole(service, path, net):
    reply = read(service, path, "1.weight", index="0, ::2")
    assert reply["index"] == "0, ::2"
    assert reply["shape"] == [1, 4]
    assert torch.equal(tensor_of(reply["value"]), net[1].weight[0, ::2])


@pytest.mark.parametrize("index", ["9", "0, 0, 0", "x", "0,,1", "1e3", "'a'", "0; 1", "9" * 400])
def test_an_index_that_does_not_fit_is_refused(service, path, index):
    response = service.get(f"{path}/parameters/1.weight", params={"index": index})
    check_problem(response, 422, "bad-index")


def test_a_very_long_index_is_refused(service, path):
    response = service.get(f"{path}/parameters/1.weight", params={"index": "0" * 5000})
    check_problem(response, 422, "invalid-request")


@pytest.mark.parametrize("chosen_by", ["format", "accept"])
def test_binary_formats_hold_the_value_alone_bit_for_bit(service, path, net, chosen_by):
    wanted = net[1].weight.detach().numpy()

    def get(name: str, media_type: str) -> bytes:
        query = {"params": {"format": name}} if chosen_by == "format" else {"headers": {"accept": media_type}}
        response = service.get(f"{path}/parameters/1.weight", **query)
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == media_type
        assert response.headers["etag"] == '"1"'
        return response.content

    assert np.array_equal(np.load(io.BytesIO(get("npy", "application/x-npy"))), wanted)
    tensors = safetensors.numpy.load(get("safetensors", "application/vnd.safetensors"))
    assert np.array_equal(tensors["1.weight"], wanted)
    with np.load(io.BytesIO(get("npz", "application/x-npz"))) as arrays:
        assert np.array_equal(arrays["1.weight"], wanted)
    loaded = torch.load(io.BytesIO(get("pt", "application/x-pytorch")), weights_only=True)
    assert torch.equal(loaded["1.weight"], net[1].weight)


def test_formats_that_cannot_be_written_are_not_acceptable(service, path):
    check_problem(service.get(f"{path}/parameters/1.weight", params={"format": "xml"}), 406, "not-acceptable")
    check_problem(service.get(f"{path}/parameters/1.weight", params={"format": "text"}), 406, "not-acceptable")
    check_problem(service.get(f"{path}/parameters/1.weight", headers={"accept": "text/html"}), 406, "not-acceptable")
    check_problem(service.get(f"{path}/modules", headers={"accept": "application/x-npy"}), 406, "not-acceptable")


@pytest.mark.parametrize(
    "name",
    ["nothing", "1.weigth", "%00", "[9].bias", "[0][1]", "0", "..%2F..", "%5B0%5D%5B", "1.weight%00", "x" * 5000],
)
def test_a_parameter_that_is_not_there_is_not_found(service, path, name):
    problem = check_problem(service.get(f"{path}/parameters/{name}"), 404, "not-found")
    if name == "1.weigth":
        assert "mean weight" in problem["detail"]


def test_modules_are_the_tree_that_pytorch_prints(service, path, net):
    text = service.get(f"{path}/modules", headers={"accept": "text/plain"})
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert text.text.rstrip("\n") == str(net)
    assert service.get(f"{path}/modules", params={"format": "text"}).text == text.text
    tree = service.get(f"{path}/modules").json()
    assert tree["path"] == ""
    assert tree["type"] == "Sequential"
    assert [child["path"] for child in tree["children"]] == ["0", "1"]
    assert [child["path"] for child in tree["children"][0]["children"]] == ["0.block 0", "0.block 1"]
    assert tree["children"][1]["parameters"] == [
        {"name": "weight", "shape": [1, 4], "dtype": "float32"},
        {"name": "bias", "shape": [1], "dtype": "float32"},
    ]


@pytest.mark.parametrize("module", ["0.block 1", "[0][1]", "0.block%201"])
def test_one_module_is_read_by_its_path(service, path, net, module):
    response = service.get(f"{path}/modules/{module}")
    assert response.status_code == 200, response.text
    assert response.json()["path"] == "0.block 1"
    assert service.get(f"{path}/modules/{module}?format=text").text.rstrip("\n") == str(net[0][1])


@pytest.mark.parametrize("module", ["7", "0.block 9", "%00", "[0][1][9]", "a/b", "x" * 5000])
def test_a_module_that_is_not_there_is_not_found(service, path, module):
    check_problem(service.get(f"{path}/modules/{module}"), 404, "not-found")
