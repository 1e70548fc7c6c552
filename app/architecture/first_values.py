"""First values of parameters and constants: texts and JSON tensors, drawn one after another.

On `meta` only sizes are made; a text that needs real numbers for its size (`float(x.norm())`) is tried on the CPU,
and the generator is put back. Called by `make.py`, and by `plan_own.py` to measure.
"""

from collections.abc import Mapping

import torch

from app.architecture.plan import FirstValue, tensor_bytes
from app.architecture.spec import TensorLiteral
from app.errors import LabError, in_place
from app.language.compile import evaluate
from app.language.errors import LanguageError
from app.language.running import running
from app.settings import Limits

NEEDS_NUMBERS = frozenset({"bad-arguments", "shape-mismatch"})  # how failures of the meta device are told


class FirstValues:
    """The first values of one block. A text sees hyperparameters, and constants drawn before it."""

    def __init__(self, hyperparameters: Mapping[str, object], device: str, limits: Limits) -> None:
        self.hyperparameters = hyperparameters  # tensors among them lie on the CPU
        self.device = device
        self.limits = limits
        self.known = {name: _moved(value, device) for name, value in hyperparameters.items()}
        self.constants: list[FirstValue] = []

    def draw(self, value: FirstValue) -> torch.Tensor:
        """Makes one first value: contiguous, and sharing memory with nothing. Raises Unprocessable."""
        try:
            tensor = first_tensor(value, self.known, self.device, self.limits)
        except LabError as error:
            if self.device != "meta" or error.code not in NEEDS_NUMBERS:
                raise
            tensor = self._by_numbers(value)
        if not value.trained:
            self.known[value.name] = tensor
            self.constants.append(value)
        return tensor

    def _by_numbers(self, value: FirstValue) -> torch.Tensor:
        known = dict(self.hyperparameters)
        with torch.random.fork_rng(devices=[]), running(device="cpu", dtype=torch.float32, limits=self.limits):
            for constant in self.constants:
                known[constant.name] = first_tensor(constant, known, "cpu", self.limits)
            return first_tensor(value, known, "cpu", self.limits).to("meta")


def _moved(value: object, device: str) -> object:
    """Gives a hyperparameter where first values are made."""
    if isinstance(value, tuple):
        return tuple(_moved(part, device) for part in value)
    return value.to(device) if isinstance(value, torch.Tensor) else value


def first_tensor(value: FirstValue, known: Mapping[str, object], device: str, limits: Limits) -> torch.Tensor:
    """Makes the first value of a parameter or constant: contiguous, and sharing memory with nothing."""
    if isinstance(value.source, TensorLiteral):
        tensor = value.source.tensor.to(device, copy=True)
    else:
        tensor = _evaluated(value, known, device, limits)
    if value.trained and not (tensor.is_floating_point() or tensor.is_complex()):
        message = f"a parameter is trained, so it holds floats, not {str(tensor.dtype).removeprefix('torch.')}"
        raise in_place(value.pointer, f"{message}; make it a constant, or write numbers as 1.", code="bad-arguments")
    if tensor.ndim > limits.tensor_rank:
        message = f"it has {tensor.ndim} dimensions; at most {limits.tensor_rank} are allowed"
        raise in_place(value.pointer, message, code="limit-exceeded")
    fresh = (
        tensor.is_contiguous()
        and tensor.untyped_storage().nbytes() == tensor_bytes(tensor)
        and not _lies_in(tensor, tuple(known.values()))
    )
    return tensor.detach() if fresh else tensor.detach().clone(memory_format=torch.contiguous_format)


def _lies_in(tensor: torch.Tensor, other: object) -> bool:
    """Tells whether a tensor is another, or a view of it; in a tuple, of any in it."""
    if isinstance(other, tuple):
        return any(_lies_in(tensor, part) for part in other)
    if not isinstance(other, torch.Tensor) or tensor is other or tensor.is_meta or other.is_meta:
        return tensor is other
    return tensor.numel() > 0 and tensor.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


def _evaluated(value: FirstValue, known: Mapping[str, object], device: str, limits: Limits) -> torch.Tensor:
    assert not isinstance(value.source, TensorLiteral)
    try:
        result = evaluate(value.source, known, limits=limits)
    except LanguageError as error:
        raise in_place(value.pointer, str(error), code=error.code) from None
    if isinstance(result, int | float | complex) and not isinstance(result, bool):
        return torch.tensor(result, dtype=torch.float32 if isinstance(result, float) else None, device=device)
    if not isinstance(result, torch.Tensor):
        message = f"the first value of {value.name!r} is a tensor, as in zeros(3); this text gives {result!r:.40}"
        raise in_place(value.pointer, message, code="bad-arguments")
    return result
