"""Why a call failed, in words: which child raised, in which line of which forward, what it got and what it takes.

Looks at the traceback, so a call that succeeds pays nothing. Called by `call.py` and, on `meta`, by checks.
"""

import re
from collections.abc import Mapping
from types import FrameType, TracebackType

import torch
from torch import nn

from app.architecture.own import OwnBlock
from app.errors import LabError, Place, Unavailable, Unprocessable, pointer_to
from app.language.errors import LanguageError
from app.language.failures import explain, place_of

FEATURES = {
    nn.Linear: ("in_features", -1),
    nn.Conv1d: ("in_channels", -2),
    nn.Conv2d: ("in_channels", -3),
    nn.Conv3d: ("in_channels", -4),
    nn.BatchNorm1d: ("num_features", 1),
    nn.BatchNorm2d: ("num_features", 1),
    nn.BatchNorm3d: ("num_features", 1),
    nn.LSTM: ("input_size", -1),
    nn.GRU: ("input_size", -1),
    nn.RNN: ("input_size", -1),
}


NEEDS_VALUES = re.compile(r"\bmeta tensors?\b|register_meta|on meta\b", re.IGNORECASE)  # what PyTorch says on `meta`
NO_SHAPE = re.compile(r"dtype|scalar type|not implemented for|out of (range|bounds)")  # told in words of shapes
SHAPE = re.compile(r"should contain \d+ elements|feature number")


def describe_failure(net: nn.Module, error: Exception, inputs: Mapping[str, torch.Tensor]) -> LabError:
    """Makes the error to tell of whatever a forward of `net` raised; an input that it met there has its place told.

    On `meta` the code is `needs-values` where the forward asked for a number that is not there.
    """
    if isinstance(error, LabError):
        return error
    if isinstance(error, torch.AcceleratorError) and not isinstance(error, torch.OutOfMemoryError):
        return Unavailable(f"the device failed: {_first_line(error)}", code="device-failed")
    place = place_of(error)
    told = explain(error)
    if isinstance(error, RuntimeError) and NEEDS_VALUES.search(told.message):
        told.code, told.message = "needs-values", "what comes next depends on values, and here only shapes are known"
    module, frame = _raiser(error.__traceback__)
    words = [told.message.rstrip(".")]
    path = _path(net, module)
    extra: dict[str, object] = {}
    if module is not None and frame is not None and path is not None:
        where = f"in child {path!r}" if path else "in the network"
        words.insert(0, f"{where}, {_one_line(module)}")
        words += _sizes(module, frame)
        extra["child"] = path
    if place is not None:
        inside = _path(net, place.module)
        of = f" of {inside!r}" if inside else ""
        words.append(f"at line {place.line} of forward{of}")
        extra["line"] = place.line
    detail = words[0] + ": " + "; ".join(words[1:]) if len(words) > 1 and module is not None else "; ".join(words)
    return Unprocessable(detail, code=_code(told), places=[Place(_pointer(frame, inputs), detail)], extra=extra)


def _code(told: LanguageError) -> str:
    if told.code == "shape-mismatch" and NO_SHAPE.search(told.message):
        return "bad-arguments"
    if told.code == "bad-arguments" and SHAPE.search(told.message):
        return "shape-mismatch"
    return told.code


def _pointer(frame: FrameType | None, inputs: Mapping[str, torch.Tensor]) -> str:
    """Points at the input that the raising forward was given as it came, else at all inputs."""
    met = {id(value) for value in frame.f_locals.values()} if frame is not None else set()
    names = [name for name, tensor in inputs.items() if id(tensor) in met]
    return pointer_to("inputs", names[0]) if len(names) == 1 and names[0] else "/inputs"


def _raiser(trace: TracebackType | None) -> tuple[nn.Module | None, FrameType | None]:
    """Finds the innermost module whose forward the error passed through."""
    found: tuple[nn.Module | None, FrameType | None] = (None, None)
    while trace is not None:
        frame = trace.tb_frame
        if frame.f_code.co_name == "forward" and isinstance(frame.f_locals.get("self"), nn.Module):
            found = (frame.f_locals["self"], frame)
        elif frame.f_code.co_name in ("_call_impl", "_wrapped_call_impl"):
            module = frame.f_locals.get("self")
            if isinstance(module, nn.Module) and module is not found[0]:
                found = (module, None) if found[0] is None else found
        trace = trace.tb_next
    return found


def _path(net: nn.Module, module: object) -> str | None:
    return next((str(path) for path, candidate in net.named_modules() if candidate is module), None)


def _one_line(module: nn.Module) -> str:
    if next(iter(module.children()), None) is not None or isinstance(module, OwnBlock):
        return type(module).__name__
    return repr(module)


def _sizes(module: nn.Module, frame: FrameType) -> list[str]:
    """Says what the module got, and what size it takes where that is one number."""
    names = frame.f_code.co_varnames[1 : frame.f_code.co_argcount]
    given = [(name, frame.f_locals.get(name)) for name in names]
    tensors = [(name, value) for name, value in given if isinstance(value, torch.Tensor)]
    if not tensors:
        return []
    shown = ", ".join(
        f"{name} {list(value.shape)} {str(value.dtype).removeprefix('torch.')}" for name, value in tensors
    )
    words = [f"it got {shown}"]
    if type(module) in FEATURES:
        attribute, dimension = FEATURES[type(module)]
        words.append(f"it takes {getattr(module, attribute)} in dimension {dimension} ({attribute})")
    if isinstance(module, nn.Embedding):
        words.append(f"it takes indices from 0 to {module.num_embeddings - 1}")
    return words


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0][:300]
