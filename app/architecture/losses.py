"""Losses: expressions in the language over outputs, targets and inputs, whose value is one number to go down from.

`cross_entropy(output, y)` and `CrossEntropyLoss(label_smoothing=0.1)(output, y)` are both understood: beside the
functions of the catalogue every loss of `torch.nn` that has no parameters may be made and called. Called by the worker
for gradients and for training.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.loss import _Loss

from app.architecture.constructors import BadArguments, bind
from app.architecture.layers import LAYERS, Layer
from app.architecture.native import watch
from app.errors import LabError, Unprocessable, in_place, pointer_to
from app.language.compile import evaluate
from app.language.errors import LanguageError, UnknownName
from app.language.running import current, running
from app.language.syntax import Expression, parse_expression
from app.settings import Limits
from app.tensors.torch_dtypes import dtype_name

FORM = "a loss is text, such as `mse_loss(output, y)` or `CrossEntropyLoss()(output, y)`"
TARGET_NAMES = ("target", "targets", "y")  # what a single tensor is called that was sent without a name
_CLASSES = '; class numbers are sent with "dtype": "int64"'


@dataclass(frozen=True)
class Loss:
    """A checked expression; None where none was given: the sum of the only output."""

    expression: Expression | None
    pointer: str


def read_loss(text: object, limits: Limits, pointer: str = "/loss") -> Loss:
    """Reads a loss. Raises Unprocessable (`bad-expression`, `limit-exceeded`) at `pointer`."""
    if text is None:
        return Loss(None, pointer)
    if not isinstance(text, str):
        raise in_place(pointer, f"{FORM}.", code="bad-expression")
    try:
        return Loss(parse_expression(text, limits), pointer)
    except LanguageError as error:
        raise in_place(pointer, str(error), code=error.code) from None


def values_of(
    outputs: Mapping[str, Tensor], targets: Tensor | Mapping[str, Tensor], inputs: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """What a loss may name: outputs, targets, and inputs where neither of them has that name.

    Raises Unprocessable `duplicate-name` where an output and a target have one name.
    """
    if isinstance(targets, Tensor):
        targets = {name: targets for name in TARGET_NAMES if name not in outputs}
    for name in targets:
        if name in outputs:
            message = f"{name!r} is an output of the network; give the target another name"
            raise in_place(pointer_to("targets", name), message, code="duplicate-name")
    return {**inputs, **targets, **outputs}


def evaluate_loss(
    loss: Loss, outputs: Mapping[str, Tensor], values: Mapping[str, Tensor], *, dtype: torch.dtype, limits: Limits
) -> Tensor:
    """The loss as a 0-d tensor that knows where it came from. `values` are those of `values_of`.

    Raises Unprocessable at the loss: what the language says, `shape-mismatch` for more than one number, `bad-dtype` for
    one that is not real and floating.
    """
    if loss.expression is None:
        return _checked(_sum(outputs, loss.pointer), loss.pointer)
    device = next((value.device for value in outputs.values()), torch.device("cpu"))
    try:
        with running(device=device, dtype=dtype, limits=limits):
            result = evaluate(loss.expression, values, calls=CALLS, limits=limits)
    except LanguageError as error:
        raise _failed(loss, error, values) from error
    if isinstance(result, bool | int | float):
        result = torch.tensor(float(result), dtype=dtype, device=device)
    if not isinstance(result, Tensor):
        raise in_place(loss.pointer, f"the expression gives no number; {FORM}", code="bad-expression")
    return _checked(result, loss.pointer)


def _sum(outputs: Mapping[str, Tensor], pointer: str) -> Tensor:
    if len(outputs) != 1:
        names = ", ".join(outputs) or "none"
        message = f"Without a loss the sum of the only output is taken, and the outputs are {names}; give a loss."
        raise in_place(pointer, message, code="bad-expression")
    return next(iter(outputs.values())).sum()


def _checked(result: Tensor, pointer: str) -> Tensor:
    if result.numel() != 1:
        message = f"the loss has shape {list(result.shape)}, where one number is wanted; end it in .mean() or .sum()"
        raise in_place(pointer, message, code="shape-mismatch")
    if not result.is_floating_point():
        message = f"the loss is {dtype_name(result.dtype)}, and only a real floating number has a gradient"
        raise in_place(pointer, message, code="bad-dtype")
    return result.reshape(())


def _failed(loss: Loss, error: LanguageError, values: Mapping[str, Tensor]) -> Unprocessable:
    words = str(error)
    assert loss.expression is not None
    uncalled = sorted(loss.expression.names & CALLS.keys())
    if isinstance(error, UnknownName) and uncalled:
        words = f"{uncalled[0]} is a loss; make it and call it, as in {uncalled[0]}()(output, y)"
    elif isinstance(error, UnknownName):
        words += f"; there are {', '.join(values)}"
    elif "Long" in words and any(value.is_floating_point() for value in values.values()):
        words += _CLASSES
    return in_place(loss.pointer, words, code=error.code)


def _make(layer: Layer, *args: object, **kwargs: object) -> nn.Module:
    """A loss of `torch.nn`, on the device where the expression runs."""
    call = current()
    try:
        taken, named = bind(layer, args, kwargs, call.limits)
        return watch(layer.module(*taken, **named)).to(call.device)
    except (LanguageError, LabError):
        raise
    except Exception as error:  # PyTorch's constructors raise whatever Python can
        raise BadArguments(f"{layer.signature}: {error}") from error


CALLS: dict[str, Callable[..., object]] = {
    name: partial(_make, layer)
    for name, layer in LAYERS.items()
    if issubclass(layer.module, _Loss) and layer.reason is None and not layer.takes_device  # those have parameters
}
