"""What can be told from the text alone is refused when an architecture is read, not when a network is run."""

import pytest
import torch
from torch import nn

from tests.architecture.building import built, refused, same_state

CHILDREN = {"l": "Linear(3, 3)", "m": {"type": "ModuleList", "layers": [{"children": {"frob": "ReLU()"}}]}}


@pytest.mark.parametrize(
    ("lines", "place", "words"),
    [
        (["x = l(x)", "return x.frob()"], "line 2, column 8", "no method is named 'frob'"),
        (["return x.relu().sigmoit()"], "line 1, column 8", "did you mean sigmoid"),
        (["return (x + 1).frob()"], "line 1, column 8", "no method is named 'frob'"),
        (["n = 3", "return n.frob()"], "line 2, column 8", "no method is named 'frob'"),
        (["y, z = x.chunk(2)", "return z.frob()"], "line 2, column 8", "no method is named 'frob'"),
        (["a = []", "a.extend([x])", "return x"], "line 2, column 1", "append and pop"),
        (["return [x].insert(0, x)"], "line 1, column 8", "append and pop"),
    ],
)
def test_a_method_that_nothing_has_is_refused_with_its_line(lines: list[str], place: str, words: str) -> None:
    document = {"children": CHILDREN, "inputs": ["x"], "forward": lines}
    detail = refused(document, "bad-expression", f"/architecture/forward/{int(place[5]) - 1}")
    assert place in detail
    assert words in detail


@pytest.mark.parametrize(
    "lines",
    [
        ["return m[0].frob(x)"],
        ["c = m[0]", "return c.frob(x)"],
        ["for c in m:", "    x = c.frob(x)", "return x"],
        ["for i, c in enumerate(m):", "    x = c.frob(x)", "return x"],
        ["h = [m[0]]", "c = h.pop()", "return c.frob(x)"],
    ],
)
def test_a_child_of_a_value_that_may_be_a_child_is_no_unknown_method(lines: list[str]) -> None:
    x = torch.randn(2, 3)
    net = built({"children": CHILDREN, "inputs": ["x"], "forward": lines})
    assert torch.equal(net(x), torch.relu(x))


def test_lists_of_blocks_in_a_text_are_lists_of_blocks() -> None:
    twin = nn.ModuleList([nn.Linear(3, 3), nn.ReLU()])
    net = built("ModuleList([Linear(3, 3), ReLU()])")
    assert str(net) == str(twin)
    torch.manual_seed(7)
    same_state(net, nn.ModuleList([nn.Linear(3, 3), nn.ReLU()]))
    assert str(built("[Linear(3, 3), ReLU()]")) == str(nn.Sequential(*twin))


def test_a_list_of_blocks_as_an_argument_may_be_the_children() -> None:
    tower = {"hyperparameters": ["parts"], "children": "parts", "inputs": ["x"]}
    tower["forward"] = ["for part in children():", "    x = part(x)", "return x"]
    net = built({"blocks": {"Tower": tower}, "type": "Sequential", "args": ["Tower([Linear(3, 3), ReLU()])"]})
    torch.manual_seed(7)
    twin = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    x = torch.randn(2, 3)
    assert torch.equal(net(x), twin(x))


def test_a_list_of_blocks_where_a_number_belongs_is_named_in_words() -> None:
    detail = refused("Linear([ReLU()], 3)", "bad-arguments", "/architecture")
    assert detail.startswith("Linear's in_features is an integer, not a list of blocks")


@pytest.mark.parametrize(
    "blocks", [{"A": ["B()"], "B": ["A()"]}, {"A": "A()"}, {"A": "ReLU()", "B": ["C()"], "C": ["A()", "B()"]}]
)
def test_blocks_in_a_ring_are_refused_even_if_nothing_uses_them(blocks: dict[str, object]) -> None:
    first = "B" if "C" in blocks else "A"
    assert "in a circle" in refused({"blocks": blocks, "type": "ReLU"}, "cycle", f"/architecture/blocks/{first}")


@pytest.mark.parametrize("name", ["a b", "__x", "for", "self", "é", ""])
def test_an_input_with_a_bad_name(name: str) -> None:
    refused({"inputs": [name], "forward": ["return 1"]}, "bad-name", "/architecture/inputs/0")


def test_a_constant_that_names_a_later_one_is_told_of_the_order() -> None:
    late = {"constants": {"a": "k + 1", "k": "ones(2)"}, "inputs": ["x"], "forward": ["return x + a"]}
    assert "the constant 'k' is not there yet" in refused(late, "bad-expression", "/architecture/constants/a")
    late["constants"] = {"k": "ones(2)", "a": "k + 1"}
    assert torch.equal(built(late)(torch.zeros(2)), torch.full((2,), 2.0))
