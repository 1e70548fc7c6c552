"""Random texts: allowed ones do what Python does, others are refused with a LanguageError and without effect."""

import ast
import builtins
import math
import os
import subprocess
import time

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from app.language.compile import Input, Scope, compile_forward, evaluate, explain, running
from app.language.errors import LanguageError
from app.language.printed import EITHER, print_forward
from app.language.syntax import parse_expression, parse_input
from app.settings import Limits

LIMITS = Limits()
FEW = Limits(loop_steps=200, tensor_bytes=2**20, list_length=100)

# --- allowed texts ---

tensors = st.sampled_from(
    ["a", "b", "relu(a)", "F.gelu(b)", "torch.exp(a)", "a.abs()", "b.T", "a[0]", "b[:, 1:]", "a[..., None]"]
)
numbers = st.one_of(
    st.integers(0, 9).map(str),
    st.floats(0, 9, allow_nan=False).map(lambda value: repr(round(value, 3))),
    st.sampled_from(["n", "a.shape[0]", "a.ndim", "len(a)", "pi"]),
)


OPERATORS = "+ - * / // % ** @ < <= > >= == != & | ^ and or"


def combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.tuples(inner, st.sampled_from(OPERATORS.split()), inner)
    return st.one_of(
        pairs.map(lambda part: f"({part[0]} {part[1]} {part[2]})"),
        inner.map(lambda part: f"(-{part})"),
        inner.map(lambda part: f"(not {part})"),
        inner.map(lambda part: f"torch.sum({part})"),
        inner.map(lambda part: f"({part}).mean()"),
        st.tuples(inner, inner).map(lambda part: f"torch.maximum({part[0]}, {part[1]})"),
        st.tuples(inner, inner, inner).map(lambda part: f"({part[0]} if n > 1 else {part[1]}, {part[2]})[0]"),
        st.tuples(inner, inner, inner).map(lambda part: f"({part[0]} < {part[1]} < {part[2]})"),
    )


expressions = st.recursive(st.one_of(tensors, numbers), combined, max_leaves=8)


def same(a: object, b: object) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a.nan_to_num(), b.nan_to_num())
    if isinstance(a, tuple | list):
        return isinstance(b, tuple | list) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or (a != a and b != b))


def by_python(text: str, values: dict[str, object]) -> object:
    space = {"torch": torch, "F": F, "relu": F.relu, "pi": torch.pi, "len": len, "__builtins__": {}}
    return eval(text, space | values)


@given(expressions)
def test_an_allowed_expression_equals_python_or_is_refused_where_python_fails(text: str) -> None:
    torch.manual_seed(0)
    values = {"a": torch.rand(3, 3) + 0.5, "b": torch.rand(3, 3), "n": 2}
    before = {"a": values["a"].clone(), "b": values["b"].clone()}
    try:
        mine = evaluate(text, values, limits=LIMITS)
    except LanguageError as error:
        mine = error
    assert torch.equal(values["a"], before["a"])
    assert torch.equal(values["b"], before["b"])
    try:
        theirs = by_python(text, values)
    except (RuntimeError, TypeError, ValueError, ArithmeticError, AttributeError, IndexError):
        assert isinstance(mine, LanguageError)
        return
    if isinstance(mine, LanguageError):
        refusable = isinstance(theirs, complex) or mine.code in ("limit-exceeded", "bad-arguments")
        assert refusable, f"{text}: {mine}"
        return
    assert same(mine, theirs), text


lines = st.one_of(
    expressions.map(lambda text: f"y = {text}"),
    expressions.map(lambda text: f"y += {text}"),
    expressions.map(lambda text: f"l.append({text})"),
    expressions.map(lambda text: f"y, z = {text}, y"),
    st.just("a = a * 0.5"),
)


def indented(block: list[str]) -> list[str]:
    return ["    " + line for line in block]


def blocks(inner: st.SearchStrategy[list[str]]) -> st.SearchStrategy[list[str]]:
    several = st.lists(inner, min_size=1, max_size=3).map(lambda parts: [line for part in parts for line in part])
    return st.one_of(
        several,
        several.map(lambda body: ["for i in range(3):", *indented(body)]),
        several.map(lambda body: ["for i, (p, q) in enumerate(zip(a, b)):", *indented(body), "    y = p * i"]),
        several.map(lambda body: ["if a.sum() > 3:", *indented(body), "else:", "    y = b"]),
        several.map(
            lambda body: ["k = 0", "while k < 3:", "    k += 1", "    if k == 2:", "        continue", *indented(body)]
        ),
    )


programs = st.recursive(lines.map(lambda line: [line]), blocks, max_leaves=5)
SCOPE = Scope((Input("a", True), Input("b", True)), frozenset({"n"}))


@given(programs)
def test_an_allowed_program_equals_its_printed_code_run_by_python(program: list[str]) -> None:
    torch.manual_seed(0)
    a, b = torch.rand(3, 3) + 0.5, torch.rand(3, 3)
    try:
        forward = compile_forward(["y = 0.0", "l = [n]", *program, "return y, l"], SCOPE, LIMITS)
    except LanguageError as error:
        assert "have no methods" in error.message  # noqa: PT017  # (2).mean() is refused when it is checked
        return
    space = {
        "torch": torch,
        "F": F,
        "__builtins__": {n: getattr(builtins, n) for n in ("range", "enumerate", "zip", "len", "sum")},
    }
    try:
        mine = forward.bind({"n": 2})(None, a.clone(), b.clone())
    except Exception as error:  # noqa: BLE001  # whatever came out has to be explained
        mine = explain(error)
    printed = print_forward(forward, {"n": 2}, lambda _: False, lambda text: text)
    assert_as_python(program, mine, ast.unparse(forward.tree), space, a, b)
    whole = {**space, "math": math, "__builtins__": builtins}
    exec("\n".join(EITHER[name] for name in printed.helpers), whole)
    assert_as_python(program, mine, printed.text, whole, a, b)


def assert_as_python(
    program: list[str], mine: object, text: str, space: dict[str, object], a: torch.Tensor, b: torch.Tensor
) -> None:
    exec(text, space)
    try:
        theirs = space["forward"](type("Self", (), {"n": 2})(), a.clone(), b.clone())
    except Exception:  # noqa: BLE001  # Python may fail as it likes
        assert isinstance(mine, LanguageError)
        return
    if isinstance(mine, LanguageError):
        assert mine.code in ("limit-exceeded", "bad-arguments", "bad-output"), f"{program}: {mine}"
        return
    assert same(mine, theirs), program


# --- texts of all kinds ---

FRAGMENTS = """
__class__ __subclasses__ __globals__ __builtins__ __import__ __init__ __dict__ __getattribute__ mro f_globals gi_frame
getattr setattr eval exec open compile type object globals os system canary lambda : for in if else import from as def
class return yield await async with try except raise del global nonlocal assert while break continue pass is not and or
None True False ... 0 1 -1 1e999 10**10 9999999999999999999 'x' "a b" b'x' f'{x}' f"{x.__class__}" r'\\d' x y self torch
F
nn relu zeros range enumerate zip reversed children linear weight training shape data T add_ append pop ( ) [ ] { } , .
=
== != < > <= >= += -= *= ** * / // % @ & | ^ ~ ! := -> ; \\ ` $ ? \u00e9 \uff58 \ufb03 \u202e \0 \ud800
"""
PARTS = [*FRAGMENTS.split(), "\n", "\n    ", "\t", "# "]
soup = st.lists(st.sampled_from(PARTS), min_size=1, max_size=25).map(" ".join)
tight = st.lists(st.sampled_from(PARTS), min_size=1, max_size=25).map("".join)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """An allowed text with a piece cut, doubled, or replaced by a fragment."""
    text = draw(st.one_of(expressions, programs.map("\n".join)))
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(len(text), start + 6)))
    return text[:start] + draw(st.one_of(soup, tight, st.just(""), st.text(max_size=4))) + text[end:]


class Canary:
    """Whatever reaches for it, or for the outside, is caught in the act."""

    touched = False

    def __getattr__(self, name: str) -> object:
        Canary.touched = True
        raise AssertionError(name)


@pytest.fixture(autouse=True)
def no_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def caught(*args: object, **kwargs: object) -> None:
        Canary.touched = True
        raise AssertionError("a text reached the outside")

    monkeypatch.setattr(os, "system", caught)
    monkeypatch.setattr(subprocess, "Popen", caught)
    monkeypatch.setattr(torch, "manual_seed_of_nobody", caught, raising=False)
    monkeypatch.setattr(builtins, "canary", Canary(), raising=False)


WIDE = Scope((Input("x", True),), frozenset({"n"}), frozenset({"linear"}), frozenset({"weight"}))


@settings(max_examples=600)
@given(st.one_of(soup, tight, mutated(), st.text(max_size=60)))
def test_any_text_is_taken_or_refused_quickly_and_nothing_but_a_language_error_comes_out(text: str) -> None:
    started = time.perf_counter()
    threads, seed = torch.get_num_threads(), torch.initial_seed()
    for attempt in (
        lambda: parse_expression(text, FEW),
        lambda: parse_input(text, FEW),
        lambda: evaluate(text, {"x": torch.ones(2), "a": torch.ones(2, 2), "n": 2}, limits=FEW),
        lambda: run_forward(text),
    ):
        try:
            attempt()
        except LanguageError as error:
            str(error).encode()
    assert not Canary.touched
    assert (torch.get_num_threads(), torch.initial_seed()) == (threads, seed)
    assert time.perf_counter() - started < 5


def run_forward(text: str) -> None:
    forward = compile_forward(f"{text}\nreturn x", WIDE, FEW)
    ast.unparse(forward.tree)
    module = torch.nn.Module()
    module.linear = torch.nn.Linear(2, 2)
    module.weight = torch.nn.Parameter(torch.ones(2, 2))
    before = module.linear.weight.detach().clone(), module.weight.detach().clone()
    with running(device="cpu", dtype=torch.float32, limits=FEW):
        try:
            forward.bind({"n": 2})(module, torch.ones(2, 2))
        except Exception as error:  # noqa: BLE001  # whatever came out has to be explained
            explain(error)
    assert torch.equal(before[0], module.linear.weight)
    assert torch.equal(before[1], module.weight)
