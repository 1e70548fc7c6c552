"""Modules and parameters by path, in PyTorch's order."""

import pytest
import torch

from app.architecture.describe import canonical_parameter, describe_modules, find_module, list_parameters
from app.errors import NotFound
from tests.architecture.building import built

DOCUMENT = {
    "shared": {"s": "Linear(2, 2)"},
    "children": {
        "a": {"ref": "s"},
        "block 1": ["Linear(2, 3)", {"type": "ModuleList", "layers": ["BatchNorm1d(3)"]}],
        "b": {"ref": "s"},
    },
    "parameters": {"w": "zeros(3)"},
    "constants": {"c": "zeros(3)"},
}


def test_modules_are_found_by_names_and_positions():
    net = built(DOCUMENT)
    for path in ("block 1.1.0", "[1][1][0]", "block 1[1][0]", "[1].1[0]"):
        assert find_module(net, path) == ("block 1.1.0", net.get_submodule("block 1")[1][0])
    assert find_module(net, "") == ("", net)


@pytest.mark.parametrize("path", ["block 2", "[7]", "block 1.9", "a.weight", ".", "[0]x", "[99999999999]"])
def test_an_unknown_module_is_not_found(path):
    with pytest.raises(NotFound):
        find_module(built(DOCUMENT), path)


def test_near_names_are_offered():
    with pytest.raises(NotFound, match="did you mean block 1"):
        find_module(built(DOCUMENT), "blok 1")
    with pytest.raises(NotFound, match="did you mean weight"):
        canonical_parameter(built(DOCUMENT), "a.wieght")


def test_parameters_are_found_by_names_and_positions():
    net = built(DOCUMENT)
    for name in net.state_dict():
        assert canonical_parameter(net, name) == name
    assert canonical_parameter(net, "[1][0].bias") == "block 1.0.bias"
    with pytest.raises(NotFound, match="is a module"):
        canonical_parameter(net, "[1]")


def test_a_child_named_like_a_position_is_found_by_its_name():
    net = built({"type": "Sequential", "layers": {"[1]": "Linear(1, 1)", "b": "Linear(2, 2)"}})
    assert find_module(net, "[1]")[1].in_features == 1


def test_parameters_are_listed_in_pytorchs_order_each_once():
    net = built(DOCUMENT)
    listed = list_parameters(net, None)
    names = [name for name, _ in net.named_parameters()] + [name for name, _ in net.named_buffers()]
    assert [info.name for info in listed] == names
    by_name = {info.name: info for info in listed}
    assert by_name["a.weight"].tied_to == ["b.weight"]
    assert by_name["c"].kind == "buffer"
    assert not by_name["c"].requires_grad
    assert by_name["block 1.1.0.num_batches_tracked"].dtype == "int64"
    assert by_name["w"].shape == [3]


def test_a_prefix_lists_one_module_under_its_names():
    net = built(DOCUMENT)
    assert [info.name for info in list_parameters(net, "[1][0]")] == ["block 1.0.weight", "block 1.0.bias"]
    tied = list_parameters(net, "b")
    assert [(info.name, info.tied_to) for info in tied] == [("b.weight", ["a.weight"]), ("b.bias", ["a.bias"])]
    with pytest.raises(NotFound):
        list_parameters(net, "nowhere")


def test_the_tree_tells_path_type_repr_children_and_parameters():
    net = built(DOCUMENT)
    tree = describe_modules(net, "")
    assert (tree["path"], tree["type"], tree["repr"]) == ("", "Block", repr(net))
    assert [entry["name"] for entry in tree["parameters"]] == ["w", "c"]
    assert [child["path"] for child in tree["children"]] == ["a", "block 1", "b"]
    inner = describe_modules(net, "[1][0]")
    assert inner == {
        "path": "block 1.0",
        "type": "Linear",
        "repr": "Linear(in_features=2, out_features=3, bias=True)",
        "children": [],
        "parameters": [
            {"name": "weight", "shape": [3, 2], "dtype": "float32"},
            {"name": "bias", "shape": [3], "dtype": "float32"},
        ],
    }
    assert torch.is_tensor(net.w)
