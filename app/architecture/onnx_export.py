"""A network as an ONNX file, made by PyTorch's own exporter from one call of it on imagined numbers.

ONNX is a graph that is the same for all inputs: what a forward decides by values cannot be in it, and neither can what
ONNX has no operator for. Both are refused with their place. Called by the worker.
"""

import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from app.architecture.failures import describe_failure
from app.architecture.inputs import match_inputs
from app.architecture.onnx_file import forget_origins, name_sizes, name_values
from app.architecture.outputs import name_outputs
from app.errors import LabError, Unprocessable, in_place
from app.language.errors import LanguageError
from app.language.failures import place_of
from app.language.running import running
from app.settings import Limits

if TYPE_CHECKING:
    from onnx import ModelProto

MOST_BYTES = 2**31 - 2**20  # what protobuf holds in one message
CODE = "not-exportable"
CPU = torch.device("cpu")
DATA: Any = vars(torch._C.TensorBase)["data"].__get__  # noqa: SLF001  # as the mode is told of it
TALKATIVE = ("torch", "onnxscript", "onnx_ir")
_NO_OPERATOR = re.compile(r"No ONNX function found for <OpOverload\(op='([\w.]+)'")
_VALUES = re.compile(r"data-dependent|DataDependent|unbacked|u\d+\b")
EXPORT_FAILURES = (
    LabError,
    LanguageError,
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    AssertionError,
    NotImplementedError,
)


class _Detached(TorchFunctionMode):
    """`x.data` as `x.detach()`, which is the same to a forward, and which the exporter can follow."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func == DATA:
            return args[0].detach()
        return func(*args, **kwargs or {})


class Exported(nn.Module):
    """What is exported: inputs by position, outputs in a row. Remembers the names of the outputs.

    The exporter writes and runs Python with the names of modules and parameters in it, so it is shown none of the
    user's: the network is called from outside, with values that are numbered.
    """

    def __init__(self, net: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        self.outputs: tuple[str, ...] = ()
        state = {**dict(net.named_parameters()), **dict(net.named_buffers())}
        self.values = {name: f"value_{number}" for number, name in enumerate(state)}
        for name, value in state.items():
            self.register_buffer(self.values[name], value.detach())
        self._net: Callable[[], nn.Module] = lambda: net  # not a child, so that nothing of it is seen

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        net = self._net()
        args, kwargs = match_inputs(net, dict(zip(self.names, tensors, strict=True)))
        state = {name: getattr(self, number) for name, number in self.values.items()}
        with _Detached():
            result = functional_call(net, state, args, kwargs)
        named = name_outputs(result, device=None, dtype=None)
        self.outputs = tuple(named)
        return tuple(named.values())


def export_onnx(
    net: nn.Module, inputs: Mapping[str, Tensor], *, dynamic: bool, dtype: torch.dtype, limits: Limits
) -> "ModelProto":
    """Exports `net` (on the CPU, in mode eval, with real parameters) for inputs of these shapes and dtypes.

    With `dynamic` the first size of each input may be any, as far as the network's own forward lets it.

    Raises: Unprocessable `not-exportable` where ONNX cannot say what the network does, or what the call itself raised.
    """
    if sum(value.numel() * value.element_size() for value in net.state_dict().values()) > MOST_BYTES:
        message = "its parameters take more than the 2 GiB that an ONNX file holds"
        raise in_place("", message, code="limit-exceeded")
    for module in net.modules():
        module._forward_pre_hooks.clear()  # noqa: SLF001 - they look at values, of which there are none here
    wrapped = Exported(net, list(inputs)).eval()
    examples = {name: _example(value, dynamic=dynamic) for name, value in inputs.items()}
    try:
        with torch.no_grad(), running(device=CPU, dtype=dtype, limits=limits):
            wrapped(*examples.values())  # what is wrong with the inputs is told by the network itself
    except EXPORT_FAILURES as error:
        raise describe_failure(net, error, inputs) from error
    try:
        with torch.no_grad(), running(device=CPU, dtype=dtype, limits=limits):
            model = _convert(wrapped, tuple(examples.values()), dynamic=dynamic)
    except EXPORT_FAILURES as error:
        raise _refusal(net, error, dynamic=dynamic) from error
    name_values(model, list(examples), wrapped.outputs, {number: name for name, number in wrapped.values.items()})
    name_sizes(model)
    forget_origins(model)
    return model


def _example(value: Tensor, *, dynamic: bool) -> Tensor:
    """Numbers for a call that is only looked at. A batch of 1 would be taken for a size that is always 1."""
    shape = list(value.shape)
    if dynamic and shape and shape[0] == 1:
        shape[0] = 2
    return torch.zeros(shape, dtype=value.dtype)


def _convert(wrapped: Exported, examples: tuple[Tensor, ...], *, dynamic: bool) -> "ModelProto":
    sizes: Any = None
    if dynamic:
        free = torch.export.Dim.AUTO
        sizes = (tuple({0: free} if example.ndim else None for example in examples),) if examples else None
    with _quiet():
        program = torch.export.export(wrapped, examples, dynamic_shapes=sizes, strict=False)
        exported = torch.onnx.export(program, (), dynamo=True, verbose=False, optimize=True)
    assert exported is not None
    model: ModelProto = exported.model_proto
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what the exporter tells of its progress, and prints when it gives up, out of the log."""
    levels = {logger: logger.level for logger in map(logging.getLogger, TALKATIVE)}
    for logger in levels:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


# --- refusals ---


def _refusal(net: nn.Module, error: Exception, *, dynamic: bool) -> LabError:
    """Says why a network cannot be in ONNX: a decision by values, an operator that is missing, or PyTorch's words."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    text = " ".join(str(one) for one in chain)
    missing = _NO_OPERATOR.search(text)
    if missing is not None:
        return _not_exportable(f"ONNX has no operator for `{missing[1]}`, which the network calls")
    if _VALUES.search(" ".join(f"{type(one).__name__} {one}" for one in chain)):
        place = next((found for found in map(place_of, chain) if found is not None), None)
        where = "" if place is None else f" at line {place.line} of forward{_of(net, place.module)}"
        return _not_exportable(
            f"what comes next depends on values{where}, and an ONNX graph is the same for all inputs"
        )
    detail = describe_failure(net, error, {}).detail.partition("\n")[0]  # what follows is for those who mend exporters
    hint = "; with ?dynamic=false sizes are plain numbers to it" if dynamic else ""
    return _not_exportable(f"PyTorch's exporter gave up: {detail}{hint}")


def _not_exportable(message: str) -> Unprocessable:
    return in_place("", message, code=CODE)


def _of(net: nn.Module, module: object) -> str:
    path = next((path for path, candidate in net.named_modules() if candidate is module), "")
    return f" of {path!r}" if path else ""
