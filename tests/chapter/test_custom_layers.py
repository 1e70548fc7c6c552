"""Rows L1 and L2: layers of one's own, without and with parameters."""

from collections.abc import Callable

import httpx
import pytest
import torch
from torch import nn

from tests.chapter.textbook import CENTERED_LAYER_JSON, MY_LINEAR_JSON, CenteredLayer, MyLinear
from tests.laboratory import assert_same, assert_same_state, create, listed, run, state_of

SEED = 7
FreshName = Callable[..., str]


def test_l1_the_centered_layer_alone(service: httpx.Client, fresh_name: FreshName) -> None:
    name = fresh_name("l1")
    assert create(service, name, CENTERED_LAYER_JSON)["parameter_count"] == 0
    wanted = CenteredLayer()(torch.FloatTensor([1, 2, 3, 4, 5]))
    reply = service.post(f"/v1/networks/{name}/forward", json={"inputs": [1, 2, 3, 4, 5]})
    assert reply.json()["outputs"] == {"output": {"dtype": "float32", "shape": [5], "data": [-2, -1, 0, 1, 2]}}
    assert_same(run(service, name, torch.FloatTensor([1, 2, 3, 4, 5]))["output"], wanted)
    assert listed(service, name) == []


@pytest.mark.parametrize("registered", [True, False])
def test_l1_the_centered_layer_as_a_part(service: httpx.Client, fresh_name: FreshName, registered: bool) -> None:
    name, block = fresh_name("l1"), fresh_name("CenteredLayer")
    if registered:
        service.post("/v1/blocks", json={"name": block, "definition": CENTERED_LAYER_JSON}).raise_for_status()
        create(service, name, f"nn.Sequential(nn.Linear(8, 128), {block}())", seed=SEED)
    else:
        create(service, name, ["Linear(8, 128)", CENTERED_LAYER_JSON], seed=SEED)
    torch.manual_seed(SEED)
    net = nn.Sequential(nn.Linear(8, 128), CenteredLayer())
    assert_same_state(state_of(service, name), net)
    x = torch.rand(4, 8)
    output = run(service, name, x)["output"]
    with torch.no_grad():
        assert_same(output, net(x))
    assert abs(output.mean()) < 1e-6


def my_linears(*sizes: tuple[int, int]) -> nn.Module:
    torch.manual_seed(SEED)
    layers = [MyLinear(*size) for size in sizes]
    return layers[0] if len(layers) == 1 else nn.Sequential(*layers)


def test_l2_my_linear_alone_and_as_parts(service: httpx.Client, fresh_name: FreshName) -> None:
    block, alone, both, by_name = fresh_name("MyLinear"), fresh_name("l2"), fresh_name("l2"), fresh_name("l2")
    service.post("/v1/blocks", json={"name": block, "definition": MY_LINEAR_JSON}).raise_for_status()
    create(service, alone, f"{block}(5, 3)", seed=SEED)
    create(service, both, f"nn.Sequential({block}(64, 8), {block}(8, 1))", seed=SEED)
    kwargs = [{"in_units": 64, "units": 8}, {"units": 1, "in_units": 8}]
    create(service, by_name, [{"type": block, "kwargs": given} for given in kwargs], seed=SEED)
    for name, net, width in (
        (alone, my_linears((5, 3)), 5),
        (both, my_linears((64, 8), (8, 1)), 64),
        (by_name, my_linears((64, 8), (8, 1)), 64),
    ):
        assert_same_state(state_of(service, name), net)
        x = torch.rand(2, width)
        assert_same(run(service, name, x)["output"], net(x))
    assert [(item["name"], item["requires_grad"]) for item in listed(service, alone)] == [
        ("weight", True),
        ("bias", True),
    ]


def test_l2_what_my_linear_needs_must_be_given(service: httpx.Client) -> None:
    use = {"blocks": {"MyLinear": MY_LINEAR_JSON}, "type": "MyLinear", "args": [5]}
    reply = service.post("/v1/networks", json={"architecture": use})
    assert (reply.status_code, reply.json()["code"]) == (422, "missing-hyperparameter")
    assert "units" in reply.json()["detail"]


def test_l2_a_shape_that_does_not_fit_names_the_child_and_the_line(
    service: httpx.Client, fresh_name: FreshName
) -> None:
    name = fresh_name("l2")
    use = {
        "blocks": {"MyLinear": MY_LINEAR_JSON},
        "type": "Sequential",
        "layers": ["MyLinear(64, 8)", "MyLinear(9, 1)"],
    }
    create(service, name, use)
    reply = service.post(f"/v1/networks/{name}/forward", json={"inputs": [[0.5] * 64]})
    assert (reply.status_code, reply.json()["code"]) == (422, "shape-mismatch")
    for words in ("MyLinear", "1", "line 1", "[1, 8]"):
        assert words in reply.json()["detail"]
