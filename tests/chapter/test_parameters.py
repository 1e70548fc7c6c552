"""Rows P1 to P4: reading parameters."""

from collections.abc import Callable
from urllib.parse import quote

import httpx
import pytest
import torch
from torch import nn

from tests.chapter.textbook import FIXED_HIDDEN_MLP_JSON, RGNET_JSON, rgnet
from tests.laboratory import (
    NPY,
    SAFETENSORS,
    assert_same,
    assert_same_state,
    create,
    from_json,
    from_npy,
    listed,
    parameter,
    run,
    state_of,
    value_of,
)

SEED = 7
FreshName = Callable[..., str]
NET_JSON = ["Linear(4, 8)", "ReLU()", "Linear(8, 1)"]


def chapter_net() -> nn.Sequential:
    torch.manual_seed(SEED)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))


@pytest.fixture(name="net")
def make_net(service: httpx.Client, fresh_name: FreshName) -> str:
    """The chapter's net of this section."""
    name = fresh_name("net")
    create(service, name, NET_JSON, seed=SEED)
    return name


@pytest.fixture(name="regular")
def make_regular(service: httpx.Client, fresh_name: FreshName) -> str:
    """The chapter's rgnet."""
    name = fresh_name("rgnet")
    create(service, name, RGNET_JSON, seed=SEED)
    return name


def seeded_rgnet() -> nn.Sequential:
    torch.manual_seed(SEED)
    return rgnet().eval()


@pytest.mark.parametrize("path", ["2", "[2]"])
def test_p1_the_state_of_a_submodule_is_had_by_name_and_by_position(service: httpx.Client, net: str, path: str) -> None:
    wanted = chapter_net()[2].state_dict()
    items = listed(service, net, prefix=path)
    assert [item["name"] for item in items] == [f"2.{name}" for name in wanted]
    for item in items:
        assert_same(value_of(service, net, item["name"]), wanted[item["name"].removeprefix("2.")])
    module = service.get(f"/v1/networks/{net}/modules/{quote(path)}").json()
    assert (module["path"], module["type"], module["repr"]) == ("2", "Linear", repr(chapter_net()[2]))
    assert module["parameters"] == [
        {"name": "weight", "shape": [1, 8], "dtype": "float32"},
        {"name": "bias", "shape": [1], "dtype": "float32"},
    ]


def test_p1_every_module_of_a_nested_net_gives_its_own_state(service: httpx.Client, regular: str) -> None:
    net = seeded_rgnet()
    assert_same_state(state_of(service, regular), net)
    for path, module in net.named_modules():
        wanted = [f"{path}.{name}" if path else name for name in module.state_dict()]
        assert [item["name"] for item in listed(service, regular, prefix=path)] == wanted
        described = service.get(f"/v1/networks/{regular}/modules/{quote(path)}" if path else _modules(regular)).json()
        assert (described["path"], described["type"]) == (path, type(module).__name__)
        assert described["repr"] == repr(module)
        assert [child["path"].split(".")[-1] for child in described["children"]] == [
            name for name, _ in module.named_children()
        ]


def _modules(network: str) -> str:
    return f"/v1/networks/{network}/modules"


def test_p1_a_module_that_is_not_there_is_404_and_what_is_near_is_named(service: httpx.Client, regular: str) -> None:
    for url in (f"{_modules(regular)}/0.block%204", f"/v1/networks/{regular}/parameters?prefix=0.block%204"):
        reply = service.get(url)
        assert (reply.status_code, reply.json()["code"]) == (404, "not-found")
        assert "block 3" in reply.json()["detail"]


def test_p2_one_parameter_has_value_dtype_shape_device_and_no_gradient_yet(service: httpx.Client, net: str) -> None:
    bias = chapter_net()[2].bias
    shown = parameter(service, net, "2.bias")
    assert_same(from_json(shown.pop("value")), bias.detach())
    assert shown == {
        "name": "2.bias",
        "kind": "parameter",
        "dtype": "float32",
        "shape": [1],
        "device": "cpu:0",
        "requires_grad": True,
        "tied_to": [],
        "grad": None,
        "grad_revision": None,
        "revision": 1,
    }
    weight = parameter(service, net, "2.weight")
    assert "grad" in weight
    assert weight["grad"] is chapter_net()[2].weight.grad is None


@pytest.mark.parametrize("name", ["0.weight", "[0].weight"])
def test_p2_a_parameter_has_one_value_in_every_format(service: httpx.Client, net: str, name: str) -> None:
    wanted = chapter_net()[0].weight.detach()
    url = f"/v1/networks/{net}/parameters/{quote(name)}"
    assert_same(from_json(service.get(url).json()["value"]), wanted)
    assert_same(value_of(service, net, name), wanted)
    reply = service.get(url, headers={"Accept": NPY})
    assert reply.headers["content-type"] == NPY
    assert_same(from_npy(reply.content), wanted)
    assert service.get(url, headers={"Accept": SAFETENSORS}).headers["content-type"] == SAFETENSORS


@pytest.mark.parametrize(
    ("index", "part"),
    [
        ("0", lambda w: w[0]),
        ("0, :", lambda w: w[0, :]),
        (":, 0", lambda w: w[:, 0]),
        ("0, 0", lambda w: w[0, 0]),
        ("..., ::2", lambda w: w[..., ::2]),
        ("-1", lambda w: w[-1]),
        ("2:4, 1:", lambda w: w[2:4, 1:]),
    ],
)
def test_p2_a_part_of_a_parameter_is_what_the_index_takes(
    service: httpx.Client, net: str, index: str, part: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    shown = parameter(service, net, "0.weight", index=index)
    assert_same(from_json(shown["value"]), part(chapter_net()[0].weight.detach()))
    assert shown["shape"] == [8, 4]


def test_p3_the_list_is_named_parameters_of_the_whole_and_of_a_part(service: httpx.Client, net: str) -> None:
    twin = chapter_net()
    shown = [(item["name"], item["shape"]) for item in listed(service, net)]
    assert shown == [(name, list(value.shape)) for name, value in twin.named_parameters()]
    part = [(item["name"], item["shape"]) for item in listed(service, net, prefix="0")]
    assert part == [(name, list(value.shape)) for name, value in twin[0].named_parameters(prefix="0")]
    assert_same(value_of(service, net, "2.bias"), twin.state_dict()["2.bias"].data)


def test_p3_buffers_follow_parameters_and_links_lead_to_the_values(
    service: httpx.Client, fresh_name: FreshName
) -> None:
    name = fresh_name("p3")
    create(service, name, ["Linear(20, 20)", "BatchNorm1d(20)", FIXED_HIDDEN_MLP_JSON], seed=SEED)
    items = listed(service, name)
    buffers = ["1.running_mean", "1.running_var", "1.num_batches_tracked", "2.rand_weight"]
    assert [item["name"] for item in items if item["kind"] == "buffer"] == buffers
    assert [item["name"] for item in items][-4:] == buffers
    for item in items:
        shown = service.get(item["link"]).json()
        assert {key: shown[key] for key in ("name", "kind", "shape", "dtype", "requires_grad", "tied_to")} == {
            key: item[key] for key in ("name", "kind", "shape", "dtype", "requires_grad", "tied_to")
        }
    assert items[-2]["dtype"] == "int64"


def test_p4_the_printed_tree_is_pytorch_s(service: httpx.Client, regular: str) -> None:
    net = seeded_rgnet()
    for reply in (
        service.get(_modules(regular), headers={"Accept": "text/plain"}),
        service.get(f"{_modules(regular)}?format=text"),
    ):
        assert reply.headers["content-type"].startswith("text/plain")
        assert reply.text.rstrip("\n") == str(net)
    part = service.get(f"{_modules(regular)}/{quote('0.block 1')}", headers={"Accept": "text/plain"})
    assert part.text.rstrip("\n") == str(net[0][1])
    x = torch.rand(2, 4)
    with torch.no_grad():
        assert_same(run(service, regular, x)["output"], net(x))


@pytest.mark.parametrize("name", ["[0][1][0].bias", "0.block 1.0.bias", "0[1].0.bias", "[0].block 1[0].bias"])
def test_p4_a_bias_deep_inside_is_reached_by_positions_by_names_and_by_both(
    service: httpx.Client, regular: str, name: str
) -> None:
    shown = parameter(service, regular, name)
    assert shown["name"] == "0.block 1.0.bias"
    assert_same(from_json(shown["value"]), seeded_rgnet()[0][1][0].bias.detach())


def test_p4_the_four_blocks_have_their_names_and_draw_their_own_values(service: httpx.Client, regular: str) -> None:
    children = service.get(f"{_modules(regular)}/0").json()["children"]
    assert [child["path"] for child in children] == [f"0.block {i}" for i in range(4)]
    biases = [value_of(service, regular, f"0.block {i}.0.bias") for i in range(4)]
    assert len({tuple(bias.tolist()) for bias in biases}) == 4


def test_p4_a_network_that_is_its_own_architecture_again(
    service: httpx.Client, regular: str, fresh_name: FreshName
) -> None:
    again = fresh_name("rgnet")
    create(service, again, service.get(f"/v1/networks/{regular}/architecture").json(), seed=SEED)
    assert_same_state(state_of(service, again), seeded_rgnet())
    original = service.get(f"/v1/networks/{regular}/architecture?original=true").json()
    assert original == RGNET_JSON
