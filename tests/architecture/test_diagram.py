"""Diagrams as graphs: what is a node, what leads where, what is left out and told."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from app.architecture.build import build_on_meta
from app.architecture.diagram import MOST_NODES, diagram_of, observe
from app.architecture.resolve import resolve
from app.errors import Unprocessable
from app.pictures.graph import Diagram, Graph, Node
from app.settings import Limits
from tests.architectures import attention, gates, generative, sequences, vision, vision_blocks, vision_paths

LIMITS = Limits()
CASES = [
    case
    for table in (vision, vision_blocks, vision_paths, sequences, attention, generative, gates)
    for case in table.CASES
]


def network(architecture: Any) -> nn.Module:
    resolved = resolve(architecture, library=lambda _: None, limits=LIMITS, pointer="/architecture")
    return build_on_meta(resolved, limits=LIMITS).eval()


def drawn(architecture: Any, shape: list[int] | None = None, **how: Any) -> Diagram:
    net = network(architecture)
    if shape is None:
        return diagram_of("net", net, **how)
    observed, note = observe(net, torch.empty(shape, device="meta"), LIMITS)
    return diagram_of("net", net, observed=observed, notes=[note] if note else [], **how)


def walk(graph: Graph) -> Iterator[tuple[Graph, Node]]:
    for node in graph.nodes:
        yield graph, node
        if node.inside is not None:
            yield from walk(node.inside)


def titles(graph: Graph) -> list[str]:
    return [node.lines[0] for node in graph.nodes]


def arrows(graph: Graph) -> set[tuple[str, str, str]]:
    """Edges between titles, with their labels."""
    names = {node.id: node.lines[0] for node in graph.nodes}
    return {(names[edge.source], names[edge.target], edge.label) for edge in graph.edges}


def pairs(graph: Graph) -> set[tuple[str, str]]:
    return {(source, target) for source, target, _ in arrows(graph)}


def test_layers_in_a_row_are_a_chain_with_shapes_on_its_edges():
    graph = drawn(["Linear(20, 256)", "ReLU()", "Linear(256, 10)"], [2, 20]).graph
    assert arrows(graph) == {
        ("input", "0: Linear", "[2, 20]"),
        ("0: Linear", "1: ReLU", "[2, 256]"),
        ("1: ReLU", "2: Linear", "[2, 256]"),
        ("2: Linear", "output", "[2, 10]"),
    }


def test_without_shapes_the_edges_say_nothing():
    assert {edge.label for edge in drawn(["Linear(2, 2)", "ReLU()"]).graph.edges} == {""}


def test_a_single_layer_stands_between_its_input_and_output():
    graph = drawn("Linear(3, 4)", [5, 3]).graph
    assert arrows(graph) == {("input", "Linear", "[5, 3]"), ("Linear", "output", "[5, 4]")}


def test_a_forward_is_drawn_by_its_calls_operators_and_constants():
    block = {
        "children": {"linear": "Linear(20, 20)"},
        "constants": {"rand_weight": "rand(20, 20)"},
        "inputs": ["X"],
        "forward": [
            "X = linear(X)",
            "X = relu(mm(X, rand_weight) + 1)",
            "X = linear(X)",
            "while X.abs().sum() > 1:",
            "    X /= 2",
            "return X.sum()",
        ],
    }
    diagram = drawn(block, [2, 20])
    graph = diagram.graph
    assert arrows(graph) >= {
        ("X", "linear: Linear", "[2, 20]"),
        ("linear: Linear", "mm", "[2, 20]"),
        ("rand_weight", "mm", ""),
        ("mm", "+ 1", "[2, 20]"),
        ("relu", "linear: again", "[2, 20]"),
        ("linear: again", "while X.abs().sum() > 1", "[2, 20]"),
    }
    (loop,) = [node for node in graph.nodes if node.kind == "loop"]
    assert loop.inside is not None
    assert titles(loop.inside) == ["X", "/ 2", "X"]
    assert [(edge.source, edge.target) for edge in loop.inside.edges if edge.back] == [
        (loop.inside.nodes[2].id, loop.inside.nodes[0].id)
    ]
    assert any("Shapes end where values decide" in note for note in diagram.notes)
    assert {source for source, target in pairs(graph) if target == "sum"} == {loop.lines[0], "linear: again"}


def test_an_explicit_graph_is_drawn_as_it_is():
    block = {
        "children": {"hidden": "Linear(4, 8)", "out": "Linear(8, 2)"},
        "inputs": ["x"],
        "nodes": [
            {"id": "y", "call": "out", "inputs": ["a"]},
            {"id": "a", "call": "relu", "inputs": ["h"]},
            {"id": "h", "call": "hidden", "inputs": ["x"]},
        ],
        "outputs": ["y"],
    }
    assert pairs(drawn(block).graph) == {
        ("x", "hidden: Linear"),
        ("hidden: Linear", "relu"),
        ("relu", "out: Linear"),
        ("out: Linear", "output"),
    }


def test_a_shared_module_is_drawn_once_and_named_again():
    graph = drawn(gates.SHARED, [3, 4]).graph
    shared = [node for node in graph.nodes if node.shared and node.kind == "layer"]
    assert [node.lines[0] for node in shared] == ["1: PReLU", "2: Linear"]
    again = [node.lines for _, node in walk(graph) if node.kind == "again"]
    assert again.count(("5: again", "the same module as 2")) == 1
    assert len(again) == 5


def test_tied_parameters_are_told_where_they_are_used_again():
    block = {
        "children": {"encoder": "Linear(3, 3)", "decoder": "Linear(3, 3)"},
        "ties": [["decoder.weight", "encoder.weight"]],
        "inputs": ["x"],
        "forward": "return decoder(encoder(x))",
    }
    (decoder,) = [node for node in drawn(block).graph.nodes if node.lines[0] == "decoder: Linear"]
    assert "weight is encoder.weight" in decoder.lines


def test_equal_children_in_a_row_are_one_with_their_number():
    tower = {"type": "Sequential", "layers": [{"repeat": 5, "name": "block {i}", "block": ["Linear(4, 4)", "ReLU()"]}]}
    diagram = drawn(tower)
    (block,) = [node for node in diagram.graph.nodes if node.kind == "module"]
    assert (block.lines[0], block.count) == ("block 0 … block 4: Sequential", 5)
    assert diagram.notes == ("Equal modules in a row are drawn once, with their number.",)
    assert [node.count for node in drawn(["ReLU()", "ReLU()"]).graph.nodes] == [1, 1, 1, 1]


def test_a_loop_over_children_shows_what_each_does():
    (loop,) = [node for node in drawn(gates.EXPERTS, [5, 6]).graph.nodes if node.kind == "loop"]
    assert loop.inside is not None
    (expert,) = [node for node in loop.inside.nodes if node.kind == "module"]
    assert (expert.lines[0], expert.count) == ("experts.0 … experts.3: Sequential", 4)
    assert ("[:, i:i + 1]", "*") in pairs(loop.inside)


def test_outputs_have_the_names_they_have_in_a_reply():
    block = {"inputs": ["x", "mask=None"], "forward": "return {'mean': x.mean(), 'code': x + 1}"}
    graph = drawn(block).graph
    assert pairs(graph) == {("x", "mean"), ("x", "+ 1"), ("mean", "mean"), ("+ 1", "code")}
    assert [node.kind for node in graph.nodes if node.lines[0] == "mask"] == ["input"]
    assert "output_1" in titles(drawn({"inputs": ["x"], "forward": "return x, x * 2"}).graph)


def test_a_branch_keeps_what_was_before_it():
    block = {
        "inputs": ["x", "mask=None"],
        "forward": ["if mask is not None:", "    x = x * mask", "return x.sum()"],
    }
    graph = drawn(block).graph
    assert pairs(graph) == {
        ("x", "if mask is not None"),
        ("mask", "if mask is not None"),
        ("x", "sum"),
        ("if mask is not None", "sum"),
        ("sum", "output"),
    }


def test_a_depth_closes_what_is_deeper():
    nested = [["Linear(2, 2)", ["ReLU()", "Tanh()"]], "Linear(2, 2)"]
    graph = drawn(nested, depth=1).graph
    assert [node.inside for node in graph.nodes] == [None] * 4
    assert graph.nodes[1].lines == ("0: Sequential", "4 modules inside")
    assert {node.lines[0] for _, node in walk(drawn(nested).graph)} >= {"0: ReLU", "1: Tanh"}


def test_a_network_too_large_to_look_at_is_drawn_less_deep_and_says_so():
    block = [f"Linear({size}, {size + 1})" for size in range(1, 40)]
    diagram = drawn([block, [f"Linear({size + 40}, {size + 41})" for size in range(39)], *([block] * 20)])
    assert sum(1 for _ in walk(diagram.graph)) <= MOST_NODES
    many = drawn([[f"Linear({n}, {n})" for n in range(row, row + 40)] for row in range(1, 41)])
    assert sum(1 for _ in walk(many.graph)) <= MOST_NODES
    assert any(note.startswith("Drawn 1 deep") for note in many.notes)


def test_a_long_row_and_a_long_forward_are_cut_and_say_so():
    row = drawn([f"Linear({n}, {n})" for n in range(1, 200)])
    assert len(row.graph.nodes) < 60
    assert row.notes == ("Of 199 modules in a row the first 48 are drawn.",)
    forward = drawn({"inputs": ["x"], "forward": ["x = x.abs() + x.exp()"] * 300 + ["return x"]})
    assert len(forward.graph.nodes) <= MOST_NODES + 2
    assert forward.notes == ("The forward is too long to be drawn whole.",)


def test_shapes_that_do_not_fit_are_refused_in_the_words_of_a_forward():
    with pytest.raises(Unprocessable, match="child '0'") as refused:
        observe(network(["Linear(20, 2)"]), torch.empty(2, 7, device="meta"), LIMITS)
    assert refused.value.code == "shape-mismatch"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_architecture_leads_from_its_inputs_to_its_outputs(case):
    net = network(case.architecture)
    inputs = {name: value.to("meta") for name, value in case.inputs.items()}
    observed, _ = observe(net, inputs, LIMITS)
    diagram = diagram_of(case.name, net, observed=observed)
    seen = set()
    for graph, node in walk(diagram.graph):
        assert node.id not in seen
        seen.add(node.id)
        inner = {one.id for one in graph.nodes}
        assert all(edge.source in inner and edge.target in inner for edge in graph.edges)
    graph = diagram.graph
    before: dict[str, set[str]] = {}
    for edge in graph.edges:
        if not edge.back:
            before.setdefault(edge.target, set()).add(edge.source)
    reached = {node.id for node in graph.nodes if node.kind == "output" and node.id in before}
    assert reached
    waiting = list(reached)
    while waiting:
        for source in before.get(waiting.pop(), ()):
            if source not in reached:
                reached.add(source)
                waiting.append(source)
    given = [node.id for node in graph.nodes if node.kind == "input" and node.lines[0] in case.inputs]
    assert set(given) & reached
    assert any(edge.label for edge in graph.edges)
