"""The catalogues over HTTP: made from PyTorch itself."""

import pytest
from torch import nn

from tests.api.problem import check_problem


def test_all_layers_of_torch_are_listed_and_unsupported_ones_say_why(service):
    items = service.get("/v1/catalog/layers").json()["items"]
    names = {item["type"] for item in items}
    wanted = {
        name
        for name, value in vars(nn).items()
        if isinstance(value, type) and issubclass(value, nn.Module) and not name.startswith("_") and name != "Module"
    }
    assert wanted - names <= {"Container"}
    for item in items:
        assert item["supported"] or item["reason"], item["type"]
        assert item["arguments"]["type"] == "object"


def test_a_layer_is_looked_up_by_its_type(service):
    layer = service.get("/v1/catalog/layers/Linear").json()
    assert layer["type"] == "Linear"
    assert "in_features" in layer["arguments"]["properties"]
    assert "out_features" in layer["arguments"]["required"]
    assert layer["signature"].startswith("Linear(in_features")


@pytest.mark.parametrize("spelling", ["relu", "F.relu", "torch.mm", "softmax"])
def test_a_function_is_looked_up_by_any_spelling(service, spelling):
    entry = service.get(f"/v1/catalog/functions/{spelling}")
    assert entry.status_code == 200, entry.text
    assert entry.json()["name"].split(".")[-1] == spelling.split(".")[-1]


def test_functions_and_initializers_are_listed(service):
    functions = service.get("/v1/catalog/functions").json()["items"]
    assert {"relu", "mm", "cat"} <= {item["name"].split(".")[-1] for item in functions}
    initializers = service.get("/v1/catalog/initializers").json()["items"]
    assert {"normal_", "xavier_uniform_", "zeros_"} <= {item["name"] for item in initializers}


@pytest.mark.parametrize("path", ["layers/Linaer", "functions/rleu", "layers/%00", "functions/" + "x" * 5000])
def test_an_unknown_entry_is_not_found_with_a_near_one(service, path):
    problem = check_problem(service.get(f"/v1/catalog/{path}"), 404, "not-found")
    near = {"layers/Linaer": "Linear", "functions/rleu": "relu"}.get(path)
    assert near is None or near in problem["detail"]
