"""Every operation with a rule, run on rows together and alone. One whose rule has no sample here fails too."""

import re

import pytest
import torch
from torch import nn

from app.architecture.rowwise.layers import FUNCTIONS
from app.architecture.rowwise.rules import RULES
from app.errors import LabError
from tests.architecture.building import built
from tests.architecture.rowwise.both_ways import check, run
from tests.architecture.rowwise.samples import INPUTS, LAYERS, OTHERS, PARAMETERS, POINTWISE

OF_LAYERS = {name for name in RULES if name.startswith("layer.")}
LIKE_POINTWISE = sorted(set(RULES) - set(OTHERS) - OF_LAYERS)


def network(expression: str, child: str | None = None) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """A block that returns the expression, and the inputs that stand in it."""
    words = set(re.findall(r"\w+", expression))
    inputs = {name: tensor for name, tensor in INPUTS.items() if name in words}
    document: dict[str, object] = {
        "parameters": {name: text for name, text in PARAMETERS.items() if name in words},
        "inputs": list(inputs),
        "forward": f"return {expression}",
    }
    if child is not None:
        document["children"] = {"child": child}
    return built(document).eval(), inputs


@pytest.mark.parametrize("name", LIKE_POINTWISE)
def test_each_element_by_itself(name: str) -> None:
    for template in POINTWISE:
        expression = template.replace("f(", f"{name}(")
        try:
            net, inputs = network(expression)
            run(net, inputs)
        except LabError:
            continue
        check(net, inputs)
        return
    pytest.fail(f"no template fits {name}; give it a sample")


@pytest.mark.parametrize(("name", "expression"), [(name, one) for name in OTHERS for one in OTHERS[name]])
def test_rows_stay_apart(name: str, expression: str) -> None:
    assert name in RULES
    check(*network(expression))


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_keeps_rows_apart(name: str) -> None:
    written, given = LAYERS[name]
    check(*network(f"child({given})", child=written))


def test_every_layer_with_a_rule_has_a_sample() -> None:
    assert {kind.__name__ for kind in FUNCTIONS} == set(LAYERS)
