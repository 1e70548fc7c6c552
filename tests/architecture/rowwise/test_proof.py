"""Which networks are proven row-wise, which are not, and what is named where they are not."""

import pytest
import torch

from app.architecture.rowwise import NotRowWise, RowWise, prove, prove_some
from tests.architecture.building import built
from tests.architecture.rowwise.both_ways import check, refusal
from tests.architectures.test_architectures import CASES

X = torch.rand(3, 4, 6, generator=torch.Generator().manual_seed(1))


def block(*lines: str, **members: object) -> torch.nn.Module:
    return built({"inputs": ["x"], "forward": list(lines), **members}).eval()


# --- named ---


@pytest.mark.parametrize(
    ("lines", "operation", "line"),
    [
        (["return x - x.mean()"], "mean", 1),
        (["y = x * 2", "return y - torch.mean(y, 0)"], "mean", 2),
        (["return x.sum()"], "sum", 1),
        (["while x.abs().sum() > 1:", "    x = x / 2", "return x"], "sum", 1),
        (["while x[0, 0, 0] > 1:", "    x = x / 2", "return x"], "indexing", 1),
        (["if x.max(1).values > 1:", "    x = x / 2", "return x"], "if", 1),
        (["return x / x.shape[0]"], "/", 1),
        (["if len(x) > 1:", "    return x", "return x + 1"], ">", 1),
        (["for row in x:", "    y = row", "return x"], "for", 1),
        (["return x @ x.transpose(0, 1)"], "@", 1),
        (["return x[1:]"], "indexing", 1),
        (["return x.flip(0)"], "flip", 1),
        (["return x.softmax(0)"], "softmax", 1),
        (["return cat([x, x])"], "cat", 1),
        (["return x.squeeze()"], "squeeze", 1),
        (["return x.view(4, -1)"], "view", 1),
        (["return x + randn(4)"], "randn", 1),
        (["return dropout(x, 0.5)"], "dropout", 1),
        (["return x.sort(0).values"], "sort", 1),
        (["return x.unique()"], "unique", 1),
        (["return x, 3"], "return", None),
        (["return x.shape[0]"], "return", None),
        (["return x + arange(x.shape[0])[:, None, None]"], "arange", 1),
        (["return x.nonzero()"], "nonzero", 1),
        (["return x[x > 0]"], "indexing", 1),
        (["return one_hot(x.long())"], "one_hot", 1),
        (["return float(x[0, 0, 0]) * x"], "indexing", 1),
        (["return x.sum((1, 2)).item() * x"], "item", 1),
    ],
)
def test_what_mixes_rows_is_named_with_its_line(lines: list[str], operation: str, line: int | None) -> None:
    found = refusal(block(*lines), 3)
    assert (found.operation, found.line, found.child) == (operation, line, ""), found


def test_the_child_is_named_by_its_path() -> None:
    center = {"inputs": ["x"], "forward": ["y = x", "return y - y.mean()"]}
    found = refusal(built(["Linear(6, 6)", {"type": "Sequential", "layers": {"center": center}}]), 2, 3)
    assert (found.operation, found.child, found.line) == ("mean", "1.center", 2)
    found = refusal(built(["Linear(6, 6)", "Softmax(dim=0)"]), 2, 3)
    assert (found.operation, found.child, found.line) == ("Softmax", "1", None)


def test_a_node_of_a_graph_is_named_by_its_number() -> None:
    nodes = [{"id": "h", "call": "relu", "inputs": ["x"]}, {"id": "m", "call": "torch.mean", "inputs": ["h"]}]
    net = built({"inputs": ["x"], "nodes": nodes, "outputs": ["m"]})
    assert refusal(net, 2).line == 2


@pytest.mark.parametrize(
    ("document", "ranks"),
    [
        ("BatchNorm1d(6, track_running_stats=False)", (2, 3)),
        ("LSTM(6, 3)", (2, 3)),
        ("Conv2d(4, 2, 3)", (3,)),
        ("InstanceNorm2d(4)", (3,)),
        ("MultiheadAttention(6, 2)", (3,)),
        ("Embedding(5, 3, max_norm=1.0)", (1, 2)),
        ("FractionalMaxPool2d(2, output_size=2)", (4,)),
        ("Flatten(0, -2)", (0,)),
        ("Linear(6, 6)", (1,)),
        ("Softmax()", (1, 3)),
        ("MSELoss()", (2,)),
        ("GroupNorm(4, 4)", (3,)),
        ({"inputs": [], "forward": "return ones(2)"}, ()),
        ({"type": "ModuleList", "layers": ["Linear(2, 2)"]}, (2,)),
    ],
)
def test_a_layer_that_may_let_rows_meet_is_refused(document: object, ranks: tuple[int, ...]) -> None:
    net = built(document).eval()
    for rank in ranks:
        assert isinstance(prove(net, rank), NotRowWise)
    assert ranks or isinstance(prove_some(net), NotRowWise)


def test_rows_that_meet_other_rows_are_refused() -> None:
    net = built({"inputs": ["x", "y"], "forward": "return x + y"}).eval()
    assert isinstance(prove(net, {"x": 3, "y": 3}), RowWise)
    refused = prove(net, {"x": 3, "y": 2})
    assert isinstance(refused, NotRowWise)
    assert "other rows" in refused.reason or "dimension" in refused.reason


def test_a_parameter_as_long_as_a_batch_is_refused() -> None:
    found = refusal(block("return x + w", parameters={"w": "randn(3, 1, 1)"}), 3)
    assert "dimension of size 3" in found.reason
    check(block("return x + w", parameters={"w": "randn(1, 4, 1)"}), {"x": X})


# --- followed ---


@pytest.mark.parametrize(
    "lines",
    [
        ["for i in range(3):", "    x = x * i + x", "return x"],
        ["out = []", "for t in range(x.shape[1]):", "    out.append(x[:, t] * 2)", "return stack(out, 1)"],
        ["h = x[:, 0]", "for step in x.unbind(1):", "    h = tanh(h + step)", "return h"],
        ["if x.shape[1] > 3:", "    x = x * 2", "else:", "    x = x + 1", "return x"],
        ["y = x if x.shape[2] > 100 else x + 1", "return y"],
        ["n = x.shape[1]", "while n > 1:", "    n = n // 2", "    x = x + n", "return x"],
        ["k = 0", "while True:", "    k += 1", "    if k > 3:", "        break", "    x = x * 2", "return x"],
        ["a, (b, c) = x.chunk(2, 2)[0], (x, x.max(1).indices)", "return {'a': a, 'b': b, 'c': c}"],
        ["parts = [x] * 3", "last = parts.pop()", "return sum(parts) + last"],
        ["for i, (a, b) in enumerate(zip(x.unbind(2), x.unbind(2))):", "    x = x + i", "return x"],
        [
            "s = 0",
            "for i in reversed(range(4)):",
            "    if i == 2:",
            "        continue",
            "    s = s + i",
            "return x * s",
        ],
        ["return x[:, None, ..., :-1].squeeze(1), x.T.shape[1] * x"],
        ["y = x.view(x.shape[0] * x.shape[1], -1)", "return y.view(len(x), -1)"],
        ["return x * (2 if 1 < x.ndim <= 3 and not x.shape[1] == 100 else 3)"],
    ],
)
def test_what_rows_do_not_decide_is_followed(lines: list[str]) -> None:
    check(block(*lines), {"x": X})


@pytest.mark.parametrize(
    ("lines", "operation"),
    [
        (
            [
                "k = 0",
                "for i in range(x.shape[1]):",
                "    k = k + 1",
                "    if k > 2:",
                "        x = x - x.mean()",
                "return x",
            ],
            "mean",
        ),
        (["for i in range(x.shape[1]):", "    x = x.unsqueeze(1)", "return x"], "unsqueeze"),
        (["out = []", "for i in range(x.shape[1]):", "    out.append(x)", "return out"], "return"),
        (["y = x", "if x.shape[1] > 2:", "    y = x.transpose(0, 1)", "return y.sum(1)"], "sum"),
        (["out = []", "z = x.shape[1] > 2 and out.append(x)", "return x"], "append"),
        (["y = x.mean() if x.shape[1] > 100 else x", "return x"], "mean"),
        (
            ["a = []", "b = a", "if x.shape[1] > 2:", "    b = []", "b.append(x)", "a.append(x)", "return a[0]"],
            "a list",
        ),
    ],
)
def test_what_might_let_rows_meet_is_refused(lines: list[str], operation: str) -> None:
    assert refusal(block(*lines), 3).operation == operation


def test_inputs_of_several_ranks_are_looked_for() -> None:
    net = built({"inputs": ["x", "t"], "forward": "return x + t[:, None]"}).eval()
    assert isinstance(prove(net, {"x": 2, "t": 2}), NotRowWise)
    assert isinstance(prove_some(net), RowWise)


def test_the_reason_is_that_of_the_ranks_that_came_furthest() -> None:
    net = built(["Conv2d(1, 2, 3)", "ReLU()", {"inputs": ["x"], "forward": "return x / x.norm()"}]).eval()
    found = prove_some(net)
    assert isinstance(found, NotRowWise)
    assert (found.operation, found.child) == ("norm", "2")


def test_a_network_of_many_layers_is_proven_in_a_moment() -> None:
    document = {"type": "Sequential", "layers": [{"repeat": 2000, "block": "ReLU()"}]}
    assert isinstance(prove(built(document).eval(), 2), RowWise)


ROW_WISE = {
    *("lenet", "alexnet", "vgg", "resnet", "densenet", "inception", "mobilenet", "unet", "googlenet", "squeeze"),
    *("spatial", "mixer", "siamese", "lstm", "bilstm", "bilstm_masked", "seq2seq", "wavenet", "gpt", "vit"),
    *(
        "autoencoder",
        "flow",
        "ode",
        "ode_until",
        "highway",
        "film",
        "hyper",
        "shared",
        "sets",
        "sets_masked",
        "capsules",
    ),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_architectures_of_the_tables_are_proven_or_refused(case) -> None:
    net = built(case.architecture).eval()
    rows = min(tensor.shape[0] for tensor in case.inputs.values() if tensor.ndim)
    inputs = {name: tensor[:rows] for name, tensor in case.inputs.items() if tensor.ndim}
    proof = prove(net, {name: tensor.ndim for name, tensor in inputs.items()})
    assert isinstance(proof, RowWise) == (case.name in ROW_WISE), proof
    if isinstance(proof, RowWise):
        check(
            net, {name: torch.cat([tensor, tensor.flip(-1), tensor.roll(1, -1)])[:3] for name, tensor in inputs.items()}
        )
