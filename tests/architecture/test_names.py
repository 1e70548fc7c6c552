"""Names: which may be given, what they mean where, and how mistakes in them are told."""

import pytest
import torch

from app.architecture.call import call
from app.architecture.resolve import check_block
from app.errors import Unprocessable
from tests.architecture.building import LIMITS, built, refusal, refused, resolved

OWN = {"inputs": ["x"], "forward": "return x"}


TIED = {"children": {"a": "Linear(2, 2)", "b": "Linear(2, 2)"}}


def graph(*nodes):
    """A graph of one input `x` and the output `a`, each node an id, a call and its only input."""
    written = [{"id": name, "call": called, "inputs": [given]} for name, called, given in nodes]
    return {"inputs": ["x"], "nodes": written, "outputs": ["a"]}


def check(name, definition, library=None):
    return check_block(name, definition, library=(library or {}).get, limits=LIMITS, pointer="/definition")


@pytest.mark.parametrize(
    "name", ["", "a.b", 'a"b', "a'b", "a\nb", "a\x7fb", "a\u2028b", "forward", "training", "_modules", "x" * 300]
)
def test_names_that_a_child_may_not_have(name):
    pointer = "/architecture/children/" + name
    refused({"children": {name: "ReLU()"}}, "bad-name", pointer)
    refused({"type": "Sequential", "layers": {name: "ReLU()"}}, "bad-name", "/architecture/layers/" + name)
    refused({"parameters": {name: "zeros(1)"}}, "bad-name", "/architecture/parameters/" + name)


@pytest.mark.parametrize("name", ["block 0", "b/c", "\u5c42", "a-b", "0", "norm", "[0]", "~"])
def test_names_that_a_child_may_have(name):
    net = built({"type": "Sequential", "layers": {name: "Linear(2, 2)"}})
    assert list(net.state_dict()) == [f"{name}.weight", f"{name}.bias"]


def test_a_child_of_a_container_may_not_hide_what_the_container_has():
    refused({"type": "Sequential", "layers": {"append": "ReLU()"}}, "bad-name", "/architecture/layers/append")
    refused({"type": "ModuleDict", "layers": {"keys": "ReLU()"}}, "bad-name", "/architecture/layers/keys")
    refused({"type": "ModuleList", "layers": {"a": "ReLU()"}}, "bad-name", "/architecture/layers/a")


def test_an_unknown_key_is_told_with_what_is_near_or_else_with_all():
    near = refused({**OWN, "fordward": 1}, "unknown-key", "/architecture/fordward")
    assert near.startswith("unknown key 'fordward'; did you mean forward? This form takes ")
    far = refused({**OWN, "zzz": 1}, "unknown-key", "/architecture/zzz")
    assert far.startswith("unknown key 'zzz'. This form takes ")


def test_two_children_of_one_name_are_refused():
    layers = ["ReLU()", {"repeat": 2, "name": "a", "block": "ReLU()"}]
    refused({"type": "Sequential", "layers": layers}, "duplicate-name", "/architecture/layers/1")
    refused(
        {"children": {"a": "ReLU()"}, "constants": {"a": "zeros(1)"}}, "duplicate-name", "/architecture/constants/a"
    )
    refused({"inputs": ["x", "x"], "forward": "return x"}, "duplicate-name", "/architecture/inputs/1")
    refused({"hyperparameters": ["d", "d"], **OWN}, "duplicate-name", "/architecture/hyperparameters/1")


def test_a_hyperparameter_and_a_member_share_a_name_only_as_one_thing():
    refused(
        {"hyperparameters": {"w": 3}, "parameters": {"w": "zeros(w)"}}, "duplicate-name", "/architecture/parameters/w"
    )
    net = built(
        {"hyperparameters": {"act": "ReLU()"}, "children": {"act": "act"}, "inputs": ["x"], "forward": "return act(x)"}
    )
    assert call(net, torch.tensor([-1.0, 1.0]), limits=LIMITS).outputs["output"].tolist() == [0, 1]


@pytest.mark.parametrize(
    "name", ["Linear", "Sequential", "relu", "len", "range", "torch", "self", "pi", "1a", "if", "a b", "__x"]
)
def test_names_that_a_block_may_not_have(name):
    refused({"blocks": {name: OWN}, "block": "ReLU()"}, "bad-name", "/architecture/blocks/" + name)
    with pytest.raises(Unprocessable) as caught:
        check(name, OWN)
    assert caught.value.code == "bad-name"


@pytest.mark.parametrize("name", ["2d", "a b", "lambda", "self", "inf", "__d"])
def test_names_that_a_hyperparameter_may_not_have(name):
    refused({"hyperparameters": {name: 1}, **OWN}, "bad-name", "/architecture/hyperparameters/" + name)


def test_a_hyperparameter_of_all_children_may_not_hide_what_a_module_has():
    block = {"hyperparameters": ["*modules"], "children": "modules", **OWN}
    refused({"blocks": {"B": block}, "block": "B(ReLU())"}, "bad-name", "/architecture/blocks/B/children")


def test_a_named_block_sees_its_own_hyperparameters_only():
    document = {"hyperparameters": {"d": 3}, "blocks": {"B": ["Linear(d, d)"]}, "block": "B()"}
    refused(document, "bad-expression", "/architecture/blocks/B/0")


def test_an_unnamed_block_sees_the_hyperparameters_around_it():
    net = built(
        {
            "hyperparameters": {"d": 3},
            "children": {"a": {"parameters": {"w": "zeros(d)"}, "inputs": ["x"], "forward": "return x * d"}},
        }
    )
    assert net.a.w.shape == (3,)


def test_inline_blocks_hide_those_of_the_library_and_inner_ones_outer_ones():
    library = {"B": "Linear(1, 1)"}
    document = {
        "blocks": {"B": "Linear(2, 2)"},
        "type": "ModuleList",
        "layers": ["B()", {"blocks": {"B": "Linear(3, 3)"}, "block": "B()"}],
    }
    assert [child.in_features for child in built(document, library)] == [2, 3]


def test_a_library_block_never_sees_blocks_of_a_network():
    library = {"A": ["C()"], "C": "Linear(1, 1)"}
    for document in (
        {"blocks": {"C": "Linear(2, 2)"}, "type": "ModuleList", "layers": ["A()", "C()"]},
        {"blocks": {"C": "Linear(2, 2)"}, "children": {"0": "A()", "1": "C()"}},
    ):
        net = built(document, library)
        assert net.get_submodule("0.0").in_features == 1
        assert net.get_submodule("1").in_features == 2
        assert type(net).__name__ in ("ModuleList", "Block")
        once = resolved(document, library)
        assert resolved(once, {"C": "Linear(9, 9)"}) == once


def test_a_library_block_with_inline_blocks_keeps_them():
    library = {"A": {"blocks": {"C": "Linear(5, 5)"}, "block": ["C()", "D()"]}, "D": ["C()"], "C": "Linear(1, 1)"}
    net = built("A()", library)
    assert (net[0].in_features, net[1][0].in_features) == (5, 1)


def test_a_network_keeps_its_copy_of_the_library():
    library = {"B": "Linear(1, 1)"}
    once = resolved(["B()"], library)
    library["B"] = "Linear(2, 2)"
    assert built(once, library)[0].in_features == 1


def test_recursion_among_blocks_is_refused():
    refused({"blocks": {"A": ["A()"]}, "block": "A()"}, "cycle", "/architecture/blocks/A")
    document = {"blocks": {"A": ["B()"], "B": "A() if 1 > 2 else ReLU()"}, "block": "ReLU()"}
    assert "A -> B -> A" in refused({**document, "block": "A()"}, "cycle", "/architecture/blocks/A")
    refused(
        {"type": "Sequential", "layers": ["ReLU()", "A()"]},
        "cycle",
        "/architecture/layers/1",
        {"A": ["B()"], "B": ["A()"]},
    )
    shared = {"a": [{"ref": "b"}], "b": [{"ref": "a"}]}
    refused({"shared": shared, "type": "Sequential", "layers": []}, "cycle", "/architecture/shared/a")


def test_a_registered_block_may_not_use_itself():
    for definition, library in ((["A()"], {}), (["B()"], {"B": ["A()"], "A": "ReLU()"})):
        with pytest.raises(Unprocessable) as caught:
            check("A", definition, library)
        assert (caught.value.code, caught.value.places[0].pointer) == ("cycle", "/definition")


def test_a_registered_block_tells_the_library_blocks_it_uses_itself():
    library = {"B": ["C()"], "C": "ReLU()", "D": "ReLU()"}
    definition = {
        "hyperparameters": ["n"],
        "blocks": {"D": "ReLU()"},
        "type": "Sequential",
        "layers": ["C()", "B()", "D()", "Linear(n, n)"],
    }
    assert check("A", definition, library) == ["C", "B"]


@pytest.mark.parametrize(
    ("definition", "code", "pointer"),
    [
        (["Liner(2, 2)"], "unknown-layer", "/definition/0"),
        ({"inputs": ["x"], "forward": ["y = x", "return z"]}, "bad-expression", "/definition/forward/1"),
        ({"hyperparameters": ["n"], "parameters": {"w": "zeros(m)"}}, "bad-expression", "/definition/parameters/w"),
        ({"forwrd": "return 1"}, "unknown-key", "/definition/forwrd"),
    ],
)
def test_errors_of_a_registered_block_stand_under_its_definition(definition, code, pointer):
    with pytest.raises(Unprocessable) as caught:
        check("A", definition)
    assert (caught.value.code, caught.value.places[0].pointer) == (code, pointer)


def test_an_error_in_the_use_of_a_named_block_is_told_at_the_use():
    library = {"MyLinear": {"hyperparameters": ["n", "m"], "children": {"a": "Linear(n, m)"}}}
    refused(["ReLU()", "MyLinear(3)"], "missing-hyperparameter", "/architecture/1", library)
    refused({"type": "MyLinear", "args": [3]}, "missing-hyperparameter", "/architecture", library)
    words = refused(["MyLinear(3, 2.5)"], "bad-arguments", "/architecture/0", library)
    assert words.startswith("in block MyLinear: Linear's out_features is an integer, not 2.5")
    refused(
        {"type": "MyLinear", "args": [3, 2], "kwargs": {"k": 1}}, "bad-arguments", "/architecture/kwargs/k", library
    )
    refused({"type": "MyLinear", "args": [3, 2, 1]}, "bad-arguments", "/architecture/args/2", library)
    tied = {
        "T": {
            "hyperparameters": ["n"],
            "children": {"a": "Linear(n, 2)", "b": "Linear(3, 2)"},
            "ties": [["a.weight", "b.weight"]],
        }
    }
    refused(["T(3)", "T(4)"], "bad-tie", "/architecture/1", tied)


def test_near_names_are_offered():
    assert "did you mean Linear" in refused("Liner(2, 2)", "unknown-layer", "/architecture")
    assert "did you mean layers" in refused({"type": "Sequential", "layer": []}, "unknown-key", "/architecture/layer")
    assert "ReLU(" in refused("ReLU", "bad-expression", "/architecture")
    words = refusal({"shared": {"head": "ReLU()"}, "type": "Sequential", "layers": [{"ref": "haed"}]}).detail
    assert "did you mean head" in words


@pytest.mark.parametrize(
    ("document", "code", "pointer"),
    [
        (3, "bad-arguments", ""),
        (None, "bad-arguments", ""),
        ({}, "bad-arguments", ""),
        ({"type": 3}, "bad-arguments", "/type"),
        ({"type": "Sequential", "layers": 5}, "bad-arguments", "/layers"),
        ({"type": "Sequential", "layers": [None]}, "bad-arguments", "/layers/0"),
        ({"type": "Linear", "args": 5}, "bad-arguments", "/args"),
        ({"children": {"a": "Linear(2, "}}, "bad-expression", "/children/a"),
        ({"children": {"a": "1 + 1"}}, "bad-arguments", "/children/a"),
        ({"children": {"a": "__import__('os')"}}, "bad-expression", "/children/a"),
        (["Linear(2, d)"], "bad-expression", "/0"),
        ([{"ref": "a"}], "unknown-name", "/0/ref"),
        ({"hyperparameters": ["d"], "block": "ReLU()"}, "missing-hyperparameter", "/hyperparameters/0"),
        ({"hyperparameters": {"d": None}, "block": "ReLU()"}, "missing-hyperparameter", "/hyperparameters/d"),
        ([{"repeat": "2.5", "block": "ReLU()"}], "bad-arguments", "/0/repeat"),
        ([{"repeat": True, "block": "ReLU()"}], "bad-arguments", "/0/repeat"),
        ([{"repeat": -1, "block": "ReLU()"}], "bad-arguments", "/0/repeat"),
        ([{"repeat": 2}], "bad-arguments", "/0"),
        ([{"repeat": 2, "name": "a{i", "block": "ReLU()"}], "bad-expression", "/0/name"),
        ([{"repeat": 2, "name": "a{j}", "block": "ReLU()"}], "bad-expression", "/0/name"),
        ([{"repeat": 2, "name": "a.{i}", "block": "ReLU()"}], "bad-name", "/0"),
        ({"parameters": {"w": "arange(3)"}}, "bad-arguments", "/parameters/w"),
        ({"parameters": {"w": "'text'"}}, "bad-arguments", "/parameters/w"),
        ({"parameters": {"w": True}}, "bad-arguments", "/parameters/w"),
        ({"parameters": {"w": "zeros(3) @ zeros(4)"}}, "shape-mismatch", "/parameters/w"),
        ({"constants": {"w": [[1], [1, 2]]}}, "bad-tensor", "/constants/w/1"),
        ({"constants": {"w": {"data": [1, 2], "shape": [3]}}}, "shape-mismatch", "/constants/w/data"),
        ({"constants": {"w": {"data": [300], "dtype": "int8"}}}, "bad-tensor", "/constants/w/data/0"),
        ({"constants": {"w": {"data": [1], "dtype": "f32"}}}, "bad-dtype", "/constants/w/dtype"),
        ({"constants": {"w": {"tensor": "x"}}}, "unknown-name", "/constants/w/tensor"),
        ({"constants": {"b": "a", "a": "zeros(1)"}}, "bad-expression", "/constants/b"),
        ({"children": {"a": "ReLU()"}, "ties": [["a.weight"]]}, "bad-tie", "/ties/0"),
        ({"children": {"a": "Linear(2, 2)"}, "ties": [["a.weight", "b.weight"]]}, "unknown-name", "/ties/0/1"),
        ({"children": {"a": "Linear(2, 2)"}, "ties": [["a.weight", "a.bias"]]}, "bad-tie", "/ties/0"),
        ({"children": {"a": "Linear(2, 2)"}, "ties": [["a.weight", "a"]]}, "bad-tie", "/ties/0"),
        ({"inputs": ["x"], "forward": ["y = x", "y ="]}, "bad-expression", "/forward/1"),
        ({"inputs": ["x"], "forward": "y = x\nreturn q"}, "bad-expression", "/forward"),
        ({"inputs": ["x"], "forward": ["return x", "x[0] = 1"]}, "bad-expression", "/forward/1"),
        ({"children": {"a": "ReLU()"}, "inputs": ["x"], "forward": ["return a"]}, "bad-output", "/forward/0"),
        ({"forward": ["return 'abc'"]}, "bad-output", "/forward/0"),
        ({"inputs": ["x"], "forward": ["y = x", "return y, (x, 'abc')"]}, "bad-output", "/forward/1"),
        ({"inputs": ["x"], "forward": ["return {'a': x, 'b': ['abc']}"]}, "bad-output", "/forward/0"),
        ({"inputs": "x", "forward": "return x"}, "bad-arguments", "/inputs"),
        ({"inputs": ["x"], "forward": "return x", "nodes": []}, "unknown-key", "/forward"),
        (graph(("a", "relu", "q")), "unknown-name", "/nodes/0/inputs/0"),
        (graph(("a", "reluu", "x")), "unknown-name", "/nodes/0/call"),
        (graph(("b", "relu", "x")), "unknown-name", "/outputs/0"),
        (graph(("x", "relu", "x")), "duplicate-name", "/nodes/0/id"),
        (graph(("a", "relu", "b"), ("b", "relu", "a")), "cycle", "/nodes/0"),
        ({"inputs": ["x"], "nodes": []}, "bad-output", ""),
        ({"inputs": ["x"], "nodes": [], "outputs": []}, "bad-output", "/outputs"),
        ({"inputs": ["x"], "nodes": [], "outputs": {"a/b~": "q"}}, "unknown-name", "/outputs/a~1b~0"),
        ({**TIED, "ties": ["a.weight"]}, "bad-tie", "/ties/0"),
        ({**TIED, "ties": [["a.weight"]]}, "bad-tie", "/ties/0"),
        ({**TIED, "ties": [["a.weight", 1]]}, "bad-tie", "/ties/0"),
        ({**TIED, "ties": [{"a.weight": "b.weight"}]}, "bad-tie", "/ties/0"),
    ],
)
def test_mistakes_are_told_with_their_code_and_place(document, code, pointer):
    refused(document, code, "/architecture" + pointer)


def test_a_hint_says_that_a_parameter_s_text_is_the_tensor_alone():
    message = refused({"parameters": {"w": "nn.Parameter(randn(3))"}}, "bad-expression", "/architecture/parameters/w")
    assert "randn(3, 4), not nn.Parameter" in message
