"""Hostile and oversized documents: each is refused in well under a second, and takes no memory."""

import resource
import time

import pytest

from app.architecture.build import build
from app.errors import Unprocessable
from app.settings import Limits
from tests.architecture.building import LIMITS, built, refusal, resolved


def nested_lists(depth):
    block = ["ReLU()"]
    for _ in range(depth):
        block = [block]
    return block


def nested_repeats(depth, count):
    block = "Linear(2, 2)"
    for _ in range(depth):
        block = [{"repeat": count, "block": block}]
    return block


def varying_repeats(depth, count):
    block = "Linear(2, 2 + 0 * i)"
    for _ in range(depth):
        block = [{"repeat": count, "block": block}]
    return block


def doubling(depth):
    blocks = {f"B{k}": [f"B{k + 1}()", f"B{k + 1}()"] for k in range(depth)}
    return {"blocks": {**blocks, f"B{depth}": "Linear(2, 2)"}, "block": "B0()"}


def doubling_arguments(depth):
    text = "Linear(2, 2)"
    blocks = {"P": {"hyperparameters": ["a", "b"], "children": {"x": "a", "y": "b"}}}
    blocks |= {f"B{k}": f"P(B{k + 1}(), B{k + 1}())" for k in range(depth)}
    return {"blocks": {**blocks, f"B{depth}": text}, "block": "B0()"}


def doubling_values(depth):
    blocks = {
        f"B{k}": {
            "hyperparameters": ["n"],
            "type": "Sequential",
            "layers": [f"B{k + 1}(2 * n)", f"B{k + 1}(2 * n + 1)"],
        }
        for k in range(depth)
    }
    return {"blocks": {**blocks, f"B{depth}": {"hyperparameters": ["n"], "block": "Linear(n, 1)"}}, "block": "B0(1)"}


def shared_doubling(depth):
    shared = {f"s{k}": [{"ref": f"s{k + 1}"}, {"ref": f"s{k + 1}"}] for k in range(depth)}
    return {"shared": {**shared, f"s{depth}": "Linear(2, 2)"}, "type": "Sequential", "layers": [{"ref": "s0"}] * 5}


HOSTILE = {
    "huge sizes": {"type": "Linear", "args": [10**18, 10**18]},
    "sizes beyond 64 bits": {"type": "Linear", "args": [10**30, 2]},
    "a layer of exabytes": "Linear(2000000000, 2000000000)",
    "an embedding of terabytes": "Embedding(1000000000000, 1000000000000)",
    "a kernel of petabytes": "Conv3d(100000, 100000, (10000, 10000, 10000))",
    "many layers that add up": [{"repeat": 2000, "block": "Linear(1000, 1000)"}],
    "many layers that vary and add up": [{"repeat": 20000, "block": "Linear(2000 + i, 2000)"}],
    "many repeats": [{"repeat": 10**9, "block": "ReLU()"}],
    "many repeats by an expression": {
        "hyperparameters": {"n": 10**6},
        "type": "Sequential",
        "layers": [{"repeat": "n * n", "block": "ReLU()"}],
    },
    "repeats in repeats": nested_repeats(5, 1000),
    "repeats in repeats that vary": varying_repeats(5, 1000),
    "repeats of nothing in repeats": [
        {"repeat": 20000, "block": {"repeat": 20000, "block": {"repeat": "0 * i", "block": "ReLU()"}}}
    ],
    "a stack of a million": "TransformerEncoder(TransformerEncoderLayer(8, 2), 1000000)",
    "a stack of a large block": {
        "type": "TransformerEncoder",
        "args": [{"type": "Sequential", "layers": [{"repeat": 19000, "block": "ReLU()"}]}, 200],
    },
    "an LSTM of a million layers": "LSTM(2, 2, 1000000)",
    "lists in lists": nested_lists(500),
    "lists in lists, fewer": nested_lists(100),
    "a constant of many dimensions": {"constants": {"a": nested_lists(40)}},
    "blocks that double": doubling(60),
    "arguments that double": doubling_arguments(60),
    "blocks that double with other values": doubling_values(40),
    "shared blocks in a chain that doubles": shared_doubling(62),
    "a chain of blocks": {
        "blocks": {**{f"B{k}": [f"B{k + 1}()"] for k in range(200)}, "B200": "ReLU()"},
        "block": "B0()",
    },
    "a chain of texts": {"blocks": {**{f"B{k}": f"B{k + 1}()" for k in range(900)}, "B900": "ReLU()"}, "block": "B0()"},
    "a parameter of terabytes": {"parameters": {"w": "randn(1000000, 1000000)"}},
    "parameters that add up": {"parameters": {f"w{k}": "zeros(250000000)" for k in range(20)}},
    "an expanded constant": {"constants": {"w": "zeros(1).expand(10000000000)"}},
    "an argument of gigabytes": "CrossEntropyLoss(weight=zeros(500000000))",
    "a power without end": ["Linear(9 ** 9 ** 9, 2)"],
    "a text of megabytes": ["Linear(2, 2) " + " " * 10**6],
    "brackets in brackets": ["Linear(" + "(" * 1500 + "2" + ")" * 1500 + ", 2)"],
    "a list of a hundred thousand": ["ReLU()"] * 100_000,
    "a document of megabytes": {"constants": {"a": [0.123456789] * 500_000}},
    "a library of terabytes": {"type": "Bilinear", "args": [10**6, 10**6, 10**6]},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_at_once_and_takes_no_memory(name):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    error = refusal(HOSTILE[name])
    assert time.process_time() - started < 1, error.detail
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
    assert error.code in ("limit-exceeded", "bad-expression"), error.detail
    assert error.places[0].pointer.startswith("/architecture")
    assert len(error.detail) < 500


def test_a_library_that_doubles_is_refused_too():
    library = {f"B{k}": [f"B{k + 1}()", f"B{k + 1}()"] for k in range(60)} | {"B60": "Linear(2, 2)"}
    assert refusal("B0()", library).code == "limit-exceeded"
    small = {name: library[name] for name in ("B58", "B59", "B60")}
    assert len(list(built("B58()", small).modules())) == 7


def test_a_diamond_of_library_blocks_is_embedded_once():
    library = {f"B{k}": [f"B{k + 1}()", f"B{k + 1}()"] for k in range(10)} | {"B10": "ReLU()"}
    assert len(resolved("B0()", library)["blocks"]) == 11


def test_what_is_within_the_limits_is_built():
    limits = Limits(layers=12, expansion=10, nesting=4)
    document = [{"repeat": 10, "block": "ReLU()"}]
    assert len(build(resolved(document, limits=limits), limits=limits)) == 10
    assert refusal([{"repeat": 11, "block": "ReLU()"}], limits=limits).code == "limit-exceeded"
    assert refusal([[[[["ReLU()"]]]]], limits=limits).code == "limit-exceeded"
    assert resolved([[["ReLU()"]]], limits=limits)


def test_building_applies_the_limits_by_itself():
    with pytest.raises(Unprocessable) as caught:
        build({"type": "Linear", "args": [10**9, 10**9]}, limits=LIMITS)
    assert caught.value.code == "limit-exceeded"
    with pytest.raises(Unprocessable):
        build({"type": "Linear", "args": [10, 10]}, limits=Limits(parameter_bytes=100))
