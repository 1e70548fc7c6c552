"""Every form of a block, and the order in which it draws, against the same classes written by hand."""

import json

import pytest
import torch
from torch import nn

from app.architecture.build import build, build_on_meta
from app.architecture.call import call
from app.architecture.describe import print_tree
from app.architecture.materialise import materialise
from app.errors import Unprocessable
from tests.architecture.building import LIMITS, built, refused, resolved, same_parameters, same_state

RESIDUAL = {
    "hyperparameters": ["inner"],
    "children": {"fn": "inner"},
    "inputs": ["x"],
    "forward": "return x + fn(x)",
}


BAG = {"type": "EmbeddingBag", "args": ["d", 2], "kwargs": {"mode": "how"}}
SHORT = {
    "hyperparameters": ["c", "k", "s"],
    "children": {"p": "Conv2d(c, k, 1, stride=s) if c != k else Identity()"},
}


def seeded(make):
    torch.manual_seed(7)
    return make()


def output(net, *args, **kwargs):
    return call(net, *args, limits=LIMITS, **kwargs).outputs["output"]


def test_one_layer_is_written_in_four_ways():
    theirs = seeded(lambda: nn.Linear(20, 256))
    for document in (
        "Linear(20, 256)",
        "nn.Linear(20, out_features=256)",
        {"type": "Linear", "args": [20, 256]},
        {"type": "Linear", "kwargs": {"in_features": 20, "out_features": 256}},
    ):
        same_state(built(document), theirs)


def test_a_list_is_a_sequential_and_so_is_a_call_of_it():
    theirs = seeded(lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU()))
    for document in (
        ["Linear(4, 3)", "ReLU()"],
        "Sequential(Linear(4, 3), ReLU())",
        {"type": "Sequential", "args": ["Linear(4, 3)", "ReLU()"]},
        {"type": "Sequential", "layers": {"0": "Linear(4, 3)", "1": "ReLU()"}},
    ):
        ours = built(document)
        same_state(ours, theirs)
        assert print_tree(ours) == str(theirs)


def test_layers_as_an_object_keep_their_names_and_order():
    net = built({"type": "Sequential", "layers": {"block 1": "Linear(2, 3)", "block 0": "Linear(3, 2)"}})
    assert [name for name, _ in net.named_children()] == ["block 1", "block 0"]
    assert output(net, torch.rand(1, 2)).shape == (1, 2)


def test_repeats_count_and_name_their_children():
    net = built(
        {
            "hyperparameters": {"n": 2},
            "type": "Sequential",
            "layers": [
                "ReLU()",
                {"repeat": "n", "block": "Linear(4, 4)"},
                {"repeat": "n + 1", "name": "layer{i + 1}", "block": "Linear(4, 4)"},
                "Tanh()",
            ],
        }
    )
    assert [name for name, _ in net.named_children()] == ["0", "1", "2", "layer1", "layer2", "layer3", "6"]


def test_i_is_a_hyperparameter_of_the_repeated_block_and_an_inner_one_hides_an_outer_one():
    inner = {"type": "Sequential", "layers": ["Linear(i + 1, i + 2)", {"repeat": 2, "block": "Linear(i + 5, 1)"}]}
    net = built({"type": "ModuleList", "layers": [{"repeat": 2, "block": inner}]})
    sizes = [[child.in_features for child in part] for part in net]
    assert sizes == [[1, 5, 6], [2, 5, 6]]


def test_repeats_draw_one_after_another():
    ours = built([{"repeat": 3, "block": ["Linear(4, 4)", "LayerNorm(4)"]}])
    theirs = seeded(lambda: nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)) for _ in range(3)]))
    same_state(ours, theirs)


def test_a_repeat_inside_a_repeat_makes_all_children_in_a_row():
    net = built([{"repeat": 2, "block": {"repeat": 3, "block": "Linear(2, 2)"}}])
    assert [name for name, _ in net.named_children()] == list("012345")


def test_sections_and_entries_draw_in_the_order_they_are_written():
    ours = built(
        {
            "parameters": {"b": "randn(2)", "a": "rand(3)"},
            "children": {"z": "Linear(2, 2)", "y": "Linear(2, 3)"},
            "constants": {"c": "randn(2, 2)"},
        }
    )

    class Twin(nn.Module):
        def __init__(self):
            super().__init__()
            self.b = nn.Parameter(torch.randn(2))
            self.a = nn.Parameter(torch.rand(3))
            self.z = nn.Linear(2, 2)
            self.y = nn.Linear(2, 3)
            self.register_buffer("c", torch.randn(2, 2))

    same_state(ours, seeded(Twin))


def test_constants_come_before_parameters_where_they_are_written_before():
    ours = built({"constants": {"c": "rand(2)", "d": "c * 2"}, "parameters": {"w": "randn(2) + c", "v": "c"}})
    torch.manual_seed(7)
    c = torch.rand(2)
    assert torch.equal(ours.c, c)
    assert torch.equal(ours.d, c * 2)
    assert torch.equal(ours.w, torch.randn(2) + c)
    assert torch.equal(ours.v, c)
    assert ours.v.data_ptr() != ours.c.data_ptr()


def test_constants_may_be_tensors_in_json():
    net = built(
        {
            "constants": {
                "a": [[1, 2], [3, 4]],
                "b": {"dtype": "int64", "shape": [2, 1], "data": [5, 6]},
                "c": "tensor([[1., 2.]])",
                "d": 0.5,
                "e": {"data": ["NaN", "-Infinity"]},
                "f": [],
            },
            "parameters": {"w": [1.5, 2.5]},
        }
    )
    assert torch.equal(net.a, torch.tensor([[1.0, 2], [3, 4]]))
    assert torch.equal(net.b, torch.tensor([[5], [6]]))
    assert net.c.shape == (1, 2)
    assert net.d.shape == ()
    assert str(net.e.tolist()) == "[nan, -inf]"
    assert net.f.shape == (0,)
    assert net.w.requires_grad
    assert list(net.state_dict()) == ["w", "a", "b", "c", "d", "e", "f"]


def test_constants_in_json_are_read_as_inputs_are():
    net = built(
        {
            "constants": {
                "pair": {"dtype": "complex64", "shape": [1], "data": [[1, 2]]},
                "eight": {"dtype": "float8_e4m3fn", "data": [0.5, 1]},
                "flags": [True, False],
            }
        }
    )
    assert torch.equal(net.pair, torch.tensor([1 + 2j]))
    assert torch.equal(net.eight.float(), torch.tensor([0.5, 1.0]))
    assert net.eight.dtype == torch.float8_e4m3fn
    assert torch.equal(net.flags, torch.tensor([True, False]))


@pytest.mark.parametrize(
    ("value", "code", "pointer"),
    [
        ({"dtype": "complex64", "data": 1}, "bad-tensor", "/constants/c/data"),
        ([1, 1e300], "bad-tensor", "/constants/c/1"),
        ([[1, 2], [3]], "bad-tensor", "/constants/c/1"),
        ({"dtype": "uint8", "data": [1, 256]}, "bad-tensor", "/constants/c/data/1"),
        ({"dtype": "float7", "data": [1]}, "bad-dtype", "/constants/c/dtype"),
        ({"shape": [3], "data": [1, 2]}, "shape-mismatch", "/constants/c/data"),
        ({"tensor": "nowhere"}, "unknown-name", "/constants/c/tensor"),
    ],
)
def test_a_constant_that_is_no_tensor_is_refused_at_its_place(value, code, pointer):
    refused({"constants": {"c": value}}, code, "/architecture" + pointer)


def test_a_shared_module_is_drawn_where_shared_is_written():
    layers = ["Linear(4, 8)", {"ref": "s"}, {"ref": "s"}]
    first = built({"type": "Sequential", "shared": {"s": "Linear(8, 8)"}, "layers": layers})

    def make():
        s = nn.Linear(8, 8)
        return nn.Sequential(nn.Linear(4, 8), s, s)

    same_state(first, seeded(make))
    later = built({"type": "Sequential", "layers": layers, "shared": {"s": "Linear(8, 8)"}})

    def make_later():
        a, s = nn.Linear(4, 8), nn.Linear(8, 8)
        return nn.Sequential(a, s, s)

    same_state(later, seeded(make_later))


def test_a_ref_stands_wherever_a_block_may():
    net = built(
        {
            "shared": {"s": "Linear(4, 4)", "t": [{"ref": "s"}, "ReLU()"]},
            "children": {"a": {"ref": "s"}, "b": ["ReLU()", {"ref": "s"}], "c": {"ref": "t"}},
            "inputs": ["x"],
            "forward": "return c(b(a(x)))",
        }
    )
    assert net.a is net.b[1] is net.c[0]
    assert [name for name, _ in net.named_parameters()] == ["a.weight", "a.bias"]


def test_each_repeat_has_shared_modules_of_its_own():
    block = {"type": "Sequential", "shared": {"s": "Linear(4, 4)"}, "layers": [{"ref": "s"}, {"ref": "s"}]}
    net = built([{"repeat": 2, "block": block}])
    assert net[0][0] is net[0][1]
    assert net[0][0] is not net[1][0]


def test_a_hyperparameter_may_be_a_block_and_named_twice_it_is_one_module():
    document = {
        "blocks": {
            "Twice": {
                "hyperparameters": ["inner"],
                "children": {"a": "inner", "b": "inner", "c": "Linear(4, 4)"},
                "inputs": ["x"],
                "forward": "return c(b(a(x)))",
            }
        },
        "type": "Twice",
        "args": ["Linear(4, 4)"],
    }
    net = built(document)
    assert net.a is net.b
    theirs = seeded(lambda: [nn.Linear(4, 4), nn.Linear(4, 4)])
    assert torch.equal(net.a.weight, theirs[0].weight)
    assert torch.equal(net.c.weight, theirs[1].weight)


def test_blocks_as_arguments_are_drawn_in_the_order_of_the_call():
    blocks = {"Pair": {"hyperparameters": ["a", "b"], "children": {"a": "a", "b": "b"}}}
    net = built({"blocks": blocks, "block": "Pair(b=Linear(2, 2), a=Linear(2, 2))"})
    theirs = seeded(lambda: [nn.Linear(2, 2), nn.Linear(2, 2)])
    assert torch.equal(net.b.weight, theirs[0].weight)
    assert torch.equal(net.a.weight, theirs[1].weight)


def test_a_wrapper_takes_text_objects_and_lists():
    blocks = {"Residual": RESIDUAL}
    layers = [
        "Residual(Linear(4, 4))",
        {"type": "Residual", "args": ["Linear(4, 4)"]},
        {"type": "Residual", "kwargs": {"inner": {"type": "Linear", "args": [4, 4]}}},
        {"type": "Residual", "kwargs": {"inner": ["Linear(4, 4)", "ReLU()"]}},
        "Residual(Residual(Linear(4, 4)))",
    ]
    net = built({"type": "Sequential", "blocks": blocks, "layers": layers})
    assert [type(child).__name__ for child in net] == ["Residual"] * 5
    assert print_tree(net[3].fn) == str(nn.Sequential(nn.Linear(4, 4), nn.ReLU()))
    x = torch.rand(2, 4)
    assert torch.equal(net[0](x), x + net[0].fn(x))


def test_a_hyperparameter_has_a_default_that_may_be_an_expression_or_a_block():
    document = {
        "hyperparameters": {"d": 3, "wide": "4 * d", "act": "ReLU()", "how": "mean"},
        "children": {
            "a": "Linear(d, wide)",
            "act": "act",
            "bag": {"type": "EmbeddingBag", "args": ["d", 2], "kwargs": {"mode": "how"}},
        },
        "inputs": ["x"],
        "forward": "return act(a(x)) * d",
    }
    net = built(document)
    assert (net.a.out_features, type(net.act), net.bag.mode) == (12, nn.ReLU, "mean")


def test_a_conditional_chooses_between_layers():
    document = {
        "blocks": {"Short": SHORT},
        "type": "ModuleList",
        "layers": ["Short(4, 8, 2)", "Short(4, 4, 2)"],
    }
    net = built(document)
    assert str(net[0].p) == str(nn.Conv2d(4, 8, 1, stride=2))
    assert isinstance(net[1].p, nn.Identity)


def test_an_explicit_graph_runs_whatever_the_order_of_its_nodes():
    document = {
        "children": {"hidden": "Linear(4, 3)", "out": "Linear(6, 2)"},
        "inputs": ["x"],
        "nodes": [
            {"id": "y", "call": "out", "inputs": ["c"]},
            {"id": "c", "call": "cat", "inputs": [["a", "h"]], "kwargs": {"dim": -1}},
            {"id": "h", "call": "hidden", "inputs": ["x"]},
            {"id": "a", "call": "relu", "inputs": ["h"]},
        ],
        "outputs": ["y"],
    }
    net = built(document)
    x = torch.rand(2, 4)
    h = net.hidden(x)
    assert torch.equal(output(net, x), net.out(torch.cat([torch.relu(h), h], dim=-1)))
    document["outputs"] = {"wide": "c", "narrow": "y"}
    assert list(call(built(document), x, limits=LIMITS).outputs) == ["wide", "narrow"]


def test_module_lists_and_dicts_hold_children_and_are_walked():
    net = built(
        {
            "children": {
                "blocks": {"type": "ModuleList", "layers": [{"repeat": 2, "block": "Linear(4, 4)"}]},
                "heads": {"type": "ModuleDict", "layers": {"a": "Linear(4, 1)", "b": "Linear(4, 2)"}},
            },
            "inputs": ["x"],
            "forward": ["for block in blocks:", "    x = block(x)", 'return heads["a"](x), heads["b"](x), len(blocks)'],
        }
    )
    outputs = call(net, torch.rand(3, 4), limits=LIMITS).outputs
    assert [outputs[f"output_{index}"].tolist() for index in (2,)] == [2]
    assert [tuple(outputs[f"output_{index}"].shape) for index in (0, 1)] == [(3, 1), (3, 2)]


def test_a_tie_is_an_assignment():
    net = built(
        {
            "children": {"encoder": "Embedding(5, 3)", "decoder": "Linear(3, 5, bias=False)"},
            "ties": [["decoder.weight", "encoder.weight"]],
            "inputs": ["ids"],
            "forward": "return decoder(encoder(ids))",
        }
    )
    assert net.decoder.weight is net.encoder.weight
    assert torch.equal(net.encoder.weight, seeded(lambda: nn.Embedding(5, 3)).weight)
    assert list(net.state_dict()) == ["encoder.weight", "decoder.weight"]


def test_a_tie_of_recurrent_weights_is_used_when_running():
    net = built({"children": {"a": "GRU(3, 3)", "b": "GRU(3, 3)"}, "ties": [["a.weight_ih_l0", "b.weight_ih_l0"]]})
    assert net.a._flat_weights[0] is net.b.weight_ih_l0


def test_a_named_block_of_any_form_prints_by_its_name():
    blocks = {"Mlp": ["Linear(2, 2)", "ReLU()"], "One": "Linear(2, 2)", "Other": "Mlp()"}
    net = built({"blocks": blocks, "type": "ModuleList", "layers": ["Mlp()", "One()", "Other()"]})
    assert [type(child).__name__ for child in net] == ["Mlp", "Linear", "Mlp"]


def test_the_resolved_form_is_an_architecture_and_gives_the_same_network():
    library = {"Residual": RESIDUAL, "Wrap": {"hyperparameters": ["n"], "type": "Residual", "args": ["Linear(n, n)"]}}
    for document in (
        "Wrap(4)",
        "Wrap(4) if 1 < 2 else ReLU()",
        ["Wrap(4)", "ReLU()"],
        {"children": {"a": "Wrap(4)"}, "inputs": ["x"], "forward": "return a(x)", "blocks": {"Mine": ["Wrap(3)"]}},
    ):
        once = resolved(document, library)
        assert resolved(once) == once
        same_parameters(built(document, library), built(once))
    assert list(once) == ["children", "inputs", "forward", "blocks"]


def test_a_plain_architecture_is_resolved_to_an_object_that_reads_well():
    assert resolved("Linear(20, 256, bias=False)") == {"type": "Linear", "args": [20, 256], "kwargs": {"bias": False}}
    assert resolved(["ReLU()"]) == {"type": "Sequential", "layers": ["ReLU()"]}


def test_a_network_on_meta_takes_its_tensors_and_keeps_what_is_tied():
    document = {
        "shared": {"s": "Linear(4, 4)"},
        "children": {
            "a": {"ref": "s"},
            "b": {"ref": "s"},
            "rnn": "LSTM(4, 4, 2)",
            "norm": "BatchNorm1d(4)",
            "tied": "Linear(4, 4)",
        },
        "constants": {"c": "rand(4)"},
        "ties": [["tied.weight", "a.weight"]],
        "inputs": ["x"],
        "forward": ["x, _ = rnn(b(a(x)))", "return norm(tied(x)) * c"],
    }
    self_contained = resolved(document)
    net = build(self_contained, limits=LIMITS).eval()
    state = net.state_dict()
    meta = build_on_meta(self_contained, limits=LIMITS).eval()
    materialise(meta, {name: tensor.clone() for name, tensor in state.items()})
    same_state(meta, net)
    assert meta.a is meta.b
    assert meta.tied.weight is meta.a.weight
    assert [name for name, _ in meta.named_parameters()] == [name for name, _ in net.named_parameters()]
    x = torch.rand(3, 4)
    assert torch.equal(output(meta, x), output(net, x))


def test_a_thousand_equal_blocks_share_one_class():
    block = {"children": {"a": "Linear(2, 2)"}, "inputs": ["x"], "forward": "return a(x)"}
    net = built([{"repeat": 1000, "block": block}])
    assert len({type(child) for child in net}) == 1
    again = built({"blocks": {"B": block}, "type": "Sequential", "layers": ["B()"] * 1000})
    assert len({type(child) for child in again}) == 1


def test_json_keeps_an_architecture_whole():
    document = {"children": {"a b": "Linear(2, 2)"}, "inputs": ["x", "m=None"], "forward": ['return self["a b"](x)']}
    assert json.loads(json.dumps(resolved(document))) == document


def test_a_scope_form_puts_names_around_any_block():
    net = built(
        {"hyperparameters": {"d": 3}, "blocks": {"Two": ["Linear(3, 3)"] * 2}, "block": ["Linear(d, d)", "Two()"]}
    )
    assert print_tree(net[0]) == "Linear(in_features=3, out_features=3, bias=True)"


def test_a_repeat_is_refused_where_one_block_is_needed():
    refused({"children": {"a": {"repeat": 2, "block": "ReLU()"}}}, "bad-arguments", "/architecture/children/a")


@pytest.mark.parametrize("spaced", ["Linear", "nn.Linear", "torch.nn.Linear"])
def test_a_type_may_be_written_as_in_python_like_a_call(spaced):
    net = built({"type": "nn.Sequential", "layers": [{"type": spaced, "args": [2, 3]}, f"{spaced}(3, 1)"]})
    assert print_tree(net) == print_tree(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)))


def test_hyperparameters_after_the_rest_are_given_by_name():
    block = {
        "hyperparameters": {"*parts": [], "dim": 1},
        "children": "parts",
        "inputs": ["x"],
        "forward": "return x + dim",
    }
    for text, count, dim in (("B()", 0, 1), ("B(ReLU(), Tanh())", 2, 1), ("B(ReLU(), Tanh(), dim=3)", 2, 3)):
        net = built({"blocks": {"B": block}, "block": text})
        assert (len(list(net.children())), int(output(net, torch.tensor(0)))) == (count, dim)
    twice = {"hyperparameters": ["*a", "*b"], "children": "a", "inputs": ["x"], "forward": "return x"}
    refused({"blocks": {"B": twice}, "block": "B()"}, "bad-name", "/architecture/blocks/B/hyperparameters/1")
    must = {**block, "hyperparameters": ["*parts", "dim"]}
    refusal_of = {"blocks": {"B": must}, "block": "B(ReLU(), 3)"}
    with pytest.raises(Unprocessable, match="dim"):
        built(refusal_of)


def drawing(*nodes):
    """A graph whose nodes each draw, so that their order shows; `nodes` are ids and what each takes."""
    written = [{"id": name, "call": "rand_like", "inputs": [taken]} for name, taken in nodes]
    return {"inputs": ["x"], "nodes": written, "outputs": {name: name for name, _ in nodes}}


@pytest.mark.parametrize(
    ("nodes", "order"),
    [
        ((("a", "x"), ("b", "a"), ("c", "x")), "abc"),
        ((("b", "a"), ("a", "x"), ("c", "x")), "abc"),
        ((("d", "c"), ("a", "x"), ("b", "a"), ("c", "x")), "abcd"),
    ],
)
def test_nodes_run_as_they_are_written_where_that_can_be(nodes, order):
    net = built(drawing(*nodes))
    torch.manual_seed(3)
    drawn = call(net, torch.zeros(2), limits=LIMITS).outputs
    torch.manual_seed(3)
    for name in order:
        assert torch.equal(drawn[name], torch.rand(2)), name


def test_a_member_may_have_any_name_that_a_module_has_not():
    members = {"children": {"inputs": "Linear(2, 2)"}, "parameters": {"forward_inputs": "ones(2)"}}
    net = built({**members, "inputs": ["x"], "forward": ["return inputs(x) + forward_inputs"]})
    x = torch.ones(2)
    assert torch.equal(output(net, x), net.get_submodule("inputs")(x) + 1)
    net = built({"parameters": {"inputs": "ones(2)"}, "inputs": ["x"], "forward": ["return x * inputs"]})
    assert torch.equal(output(net, x), x)
    net = built({"inputs": ["inputs"], "forward": ["return inputs"]})
    assert torch.equal(output(net, x), x)


def test_a_hyperparameter_may_hold_a_tensor_which_a_constant_or_a_parameter_starts_from():
    block = {
        "hyperparameters": {"p": "tensor([1., 2.])", "q": ["tensor([3., 4.])"]},
        "constants": {"p": "p", "view": "p.view(1, 2)", "again": "view.view(2)"},
        "parameters": {"w": "p * q[0]"},
        "inputs": ["x"],
        "forward": ["return x * p + w"],
    }
    document = {"blocks": {"Scale": block}, "type": "Sequential", "layers": ["Scale()", "Scale(tensor([5., 6.]))"]}
    net = built(document).to(torch.float64)
    assert [net[0].p.tolist(), net[0].w.tolist(), net[1].p.tolist()] == [[1, 2], [3, 8], [5, 6]]
    tensors = [*net[0].state_dict().values(), *net[1].state_dict().values()]
    assert len({tensor.untyped_storage().data_ptr() for tensor in tensors}) == len(tensors)
    x = torch.ones(2, dtype=torch.float64)
    assert torch.equal(output(net[0], x), torch.tensor([4.0, 10.0], dtype=torch.float64))
    assert build_on_meta(resolved(document), limits=LIMITS)[1].w.shape == (2,)
    by_value = {"hyperparameters": {"p": "tensor([2.])"}, "parameters": {"w": "zeros(int(p.sum()))"}}
    assert built(by_value).w.shape == build_on_meta(resolved(by_value), limits=LIMITS).w.shape == (2,)


def test_a_forward_that_reads_a_tensor_from_a_hyperparameter_is_told_to_make_it_a_constant():
    reading = {"hyperparameters": {"p": "tensor([1., 2.])"}, "inputs": ["x"], "forward": ["return x * p"]}
    words = refused(reading, "bad-arguments", "/architecture/hyperparameters/p")
    assert words.endswith('write "constants": {"p": "p"}')
    torch.manual_seed(7)
    net = built({**reading, "constants": {"p": "p"}})
    assert output(net, torch.ones(2)).tolist() == [1, 2]
    assert built({**reading, "forward": ["return x"]})(1) == 1
