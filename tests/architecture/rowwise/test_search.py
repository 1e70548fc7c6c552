"""A search for an operation that is declared row-wise and is not: samples, bent out of shape in every way there is.

Dimensions, numbers and flags are changed, inputs swapped and given other sizes, values transposed, flattened and picked
from before and after. Whatever the proof still calls row-wise must be so.
"""

import re

import torch
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st

from app.architecture.rowwise import RowWise, prove
from app.errors import LabError
from tests.architecture.building import built
from tests.architecture.rowwise.both_ways import difference, ranks_of
from tests.architecture.rowwise.samples import LAYERS, OTHERS, PARAMETERS, POINTWISE
from tests.architecture.rowwise.test_rules import LIKE_POINTWISE

SAMPLES = [expression for expressions in OTHERS.values() for expression in expressions]
NUMBER = re.compile(r"(?<![\w.])-?\d+(?![\w.])")
FLAG = re.compile(r"\bTrue\b|\bFalse\b")
INPUT = re.compile(r"\b(x|y|s|m|i|j|k|image|volume|q|pixels)\b(?!\()")
BEFORE = (
    *(
        "{}.transpose(0, 1)",
        "{}.transpose(1, -1)",
        "{}[:, 0]",
        "{}[0]",
        "{}[:1]",
        "{}[..., :1]",
        "{}[:, None]",
        "{}[None]",
    ),
    *("{}.flatten(0, 1)", "{}.flatten(1)", "{}.sum(-1)", "{}.sum(0)", "{}.unsqueeze(-1)", "{}.mT", "{}.squeeze(1)"),
    *(
        "{}.expand(2, -1, -1)",
        "{}.repeat(2, 1, 1)",
        "{}.view(-1, {}.shape[-1])",
        "{}.reshape({}.shape[0], -1)",
        "{} * 2",
    ),
)


@st.composite
def programs(draw: st.DrawFn) -> tuple[dict[str, object], dict[str, torch.Tensor]]:
    """An architecture and inputs for it."""
    child = None
    kind = draw(st.sampled_from(["sample", "sample", "pointwise", "layer"]))
    if kind == "sample":
        text = draw(st.sampled_from(SAMPLES))
    elif kind == "pointwise":
        text = draw(st.sampled_from(POINTWISE)).replace("f(", draw(st.sampled_from(LIKE_POINTWISE)) + "(")
    else:
        child, given_inputs = draw(st.sampled_from(list(LAYERS.values())))
        text = f"child({given_inputs})"
    for _ in range(draw(st.integers(0, 3))):
        text = draw(bent(text))
    if child is not None and draw(st.booleans()):
        child = draw(bent(child, (NUMBER, FLAG)))
    lines = [
        f"a = {text}",
        draw(st.sampled_from(["return a", "return a", *(f"return {one}".format("a", "a") for one in BEFORE)])),
    ]
    words = set(re.findall(r"\w+", "\n".join(lines)))
    inputs = {
        name: draw(tensors(name, rows=4))
        for name in ("x", "y", "s", "m", "i", "j", "k", "image", "volume", "q", "pixels")
        if name in words
    }
    document = {
        "parameters": {name: draw(parameters(made)) for name, made in PARAMETERS.items() if name in words},
        "children": {} if child is None else {"child": child},
        "inputs": list(inputs),
        "forward": lines,
    }
    return document, inputs


@st.composite
def bent(draw: st.DrawFn, text: str, which: tuple[re.Pattern[str], ...] = (NUMBER, FLAG, INPUT)) -> str:
    """The text with one number, flag or input changed, or moved before it is used."""
    places = [found for pattern in which for found in pattern.finditer(text)]
    if not places:
        return text
    found = draw(st.sampled_from(places))
    old = found.group()
    if NUMBER.fullmatch(old):
        new = draw(st.sampled_from(["0", "1", "2", "-1", "-2", "3", "x.shape[0]", "None", "(0, 1)", "[1, 0]"]))
    elif FLAG.fullmatch(old):
        new = str(old != "True")
    else:
        new = draw(
            st.sampled_from(["x", "y", "s", "i", "w", "matrix", "token", *(one.format(old, old) for one in BEFORE)])
        )
    return text[: found.start()] + new + text[found.end() :]


@st.composite
def parameters(draw: st.DrawFn, text: str) -> str:
    """A parameter, now and then of other sizes."""
    if draw(st.integers(0, 4)):
        return text
    return f"randn({', '.join(str(draw(st.sampled_from([1, 2, 4, 6]))) for _ in range(draw(st.integers(1, 3))))})"


@st.composite
def tensors(draw: st.DrawFn, name: str, rows: int) -> torch.Tensor:
    """An input, now and then with other sizes: with as many as there are rows, with one, with a dimension less."""
    from tests.architecture.rowwise.samples import INPUTS

    sizes = list(INPUTS[name].shape[1:])
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        change = draw(st.sampled_from(["size", "less", "more"]))
        if change == "size" and sizes:
            sizes[draw(st.integers(0, len(sizes) - 1))] = draw(st.sampled_from([1, 2, 3, 4]))
        elif change == "less" and sizes:
            sizes.pop(draw(st.integers(0, len(sizes) - 1)))
        elif change == "more" and len(sizes) < 4:
            sizes.insert(draw(st.integers(0, len(sizes))), draw(st.sampled_from([1, 2, 4])))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 9)))
    if INPUTS[name].is_floating_point():
        return torch.rand(rows, *sizes, generator=generator) * 0.8 + 0.1
    return torch.randint(0, 3, (rows, *sizes), generator=generator)


@given(programs(), st.sampled_from([(1, 3), (2, 2), (1, 1, 2)]))
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
def test_nothing_is_declared_row_wise_that_is_not(
    program: tuple[dict[str, object], dict[str, torch.Tensor]], requests: tuple[int, ...]
) -> None:
    document, inputs = program
    try:
        net = built(document).eval()
    except LabError:
        assume(False)
    proof = prove(net, ranks_of(inputs))
    assume(isinstance(proof, RowWise))
    assert isinstance(proof, RowWise)
    note(str(document))
    note(str({name: tuple(tensor.shape) for name, tensor in inputs.items()}))
    assert difference(net, proof, inputs, requests) is None
