"""Explicit graphs become the same forwards as text."""

import ast

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from app.language.compile import GraphCall, Input, Scope, compile_graph, explain
from app.language.errors import LanguageError
from app.settings import Limits

LIMITS = Limits()
SCOPE = Scope((Input("x", True),), frozenset({"p"}), frozenset({"hidden", "out", "block 0"}))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(4, 4), nn.Linear(4, 2)
        self.add_module("block 0", nn.Linear(4, 4))


def test_a_graph_runs_as_the_same_lines_would() -> None:
    calls = [
        GraphCall("h", "hidden", ("x",)),
        GraphCall("a", "relu", ("h",)),
        GraphCall("b", "block 0", ("a",)),
        GraphCall("c", "torch.cat", (("a", "b"),), kwargs={"dim": 1}),
        GraphCall("d", "dropout", ("c",), kwargs={"p": "p / 2", "training": False}),
        GraphCall("s", "einsum", (("a", "b"),)),
    ]
    calls[-1] = GraphCall("s", "torch.split", ("d",), args=(4,), kwargs={"dim": -1})
    net, x = Net(), torch.randn(2, 4)
    forward = compile_graph([*calls, GraphCall("y", "out", ("a",))], ["y", "d"], SCOPE, LIMITS)
    y, d = forward.bind({"p": 0.5})(net, x)
    a = F.relu(net.hidden(x))
    assert torch.equal(y, net.out(a))
    assert torch.equal(d, torch.cat((a, getattr(net, "block 0")(a)), 1))
    assert "getattr(self, 'block 0')(a)" in ast.unparse(forward.tree)


def test_outputs_may_have_names_and_one_output_stands_alone() -> None:
    calls = [GraphCall("h", "hidden", ("x",))]
    net, x = Net(), torch.randn(2, 4)
    assert torch.equal(compile_graph(calls, {"code": "h"}, SCOPE, LIMITS).bind({"p": 0})(net, x)["code"], net.hidden(x))
    assert torch.equal(compile_graph(calls, ["h"], SCOPE, LIMITS).bind({"p": 0})(net, x), net.hidden(x))


def test_ids_may_be_any_text_and_may_be_called_as_functions_are() -> None:
    calls = [
        GraphCall("relu", "relu", ("x",)),
        GraphCall("2 x", "relu", ("relu",)),
        GraphCall("class", "F.relu", ("2 x",)),
    ]
    x = torch.randn(3)
    assert torch.equal(compile_graph(calls, ["class"], SCOPE, LIMITS).bind({"p": 0})(None, x), F.relu(x))


@pytest.mark.parametrize(
    ("calls", "outputs", "code", "line"),
    [
        ([GraphCall("h", "hidden", ("y",))], ["h"], "unknown-name", 1),
        ([GraphCall("h", "hiden", ("x",))], ["h"], "bad-expression", 1),
        ([GraphCall("h", "hidden", ("x",))], ["z"], "unknown-name", 2),
        ([GraphCall("h", "hidden", ("x",)), GraphCall("h", "out", ("x",))], ["h"], "duplicate-name", 2),
        ([GraphCall("h", "__import__", ("x",))], ["h"], "bad-expression", 1),
        ([GraphCall("h", "hidden(x)", ("x",))], ["h"], "bad-expression", 1),
        ([GraphCall("h", "relu", ("x",), kwargs={"inplace": True})], ["h"], "bad-expression", 1),
        ([GraphCall("h", "relu", ("x",), kwargs={"__a": 1})], ["h"], "bad-expression", 1),
        ([GraphCall("h", "relu", ("x",), args=({"a": 1},))], ["h"], "bad-expression", 1),
        ([GraphCall("h", "relu", ("x",))], [], "bad-output", 2),
    ],
)
def test_a_bad_node_is_refused_by_its_number(calls: list[GraphCall], outputs: list[str], code: str, line: int) -> None:
    with pytest.raises(LanguageError) as caught:
        compile_graph(calls, outputs, SCOPE, LIMITS)
    assert (caught.value.code, caught.value.line) == (code, line), str(caught.value)


def test_a_failure_of_a_node_is_found_by_its_number() -> None:
    calls = [GraphCall("h", "relu", ("x",)), GraphCall("y", "hidden", ("h",))]
    with pytest.raises(RuntimeError) as caught:
        compile_graph(calls, ["y"], SCOPE, LIMITS).bind({"p": 0})(Net(), torch.ones(2, 9))
    assert explain(caught.value).line == 2
