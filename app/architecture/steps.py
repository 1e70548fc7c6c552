"""Changing one tensor by text: expressions of `param`, and the in-place functions of `torch.nn.init`.

A step is either `normal_(std=0.01)`, called as in `torch.nn.init` but for its tensor, or an expression of `param`,
whose value takes the tensor's place. Called by the rules of initialisation and by edits of parameters.
"""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch.nn import init

from app.architecture.initializers import catalogue
from app.errors import in_place
from app.language.compile import evaluate
from app.language.errors import LanguageError, suggest
from app.language.running import running
from app.language.syntax import Expression, parse_expression
from app.settings import Limits
from app.tensors.torch_dtypes import dtype_name

INITIALIZERS = frozenset(str(entry["name"]) for entry in catalogue())
MOST_STEPS = 100
_PREFIX = re.compile(r"\A\s*(?:torch\.)?(?:nn\.)?init\.(?=\w+_\()")


@dataclass(frozen=True)
class Step:
    """One checked step; `fills` when it is a function of `torch.nn.init`, which asks nothing of what was there."""

    expression: Expression
    fills: str | None
    pointer: str


def read_steps(value: object, pointer: str, limits: Limits) -> tuple[Step, ...]:
    """Reads one step or a list of them. Raises Unprocessable with the place."""
    if isinstance(value, str):
        return (read_step(value, pointer, limits),)
    if not isinstance(value, list | tuple) or not value:
        message = 'a value is a step such as "normal_(std=0.01)" or "param * 2", or a list of them'
        raise in_place(pointer, message, code="bad-request")
    if len(value) > MOST_STEPS:
        raise in_place(pointer, f"{len(value)} steps; at most {MOST_STEPS} are taken", code="limit-exceeded")
    steps = []
    for position, text in enumerate(value):
        if not isinstance(text, str):
            raise in_place(f"{pointer}/{position}", "a step is text", code="bad-request")
        steps.append(read_step(text, f"{pointer}/{position}", limits))
    return tuple(steps)


def read_step(text: str, pointer: str, limits: Limits) -> Step:
    """Reads one step. Raises Unprocessable (`bad-expression`, `limit-exceeded`)."""
    expression = _parsed(_PREFIX.sub("", text), pointer, limits)
    called = expression.called & INITIALIZERS
    if called and not (isinstance(expression.tree, ast.Call) and isinstance(expression.tree.func, ast.Name)):
        message = f"{min(called)} stands by itself, as in {min(called)}(...); give several steps as a list"
        raise in_place(pointer, message, code="bad-expression")
    if called and len(called) == 1 and isinstance(expression.tree, ast.Call):
        function = expression.tree.func
        if isinstance(function, ast.Name) and function.id in called:
            return Step(expression, function.id, pointer)
    for name in sorted(expression.names & INITIALIZERS):
        message = f"{name} is an initialiser; call it, as in {name}(...), or {name}() where it needs nothing"
        raise in_place(pointer, message, code="bad-expression")
    for name in sorted(expression.called):
        if name.endswith("_") and name not in INITIALIZERS:
            message = f"there is no initialiser {name}{suggest(name, INITIALIZERS)}"
            raise in_place(pointer, message, code="bad-expression")
    return Step(expression, None, pointer)


def read_expression(text: str, pointer: str, limits: Limits) -> Step:
    """Reads an expression of `param`. Raises Unprocessable."""
    return Step(_parsed(text, pointer, limits), None, pointer)


def _parsed(text: str, pointer: str, limits: Limits) -> Expression:
    try:
        return parse_expression(text, limits)
    except LanguageError as error:
        raise in_place(pointer, str(error), code=error.code) from None


def apply_steps(tensor: torch.Tensor, steps: Sequence[Step], limits: Limits) -> None:
    """Runs the steps on `tensor` (on the CPU), one after the other, in place. Raises Unprocessable."""
    for step in steps:
        if step.fills is not None:
            _fill(tensor, step, limits)
        else:
            tensor.copy_(value_of(step, tensor, tuple(tensor.shape), limits))


def value_of(step: Step, param: torch.Tensor, shape: tuple[int, ...], limits: Limits) -> torch.Tensor:
    """The value of an expression of `param`, fit to be written over a tensor of that shape and `param`'s dtype.

    Raises Unprocessable: `shape-mismatch`, `bad-dtype`, `bad-expression` and what the language says.
    """
    dtype = param.dtype if param.is_floating_point() else None
    try:
        with torch.no_grad(), running(device=param.device, dtype=dtype, limits=limits):
            value = evaluate(step.expression, {"param": param}, limits=limits)
    except LanguageError as error:
        raise in_place(step.pointer, str(error), code=error.code) from None
    if isinstance(value, bool | int | float | complex):
        value = torch.tensor(value, dtype=param.dtype if isinstance(value, float) and dtype is not None else None)
    if not isinstance(value, torch.Tensor):
        raise in_place(step.pointer, "the expression gives no tensor and no number", code="bad-expression")
    result = fitted(value, shape, param.dtype, step.pointer)
    shares = result.numel() > 0 and result.untyped_storage().data_ptr() == param.untyped_storage().data_ptr()
    return result.clone() if shares else result  # `param.T` is not to be read while it is written over


def fitted(value: torch.Tensor, shape: tuple[int, ...], dtype: torch.dtype, pointer: str) -> torch.Tensor:
    """`value` as a tensor of that shape (broadcast) and dtype. Raises Unprocessable where that would lose its kind."""
    if not torch.can_cast(value.dtype, dtype):
        message = f"{dtype_name(value.dtype)} values do not go into {dtype_name(dtype)}"
        raise in_place(pointer, message, code="bad-dtype")
    try:
        return value.to(dtype).expand(shape)
    except RuntimeError:
        message = f"the value has shape {list(value.shape)}, which does not fit {list(shape)}"
        raise in_place(pointer, message, code="shape-mismatch") from None


def _fill(tensor: torch.Tensor, step: Step, limits: Limits) -> None:
    assert step.fills is not None
    calls = {step.fills: partial(_call, step.fills, tensor)}
    try:
        with torch.no_grad(), running(device=tensor.device, dtype=None, limits=limits):
            evaluate(step.expression, {"param": tensor}, calls=calls, limits=limits)
    except LanguageError as error:
        raise in_place(step.pointer, str(error), code=error.code) from None


def _call(name: str, tensor: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
    """Calls a function of `torch.nn.init` on the tensor, which may be named as its first argument too."""
    rest = args[1:] if args and args[0] is tensor else args
    function = getattr(init, name)
    result: torch.Tensor = function(tensor, *rest, **kwargs)
    return result
