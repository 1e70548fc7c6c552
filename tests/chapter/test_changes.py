"""The chapter's rows on parameters: initialisation, custom initialisers, edits in place, ties; against PyTorch."""

import pytest
import torch
from torch import nn

from tests.api.problem import check_problem
from tests.chapter.nets import (
    CONSTANT_JSON,
    MLP_JSON,
    TIED_JSON,
    create,
    forward,
    mlp,
    read,
    same_state,
    state,
    tied,
)

X = torch.linspace(-1, 1, 8).reshape(2, 4)
BLOCK = ["Linear(4, 8)", "ReLU()", "Linear(8, 4)", "ReLU()"]
NESTED_JSON = [
    {"type": "Sequential", "layers": [{"repeat": 4, "name": "block {i}", "block": BLOCK}]},
    "Linear(4, 1)",
]


def nested(seed: int = 7) -> nn.Sequential:
    torch.manual_seed(seed)
    outer = nn.Sequential()
    for i in range(4):
        outer.add_module(f"block {i}", nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU()))
    return nn.Sequential(outer, nn.Linear(4, 1))


def initialize(service, path, *rules, **more):
    reply = service.post(f"{path}/initialize", json={"rules": list(rules), **more})
    assert reply.status_code == 200, reply.text
    return reply.json()


def edit(service, path, parameter, *edits, **more):
    reply = service.patch(f"{path}/parameters/{parameter}", json={"edits": list(edits), **more})
    assert reply.status_code == 200, reply.text
    return reply.json()


# --- B4: two networks of one class ---


def test_b4_two_networks_of_one_architecture_change_independently(service, fresh_name):
    first, second = (create(service, fresh_name(), MLP_JSON) for _ in range(2))
    before = state(service, second)
    assert same_state(state(service, first), before)
    edit(service, first, "0.weight", {"expression": "param + 1"})
    assert not torch.equal(read(service, first, "0.weight"), before["0.weight"])
    assert same_state(state(service, second), before)


# --- P5, P6, P7: initialisation ---


def test_p5_every_linear_of_a_tree_is_drawn_as_net_apply_draws_it(service, fresh_name):
    path = create(service, fresh_name(), NESTED_JSON)
    net = nested()
    rule = {"module_type": "Linear", "parameters": {"weight": "normal_(mean=0, std=0.01)", "bias": "zeros_()"}}
    reply = initialize(service, path, rule, seed=3)

    def init_normal(module):
        if type(module) is nn.Linear:
            nn.init.normal_(module.weight, mean=0, std=0.01)
            nn.init.zeros_(module.bias)

    torch.manual_seed(3)
    net.apply(init_normal)
    assert same_state(state(service, path), net.state_dict())
    assert torch.equal(forward(service, path, X), net(X))
    assert reply["revision"] == 2
    assert [item["name"] for item in reply["initialized"]] == [name for name, _ in net.named_parameters()]
    assert {item["rule"] for item in reply["initialized"]} == {0}


def test_p6_rules_for_subtrees_run_one_after_the_other(service, fresh_name):
    path = create(service, fresh_name(), MLP_JSON)
    net = mlp()
    reply = initialize(
        service,
        path,
        {"path": "0", "module_type": "Linear", "parameters": {"weight": "xavier_uniform_()"}},
        {"path": "[2]", "parameters": {"weight": "constant_(42)"}},
        seed=5,
    )
    torch.manual_seed(5)
    nn.init.xavier_uniform_(net[0].weight)
    nn.init.constant_(net[2].weight, 42)
    assert same_state(state(service, path), net.state_dict())
    assert reply["initialized"] == [
        {"name": "0.weight", "shape": [8, 4], "rule": 0},
        {"name": "2.weight", "shape": [1, 8], "rule": 1},
    ]


def test_p6_all_parameters_to_a_constant(service, fresh_name):
    path = create(service, fresh_name(), MLP_JSON)
    initialize(service, path, {"parameters": {"*": "constant_(1)"}})
    assert all(bool((value == 1).all()) for value in state(service, path).values())


CALLS = {
    "uniform_(-3, 3)": lambda w: nn.init.uniform_(w, -3, 3),
    "normal_()": nn.init.normal_,
    "trunc_normal_(std=0.5, a=-1, b=1)": lambda w: nn.init.trunc_normal_(w, std=0.5, a=-1, b=1),
    "constant_(0.5)": lambda w: nn.init.constant_(w, 0.5),
    "ones_()": nn.init.ones_,
    "zeros_()": nn.init.zeros_,
    "eye_()": nn.init.eye_,
    "xavier_uniform_(gain=2)": lambda w: nn.init.xavier_uniform_(w, gain=2),
    "xavier_normal_()": nn.init.xavier_normal_,
    'kaiming_uniform_(mode="fan_out", nonlinearity="relu")': lambda w: nn.init.kaiming_uniform_(
        w, mode="fan_out", nonlinearity="relu"
    ),
    "kaiming_normal_(a=0.1)": lambda w: nn.init.kaiming_normal_(w, a=0.1),
    "orthogonal_()": nn.init.orthogonal_,
    "sparse_(sparsity=0.5)": lambda w: nn.init.sparse_(w, sparsity=0.5),
    "nn.init.normal_(std=2)": lambda w: nn.init.normal_(w, std=2),
    "normal_(param, std=2)": lambda w: nn.init.normal_(w, std=2),
}


@pytest.mark.parametrize("text", CALLS)
def test_p6_every_function_of_torch_nn_init_gives_pytorchs_own_numbers(service, fresh_name, text):
    path = create(service, fresh_name(), MLP_JSON)
    initialize(service, path, {"path": "0", "parameters": {"weight": text}}, seed=11)
    expected = torch.empty(8, 4)
    torch.manual_seed(11)
    with torch.no_grad():
        CALLS[text](expected)
    assert torch.equal(read(service, path, "0.weight"), expected)


def test_p6_dirac_fills_a_convolution(service, fresh_name):
    path = create(service, fresh_name(), "Conv2d(3, 6, 3)")
    initialize(service, path, {"parameters": {"weight": "dirac_(groups=3)"}})
    assert torch.equal(read(service, path, "weight"), nn.init.dirac_(torch.empty(6, 3, 3, 3), groups=3))


def test_the_catalogue_of_initializers_holds_what_the_tests_call(service):
    names = {item["name"] for item in service.get("/v1/catalog/initializers").json()["items"]}
    called = {text.removeprefix("nn.init.").partition("(")[0] for text in CALLS} | {"dirac_"}
    assert names == called


def test_p7_an_initializer_of_ones_own_in_steps(service, fresh_name):
    path = create(service, fresh_name(), MLP_JSON)
    net = mlp()
    rule = {"module_type": "Linear", "parameters": {"weight": ["uniform_(-10, 10)", "param * (abs(param) >= 5)"]}}
    reply = initialize(service, path, rule, seed=2)

    def my_init(module):
        if type(module) is nn.Linear:
            nn.init.uniform_(module.weight, -10, 10)
            module.weight.data *= module.weight.data.abs() >= 5

    torch.manual_seed(2)
    net.apply(my_init)
    assert same_state(state(service, path), net.state_dict())
    assert [(item["name"], item["shape"]) for item in reply["initialized"]] == [
        ("0.weight", [8, 4]),
        ("2.weight", [1, 8]),
    ]


@pytest.mark.parametrize("form", ["list", "object"])
def test_init_at_creation_goes_on_after_the_first_values_and_is_revision_1(service, fresh_name, form):
    rules = [{"module_type": "Linear", "parameters": {"weight": "normal_(std=0.01)", "bias": "zeros_()"}}]
    init = rules if form == "list" else {"rules": rules, "seed": 9}
    path = create(service, fresh_name(), MLP_JSON, init=init)
    net = mlp()
    if form == "object":
        torch.manual_seed(9)
    for layer in (net[0], net[2]):
        nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(layer.bias)
    assert same_state(state(service, path), net.state_dict())
    assert service.get(path).json()["revision"] == 1


def test_init_at_creation_is_drawn_in_float32_and_then_cast(service, fresh_name):
    init = [{"parameters": {"weight": "normal_()"}}]
    path = create(service, fresh_name(), "Linear(4, 3)", init=init, dtype="bfloat16")
    torch.manual_seed(7)
    layer = nn.Linear(4, 3)
    nn.init.normal_(layer.weight)
    assert torch.equal(read(service, path, "weight"), layer.to(torch.bfloat16).weight)


def test_constants_are_left_alone_by_rules_and_changed_by_edits(service, fresh_name):
    path = create(service, fresh_name(), CONSTANT_JSON)
    before = read(service, path, "rand_weight")
    initialize(service, path, {"parameters": {"*": "zeros_()"}})
    after = state(service, path)
    assert torch.equal(after["rand_weight"], before)
    assert not after["linear.weight"].any()
    wrong = service.post(f"{path}/initialize", json={"rules": [{"parameters": {"rand_weight": "zeros_()"}}]})
    problem = check_problem(wrong, 422, "unknown-name", "/rules/0/parameters/rand_weight")
    assert "constant" in problem["detail"]
    edit(service, path, "rand_weight", {"index": "0", "value": 0})
    assert not read(service, path, "rand_weight")[0].any()


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("0.block 1", ["0.block 1.0", "0.block 1.2"]),
        ("[0][1]", ["0.block 1.0", "0.block 1.2"]),
        ("0.block 1.2", ["0.block 1.2"]),
        ("0.*.0", [f"0.block {i}.0" for i in range(4)]),
        ("0.block ?.2", [f"0.block {i}.2" for i in range(4)]),
        ("**.0", [f"0.block {i}.{j}" for i in range(4) for j in (0, 2)]),
        ("*", [f"0.block {i}.{j}" for i in range(4) for j in (0, 2)] + ["1"]),
        ("1", ["1"]),
    ],
)
def test_a_path_takes_the_modules_it_names_and_those_below(service, fresh_name, pattern, names):
    path = create(service, fresh_name(), NESTED_JSON)
    reply = initialize(service, path, {"path": pattern, "parameters": {"weight": "ones_()"}})
    assert [item["name"] for item in reply["initialized"]] == [f"{name}.weight" for name in names]


@pytest.mark.parametrize(
    ("rule", "code", "pointer"),
    [
        ({"path": "7", "parameters": {"weight": "ones_()"}}, "unknown-name", "/rules/0/path"),
        ({"path": "x*", "parameters": {"weight": "ones_()"}}, "unknown-name", "/rules/0/path"),
        ({"module_type": "Conv2d", "parameters": {"weight": "ones_()"}}, "unknown-name", "/rules/0/module_type"),
        ({"path": "1", "parameters": {"weight": "ones_()"}}, "unknown-name", "/rules/0/parameters/weight"),
        ({"parameters": {"wieght": "ones_()"}}, "unknown-name", "/rules/0/parameters/wieght"),
        ({"parameters": {"weight": "onez_()"}}, "bad-expression", "/rules/0/parameters/weight"),
        ({"parameters": {"weight": ["ones_()", "param @ 3"]}}, "bad-arguments", "/rules/0/parameters/weight/1"),
        ({"parameters": {"weight": "import os"}}, "bad-expression", "/rules/0/parameters/weight"),
        ({"parameters": {"weight": "other + 1"}}, "bad-expression", "/rules/0/parameters/weight"),
        ({"parameters": {"weight": "zeros(3, 3)"}}, "shape-mismatch", "/rules/0/parameters/weight"),
        ({"parameters": {"weight": "1 + normal_()"}}, "bad-expression", "/rules/0/parameters/weight"),
        ({"parameters": {"bias": "xavier_normal_()"}}, "shape-mismatch", "/rules/0/parameters/bias"),
        ({"parameters": {"weight": "normal_(deviation=3)"}}, "bad-arguments", "/rules/0/parameters/weight"),
        ({"parameters": {}}, "bad-request", "/rules/0/parameters"),
        ({"parameters": {"weight": 3}}, "bad-request", "/rules/0/parameters/weight"),
        ({"parameters": {"weight": []}}, "bad-request", "/rules/0/parameters/weight"),
        ({"parameters": {"weight": "ones_()"}, "type": "Linear"}, "unknown-key", "/rules/0/type"),
        ("ones_()", "bad-request", "/rules/0"),
    ],
)
def test_a_rule_without_effect_or_sense_is_refused_and_changes_nothing(service, fresh_name, rule, code, pointer):
    path = create(service, fresh_name(), MLP_JSON)
    check_problem(service.post(f"{path}/initialize", json={"rules": [rule]}), 422, code, pointer)
    assert service.get(path).json()["revision"] == 1
    creation = {"architecture": MLP_JSON, "init": [rule]}
    check_problem(service.post("/v1/networks", json=creation), 422, code, pointer.replace("/rules", "/init", 1))


def test_an_initialiser_that_is_not_called_is_told_how_it_is(service, fresh_name):
    path = create(service, fresh_name(), MLP_JSON)
    rule = {"parameters": {"weight": "ones_"}}
    reply = service.post(f"{path}/initialize", json={"rules": [rule]})
    problem = check_problem(reply, 422, "bad-expression", "/rules/0/parameters/weight")
    assert "ones_()" in problem["detail"]


# --- P8: edits ---


def test_p8_the_chapters_edits(service, fresh_name):
    path = create(service, fresh_name(), MLP_JSON)
    net = mlp()
    reply = edit(
        service,
        path,
        "0.weight",
        {"index": ":", "expression": "param + 1"},
        {"index": "0, 0", "value": 42},
    )
    net[0].weight.data[:] += 1
    net[0].weight.data[0, 0] = 42
    assert reply["revision"] == 2
    assert torch.equal(read(service, path, "0.weight"), net[0].weight)
    assert torch.equal(forward(service, path, X), net(X))
    assert torch.equal(forward(service, path, X, revision=1), mlp()(X))


EDITS = [
    ("0", {"value": [1, 2, 3, 4]}, lambda w: w[0].copy_(torch.tensor([1.0, 2, 3, 4]))),
    (":, 1", {"value": 7}, lambda w: w[:, 1].fill_(7)),
    ("::2, 1:3", {"expression": "-param"}, lambda w: w[::2, 1:3].neg_()),
    ("::-1", {"expression": "param.cumsum(0)"}, lambda w: w.copy_(w.flip(0).cumsum(0).flip(0))),
    ("...", {"expression": "param * (abs(param) >= 0.2)"}, lambda w: w.mul_(w.abs() >= 0.2)),
    ("-1, -1", {"expression": "param.exp()"}, lambda w: w[-1, -1].exp_()),
    (":4", {"expression": "param.T"}, lambda w: w[:4].copy_(w[:4].T.clone())),
    ("1:1", {"value": 5}, lambda w: w),
    ("0", {"value": {"dtype": "float64", "data": [1, 2, 3, 4]}}, lambda w: w[0].copy_(torch.tensor([1.0, 2, 3, 4]))),
    ("0, 0", {"value": "NaN"}, lambda w: w[0, 0].fill_(float("nan"))),
]


@pytest.mark.parametrize("number", range(len(EDITS)))
def test_p8_slices_by_value_or_by_expression(service, fresh_name, number):
    index, change, apply = EDITS[number]
    path = create(service, fresh_name(), MLP_JSON)
    edit(service, path, "0.weight", {"index": index, **change})
    expected = mlp()[0].weight.data
    apply(expected)
    assert torch.equal(read(service, path, "0.weight").nan_to_num(99), expected.nan_to_num(99))


def test_p8_random_edits_are_repeated_by_a_seed(service, fresh_name):
    path = create(service, fresh_name(), MLP_JSON)
    edit(service, path, "0.weight", {"expression": "param + randn(8, 4)"}, seed=4)
    torch.manual_seed(4)
    assert torch.equal(read(service, path, "0.weight"), mlp_weight() + NOISE)


def mlp_weight():
    return mlp()[0].weight.data


torch.manual_seed(4)
NOISE = torch.randn(8, 4)


@pytest.mark.parametrize(
    ("edits", "code", "pointer"),
    [
        ([{"index": "8", "value": 1}], "bad-index", "/edits/0/index"),
        ([{"index": "0", "value": 1}, {"index": "x", "value": 1}], "bad-index", "/edits/1/index"),
        ([{"index": "0", "value": [1, 2, 3]}], "shape-mismatch", "/edits/0/value"),
        ([{"index": "0", "value": "one"}], "bad-tensor", "/edits/0/value"),
        ([{"index": "0", "expression": "param +"}], "bad-expression", "/edits/0/expression"),
        ([{"index": "0", "expression": "net.weight"}], "bad-expression", "/edits/0/expression"),
        ([{"index": "0", "expression": "param.add_(1)"}], "bad-expression", "/edits/0/expression"),
        ([{"index": "0", "expression": "param.sum(7)"}], "shape-mismatch", "/edits/0/expression"),
        ([{"index": "0", "expression": "zeros(3)"}], "shape-mismatch", "/edits/0/expression"),
        ([{"index": "0", "expression": "param.shape"}], "bad-expression", "/edits/0/expression"),
        ([{"index": "0"}], "bad-request", "/edits/0"),
        ([{"index": "0", "value": 1, "expression": "param"}], "bad-request", "/edits/0"),
        ([{"index": "0", "values": 1}], "unknown-key", "/edits/0/values"),
        ([{"index": 0, "value": 1}], "bad-index", "/edits/0/index"),
        ([{"index": "0", "value": {"tensor": "x"}}], "unknown-name", "/edits/0/value/tensor"),
        (["param + 1"], "bad-request", "/edits/0"),
        ({}, "bad-request", "/edits"),
        ([], "bad-request", ""),
    ],
)
def test_p8_one_wrong_edit_leaves_all_undone_and_names_its_place(service, fresh_name, edits, code, pointer):
    path = create(service, fresh_name(), MLP_JSON)
    good = {"index": ":", "value": 3}
    if isinstance(edits, list) and edits:
        edits, pointer = [good, *edits], f"/edits/{int(pointer[7]) + 1}{pointer[8:]}"
    check_problem(service.patch(f"{path}/parameters/0.weight", json={"edits": edits}), 422, code, pointer)
    assert service.get(path).json()["revision"] == 1
    assert torch.equal(read(service, path, "0.weight"), mlp()[0].weight)


def test_p8_integers_keep_their_kind(service, fresh_name):
    path = create(service, fresh_name(), "BatchNorm1d(3)")
    edit(service, path, "num_batches_tracked", {"value": 5})
    edit(service, path, "num_batches_tracked", {"expression": "param * 3"})
    assert torch.equal(read(service, path, "num_batches_tracked"), torch.tensor(15))
    body = {"edits": [{"expression": "param / 2"}]}
    check_problem(service.patch(f"{path}/parameters/num_batches_tracked", json=body), 422, "bad-dtype")


# --- P9: ties ---


def test_p9_one_edit_changes_a_tied_layer_under_all_its_names(service, fresh_name):
    path = create(service, fresh_name(), TIED_JSON)
    net = tied()
    listed = service.get(f"{path}/parameters").json()["items"]
    assert [item["name"] for item in listed] == [name for name, _ in net.named_parameters()]
    assert next(item for item in listed if item["name"] == "2.weight")["tied_to"] == ["4.weight"]
    edit(service, path, "4.weight", {"index": "0, 0", "value": 100})
    net[4].weight.data[0, 0] = 100
    assert torch.equal(read(service, path, "2.weight"), net[2].weight)
    assert torch.equal(read(service, path, "2.weight"), read(service, path, "4.weight"))
    assert torch.equal(forward(service, path, X), net(X))


def test_p9_ties_hold_through_replace_initialize_clone_and_restore(service, fresh_name):
    path = create(service, fresh_name(), TIED_JSON)
    assert service.put(f"{path}/parameters/2.bias", json=[0.5] * 8).status_code == 200
    reply = initialize(service, path, {"module_type": "Linear", "parameters": {"weight": "normal_()"}}, seed=1)
    assert [item["name"] for item in reply["initialized"]] == ["0.weight", "2.weight", "6.weight"]
    net = tied()
    net[2].bias.data.fill_(0.5)
    torch.manual_seed(1)
    for layer in (net[0], net[2], net[6]):
        nn.init.normal_(layer.weight)
    assert same_state(state(service, path), net.state_dict())
    clone = fresh_name()
    assert service.post(f"{path}/clone", json={"name": clone}).status_code == 201
    edit(service, f"/v1/networks/{clone}", "2.weight", {"expression": "param + 1"})
    changed = state(service, f"/v1/networks/{clone}")
    assert torch.equal(changed["4.weight"], net[2].weight + 1)
    assert torch.equal(changed["2.weight"], changed["4.weight"])
    assert same_state(state(service, path), net.state_dict())
    service.post(f"{path}/revisions/1/restore")
    assert same_state(state(service, path), tied().state_dict())
    assert torch.equal(forward(service, path, X), tied()(X))


def test_p9_single_parameters_tied_in_a_block_change_together(service, fresh_name):
    architecture = {
        "children": {"encoder": "Linear(4, 4)", "decoder": "Linear(4, 4)"},
        "ties": [["decoder.weight", "encoder.weight"]],
        "inputs": ["x"],
        "forward": "return decoder(encoder(x))",
    }
    path = create(service, fresh_name(), architecture)
    edit(service, path, "decoder.weight", {"value": torch.eye(4).tolist()})
    assert torch.equal(read(service, path, "encoder.weight"), torch.eye(4))
    assert service.get(f"{path}/parameters/encoder.bias").json()["tied_to"] == []
