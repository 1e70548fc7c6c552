"""A slip in what a forward reads of its children is told when the network is made, not when it first runs."""

import pytest
import torch

from app.architecture.build import build_on_meta
from app.architecture.call import call
from app.errors import Unprocessable
from tests.architecture.building import LIMITS, built, resolved

CHILDREN = {
    "linear": "Linear(2, 2)",
    "block 0": "Linear(2, 2)",
    "tower": {"type": "ModuleList", "layers": ["Linear(2, 2)", "Linear(2, 2)"]},
    "norm": "BatchNorm1d(2)",
    "inner": {"children": {"norm": "LayerNorm(2)", "deep": "Linear(2, 2, bias=False)"}},
}


def block(*forward: str, **fields: object) -> dict:
    return {"children": CHILDREN, "inputs": ["x"], "forward": list(forward), **fields}


def slip(document: dict) -> tuple[str, str, str]:
    """The code, the pointer and the words that a network is refused with."""
    with pytest.raises(Unprocessable) as caught:
        build_on_meta(resolved(document), limits=LIMITS)
    return caught.value.code, caught.value.places[0].pointer, caught.value.detail


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("return x @ linear.weigth", "did you mean weight?"),
        ("return x @ self.linear.weigth.T", "did you mean weight?"),
        ('return x @ self["block 0"].wieght', "did you mean weight?"),
        ("return x * tower[0].biass", "did you mean bias?"),
        ("return x * tower[-1].biass", "did you mean bias?"),
        ("return x * self[0].biass", "did you mean bias?"),
        ("return tower[2](x)", "outside a list of 2 elements"),
        ("return inner.dep(x)", "did you mean deep?"),
        ("return inner.deep.weight.shap", "a tensor has no shap here; it has T,"),
        ("return x + 1 if inner.deep.weigth.sum() > 0 else x", "did you mean weight?"),
        ("return F.linear(x, bias=linear.biass, weight=linear.weight)", "did you mean bias?"),
        ("return linear.in_features * x", "no child, parameter or buffer named in_features"),
    ],
)
def test_a_slip_in_a_path_is_refused_with_what_is_near(line, hint):
    code, pointer, words = slip(block("y = x", line))
    assert code in ("bad-expression", "bad-arguments")
    assert pointer == "/architecture/forward/1"
    assert hint in words
    assert "line 2" in words


def test_a_slip_in_a_graph_points_at_its_node():
    nodes = [{"id": "b", "call": "inner.dep", "inputs": ["a"]}, {"id": "a", "call": "linear", "inputs": ["x"]}]
    document = {"children": CHILDREN, "inputs": ["x"], "nodes": nodes, "outputs": ["b"]}
    assert slip(document)[:2] == ("bad-expression", "/architecture/nodes/0")


def test_a_slip_in_a_named_block_points_at_its_use():
    document = {"blocks": {"Wrong": block("return linear.weigth")}, "type": "Sequential", "layers": ["Wrong()"]}
    assert slip(document)[:2] == ("bad-expression", "/architecture/layers/0")


@pytest.mark.parametrize(
    "forward",
    [
        ["return linear(x) + inner.norm(x) + norm.running_mean + inner.norm.weight"],
        ["w = inner.deep.weight.T.mean().item()", "return x * w"],
        ["return x if inner.deep.bias is None else x + inner.deep.bias"],
        ["return x + len(tower) * tower[1].weight.shape[0]"],
        ["return x * self['block 0'].bias if self.inner.training else tower[-2].bias * x"],
        ["linear = linear(x)", "return linear.T"],
    ],
)
def test_paths_that_lead_somewhere_are_taken(forward):
    call(built(block(*forward)).eval(), torch.ones(3, 2), limits=LIMITS)


@pytest.mark.parametrize(
    "forward",
    [
        ["if c == 1:", "    return x", "return x * part.weight.sum()"],
        ["if c != 1:", "    x = x * part.weight.sum()", "return x"],
        ["return x * part.weight.sum() if c != 1 else x"],
        ["return x if c == 1 or part.weight.sum() > 0 else -x"],
        ["for i in range(c - 1):", "    x = x * part.weight.sum()", "return x"],
    ],
)
@pytest.mark.parametrize("c", [1, 2])
def test_what_a_block_reads_of_a_child_of_another_kind_is_left_to_its_run(forward, c):
    document = {
        "hyperparameters": {"c": c},
        "children": {"part": "Linear(2, 2) if c != 1 else Identity()"},
        "inputs": ["x"],
        "forward": forward,
    }
    call(built(document), torch.ones(3, 2), limits=LIMITS)


def test_children_that_a_hyperparameter_holds_are_read_by_position():
    wrapped = {"hyperparameters": ["*blocks"], "children": "blocks", "inputs": ["x"], "forward": "return blocks[0](x)"}
    document = {"blocks": {"First": wrapped}, "type": "Sequential", "layers": ["First(Linear(2, 2), ReLU())"]}
    call(built(document), torch.ones(3, 2), limits=LIMITS)
