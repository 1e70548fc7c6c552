"""Hostile architectures and texts: refused when a network is made, or when it runs, and nothing is left of them."""

import re
from typing import Any

import httpx
import pytest

from tests.hostile import architectures, expressions, growing, names, native, running
from tests.hostile.laboratory import DEADLINE_SECONDS, Laboratory

ARCHITECTURES = [
    row
    for table in (
        architectures.WRONG_TYPES,
        architectures.ARGUMENTS,
        architectures.BOMBS,
        names.NAMES,
        names.REFERENCES,
        architectures.TENSORS,
    )
    for row in table
]


def titled(rows: list[Any]) -> Any:
    return [pytest.param(*row[1:], id=re.sub(r"[^\x20-\x7e]", "?", row[0])) for row in rows]


@pytest.mark.parametrize(("architecture", "code", "pointer"), titled(ARCHITECTURES))
def test_a_hostile_architecture_is_refused_at_its_place(
    lab: Laboratory, architecture: Any, code: str, pointer: str
) -> None:
    lab.refused(lab.post("/v1/networks", {"name": "victim", "architecture": architecture}), 422, code, pointer)
    lab.refused(lab.post("/v1/architectures/check", {"architecture": architecture}), 422, code, pointer)


@pytest.mark.parametrize(("text", "code", "place"), titled(expressions.EXPRESSIONS))
def test_a_hostile_expression_is_refused_at_its_place(lab: Laboratory, text: str, code: str, place: str) -> None:
    architecture = {"inputs": ["x"], "parameters": {"w": text}, "forward": ["return x"]}
    reply = lab.post("/v1/networks", {"name": "victim", "architecture": architecture})
    problem = lab.refused(reply, 422, code, "/architecture/parameters/w")
    assert problem["detail"].startswith(place)


@pytest.mark.parametrize(("lines", "code", "pointer"), titled(expressions.FORWARDS))
def test_a_hostile_forward_is_refused_at_its_line(lab: Laboratory, lines: list[str], code: str, pointer: str) -> None:
    reply = lab.post("/v1/networks", {"name": "victim", "architecture": {"inputs": ["x"], "forward": lines}})
    problem = lab.refused(reply, 422, code, pointer)
    number = int(pointer.rpartition("/")[2]) + 1 if pointer[-1].isdigit() else 1
    assert f"line {number}, column " in problem["detail"] or "one entry is one line" in problem["detail"]


def run(lab: Laboratory, lines: list[str], inputs: Any) -> httpx.Response:
    return run_network(lab, {"inputs": ["x"], "forward": lines}, inputs)


def run_network(lab: Laboratory, architecture: Any, inputs: Any) -> httpx.Response:
    """Makes a network, which succeeds, runs it once and deletes it."""
    made = lab.post("/v1/networks", {"name": "victim", "architecture": architecture})
    assert made.status_code == 201, made.text[:300]
    try:
        return lab.post("/v1/networks/victim/forward", {"inputs": inputs})
    finally:
        assert lab.client.delete("/v1/networks/victim").status_code == 204


@pytest.mark.parametrize(
    ("lines", "inputs", "code", "words"), titled(growing.REFUSED + running.REFUSED + native.CHECKED + native.TRUSTING)
)
def test_a_forward_that_goes_wrong_says_where(
    lab: Laboratory, lines: list[str], inputs: Any, code: str, words: str
) -> None:
    problem = lab.refused(run(lab, lines, inputs), 422, code, "/inputs")
    assert words in problem["detail"]
    at_line = re.search(r"at line (\d+) of forward", problem["detail"])
    if at_line is None:
        assert "dimensions" in words  # an output that no format can hold belongs to no line
    else:
        assert 1 <= int(at_line[1]) <= len(lines)


@pytest.mark.parametrize(("layer", "inputs", "code", "words"), titled(native.LAYERS))
def test_a_layer_looks_at_what_its_native_code_trusts(
    lab: Laboratory, layer: str, inputs: Any, code: str, words: str
) -> None:
    problem = lab.refused(run_network(lab, layer, inputs), 422, code, "/inputs")
    assert words in problem["detail"]


@pytest.mark.parametrize(("lines", "inputs"), titled(native.ENDS_WELL))
def test_a_forward_that_only_looks_bad_is_answered(lab: Laboratory, lines: list[str], inputs: Any) -> None:
    assert run(lab, lines, inputs).status_code == 200
    assert lab.restarts() == lab.explained


@pytest.mark.parametrize(("lines", "inputs"), titled(running.KILLED))
def test_a_forward_without_end_is_stopped_at_the_deadline(lab: Laboratory, lines: list[str], inputs: Any) -> None:
    reply = run(lab, lines, inputs)
    lab.explained += 1
    # The reply does not wait for the worker to be replaced; the test's own timeout ends this.
    while lab.restarts() < lab.explained or not lab.client.get("/readyz").is_success:
        pass
    problem = lab.refused(reply, 504, "deadline-exceeded")
    assert "was stopped" in problem["detail"]
    assert reply.elapsed.total_seconds() < DEADLINE_SECONDS + 2
