"""Calling networks: names of inputs and outputs, captures, what stays unchanged, and failures in words."""

import pytest
import torch
from torch import nn

from app.architecture.call import call, inputs_of
from app.architecture.untouched import untouched
from app.errors import LabError
from app.settings import Limits
from tests.architecture.building import LIMITS, built


def outputs(net, *args, **kwargs):
    return call(net, *args, limits=LIMITS, **kwargs).outputs


def failure(net, inputs, **kwargs):
    with pytest.raises(LabError) as caught:
        call(net, inputs, **{"limits": LIMITS, **kwargs})
    return caught.value


def block(*lines, inputs=("x",), **members):
    return built({**members, "inputs": list(inputs), "forward": list(lines)})


def test_inputs_are_named_as_in_the_block_or_as_in_pytorch():
    def names(document):
        return [(one.name, one.required) for one in inputs_of(built(document))]

    assert names({"inputs": ["X", "mask=None"], "forward": "return X"}) == [("X", True), ("mask", False)]
    assert names("Linear(2, 2)") == [("input", True)]
    assert names(["Linear(2, 2)"]) == [("input", True)]
    assert names("Bilinear(2, 2, 2)") == [("input1", True), ("input2", True)]
    assert names("MultiheadAttention(4, 2)")[:3] == [("query", True), ("key", True), ("value", True)]
    assert names("LSTM(2, 2)") == [("input", True)]
    assert names("GRU(2, 2)") == [("input", True), ("hx", False)]


def test_one_tensor_goes_to_the_only_input_that_must_be_given():
    net = block("return x if mask is None else x * mask", inputs=("x", "mask=None"))
    x = torch.ones(2)
    assert torch.equal(outputs(net, x)["output"], x)
    assert torch.equal(outputs(net, {"x": x, "mask": x * 2})["output"], x * 2)


def test_missing_and_unknown_inputs_are_told_by_name():
    net = block("return x + y", inputs=("x", "y", "z=None"))
    x = torch.ones(2)
    for inputs, code, pointer in (
        ({"x": x}, "bad-arguments", "/inputs/y"),
        (x, "bad-arguments", "/inputs/y"),
        ({"x": x, "y": x, "w": x}, "unknown-name", "/inputs/w"),
        ({}, "bad-arguments", "/inputs/x"),
    ):
        error = failure(net, inputs)
        assert (error.code, error.places[0].pointer) == (code, pointer)
        assert "z (may be left out)" in error.detail
    assert failure(built({"parameters": {"w": "zeros(1)"}, "forward": "return w"}), x).places[0].pointer == "/inputs"


def test_outputs_are_named_by_place_or_by_the_block():
    x = torch.ones(2)
    assert list(outputs(block("return x, (x, [x, None])"), x)) == ["output_0", "output_1_0", "output_1_1_0"]
    assert list(outputs(block('return {"mean": x, "code": (x, x)}'), x)) == ["mean", "code_0", "code_1"]
    assert list(outputs(block("return None"), x)) == []
    assert list(outputs(block("return (x,)"), x)) == ["output_0"]
    assert list(outputs(block("return x.max(0)"), x)) == ["output_0", "output_1"]
    assert list(outputs(built("LSTM(2, 3)"), torch.ones(1, 2))) == ["output_0", "output_1_0", "output_1_1"]


def test_numbers_become_tensors_of_no_dimension():
    named = outputs(block("return 1, 2.5, x.ndim > 3, x.shape"), torch.ones(2, 3))
    assert {key: (value.dtype, value.item()) for key, value in named.items()} == {
        "output_0": (torch.int64, 1),
        "output_1": (torch.float32, 2.5),
        "output_2": (torch.bool, False),
        "output_3_0": (torch.int64, 2),
        "output_3_1": (torch.int64, 3),
    }


def test_what_is_no_output_is_refused():
    x = torch.ones(2)
    assert failure(block('return {"a_0": x, "a": (x,)}'), x).code == "bad-output"
    assert failure(block('y = "text"', "return y"), x).code == "bad-output"


def test_tensors_are_made_in_the_dtype_of_the_network():
    net = block("return x + zeros(2), 0.5", parameters={"w": "zeros(1)"}).to(torch.float64)
    named = outputs(net, torch.ones(2, dtype=torch.float64))
    assert {value.dtype for value in named.values()} == {torch.float64}
    assert outputs(block("return zeros(2)"), torch.ones(1), dtype=torch.float16)["output"].dtype == torch.float16


def test_captures_are_what_the_named_modules_gave():
    net = built([["Linear(4, 3)", "ReLU(inplace=True)"], "LSTM(3, 2)"])
    x = torch.randn(5, 4)
    called = call(net, x, capture=["0.0", "[0][1]", "1"], limits=LIMITS)
    linear = net[0][0](x)
    assert torch.equal(called.captured["0.0"], linear)
    assert torch.equal(called.captured["[0][1]"], torch.relu(linear))
    assert list(called.captured)[2:] == ["1.output_0", "1.output_1_0", "1.output_1_1"]
    assert torch.equal(called.captured["1.output_0"], called.outputs["output_0"])
    assert not net[0][0]._forward_hooks


def test_of_several_calls_the_last_is_captured_and_what_was_not_called_is_left_out():
    net = block("return a(a(x))", children={"a": "Linear(2, 2)", "b": "ReLU()"})
    x = torch.ones(1, 2)
    called = call(net, x, capture=["a", "b"], limits=LIMITS)
    assert list(called.captured) == ["a"]
    assert torch.equal(called.captured["a"], net.a(net.a(x)))


def test_an_unknown_capture_is_told_with_what_is_near():
    error = failure(
        built({"type": "Sequential", "layers": {"hidden": "Linear(2, 2)"}}), torch.ones(2), capture=["hiden"]
    )
    assert (error.code, error.places[0].pointer) == ("unknown-name", "/capture/0")
    assert "did you mean hidden" in error.detail


def test_a_shape_error_names_the_child_that_raised_and_the_line_it_was_called_in():
    net = block(
        "y = first(x)", "return rest(y)", children={"first": "Linear(4, 3)", "rest": ["ReLU()", "Linear(2, 1)"]}
    )
    error = failure(net, torch.ones(5, 4))
    assert error.code == "shape-mismatch"
    assert error.extra == {"child": "rest.1", "line": 2}
    assert "Linear(in_features=2, out_features=1" in error.detail
    assert "input [5, 3] float32" in error.detail
    error = failure(net, {"x": torch.ones(5, 7)})
    assert (error.extra["child"], error.places[0].pointer) == ("first", "/inputs/x")


@pytest.mark.parametrize(
    ("document", "x", "code"),
    [
        ("Linear(2, 2)", torch.ones(3), "shape-mismatch"),
        ("Linear(2, 2)", torch.ones(2, dtype=torch.int64), "bad-arguments"),
        ("Embedding(3, 2)", torch.tensor([5]), "bad-arguments"),
        ("Embedding(3, 2)", torch.ones(2), "bad-arguments"),
        ("Conv2d(3, 4, 1)", torch.ones(1, 2, 5, 5), "shape-mismatch"),
        ("BatchNorm1d(3)", torch.ones(2, 4), "shape-mismatch"),
        ("LSTM(3, 4)", torch.ones(2, 4), "shape-mismatch"),
        ({"inputs": ["x"], "forward": "return x @ x"}, torch.ones(2, 3), "shape-mismatch"),
        ({"inputs": ["x"], "forward": "return x[7]"}, torch.ones(2), "bad-arguments"),
        (
            {"inputs": ["x"], "forward": ["while x.sum() > 0:", "    x = x", "return x"]},
            torch.ones(1),
            "limit-exceeded",
        ),
        ({"inputs": ["x"], "forward": "return zeros(1000000, 1000000)"}, torch.ones(1), "limit-exceeded"),
        ({"inputs": ["x"], "forward": "return x.expand(1000000, 1000000).exp()"}, torch.ones(1), "limit-exceeded"),
        (
            {"children": {"a": "Linear(1, 1)"}, "inputs": ["x"], "forward": "return x if x.sum() < 0 else a.wight"},
            torch.ones(1),
            "bad-expression",
        ),
        ({"type": "ModuleList", "layers": ["ReLU()"]}, torch.ones(1), "bad-arguments"),
        ({"children": {"a": "ReLU()"}}, torch.ones(1), "bad-arguments"),
        ("Transformer(4, 2, 1, 1, 4)", {"src": torch.ones(1, 4), "tgt": torch.ones(2, 5)}, "shape-mismatch"),
        (
            "CrossEntropyLoss()",
            {"input": torch.ones(2, 3), "target": torch.ones(3, dtype=torch.int64)},
            "shape-mismatch",
        ),
        ("MaxPool2d(9)", torch.ones(1, 1, 3, 3), "shape-mismatch"),
    ],
)
def test_every_failure_is_an_error_with_a_code_of_the_contract(document, x, code):
    error = failure(built(document), x, limits=Limits(loop_steps=50))
    assert error.code == code, error.detail
    assert error.detail
    assert "Traceback" not in error.detail


@pytest.mark.parametrize("inference", [True, False])
def test_a_forward_in_mode_train_leaves_the_network_as_it_was(inference):
    net = built(["BatchNorm1d(4)", "InstanceNorm1d(4, track_running_stats=True)"]).train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    x = torch.randn(3, 4, 5)
    with torch.inference_mode(inference), untouched(net):
        call(net, x, limits=LIMITS)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    call(net, x, limits=LIMITS)
    assert int(net[0].num_batches_tracked) == 1


def test_an_embedding_that_renormalises_leaves_its_weights_as_they_were():
    net = built("Embedding(5, 3, max_norm=0.1)").eval()
    before = net.weight.clone()
    with torch.inference_mode(), untouched(net):
        given = outputs(net, torch.tensor([0, 1]))["output"]
    assert torch.equal(net.weight, before)
    assert float(given.norm(dim=1).max()) < 0.11


def test_layers_that_work_in_place_change_neither_inputs_nor_what_is_saved():
    members = {"children": {"act": "ReLU(inplace=True)"}, "constants": {"c": "tensor([-1., 1.])"}}
    net = block("return act(x) + act(c) + c + act(c[:1])", **members)
    x = torch.tensor([-2.0, 2.0])
    assert outputs(net, x)["output"].tolist() == [-1, 4]
    assert x.tolist() == [-2, 2]
    assert net.c.tolist() == [-1, 1]
    assert str(built(["ReLU(inplace=True)"])) == str(nn.Sequential(nn.ReLU(inplace=True)))


def test_a_layer_that_works_in_place_changes_no_parameter_however_it_is_given():
    members = {"children": {"act": "ReLU(inplace=True)"}, "parameters": {"w": "tensor([-1., 1.])"}}
    net = block("return x + act(input=w)", **members)
    with torch.no_grad():
        assert outputs(net, torch.zeros(2))["output"].tolist() == [0, 1]
    assert net.w.tolist() == [-1, 1]
    net = block(
        "return x + drop(input=c) + drop(c)",
        children={"drop": "Dropout(0.5, inplace=True)"},
        constants={"c": "ones(8)"},
    )
    net.train()
    outputs(net, torch.zeros(8))
    assert net.c.tolist() == [1] * 8


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"parameters": {"w": "randn(3)"}}, "no forward"),
        ({"children": {"a": "Linear(2, 2)"}}, "no forward"),
        ({"type": "ModuleList", "layers": ["Linear(2, 2)"]}, "ModuleList holds children without a forward"),
        ({"type": "ModuleDict", "layers": {"a": "Linear(2, 2)"}}, "ModuleDict holds children without a forward"),
    ],
)
def test_a_network_without_a_forward_has_no_inputs_and_cannot_be_run(document, words):
    net = built(document)
    assert inputs_of(net) == []
    for given in (torch.ones(2), {"x": torch.ones(2)}, {}):
        error = failure(net, given)
        assert (error.code, error.places[0].pointer) == ("bad-arguments", "/inputs")
        assert words in error.detail
