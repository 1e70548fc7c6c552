"""What holds while a text runs: the device and dtype of what it makes, the limits, and the budget of loop steps.

One `Running` surrounds one top-level call; nested blocks share it. Without one the default limits hold, tensors are
made as PyTorch makes them, and each forward counts its own loops. Called by the worker through `running`, and by
compiled code.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

from app.language.errors import limit_exceeded
from app.settings import Limits


class Running:
    """One top-level call. `steps_left` is the only thing that changes."""

    __slots__ = ("device", "dtype", "limits", "steps_left")

    def __init__(self, device: torch.device | None, dtype: torch.dtype | None, limits: Limits) -> None:
        self.device = device
        self.dtype = dtype
        self.limits = limits
        self.steps_left = limits.loop_steps

    def step(self) -> None:
        """Counts one step of any loop. Raises limit-exceeded when the budget is spent."""
        self.steps_left -= 1
        if self.steps_left < 0:
            raise limit_exceeded(
                f"the loops of one forward may take {self.limits.loop_steps} steps in all; this one takes more"
            )

    def each(self, values: Iterable[object]) -> Iterator[object]:
        """Walks `values`, counting each element as a step."""
        for value in values:
            self.step()
            yield value


_DEFAULT_LIMITS = Limits()
_current: ContextVar[Running | None] = ContextVar("running", default=None)


def current() -> Running:
    """Gives the call that is running, or a fresh one with the default limits."""
    return _current.get() or Running(None, None, _DEFAULT_LIMITS)


def current_limits() -> Limits:
    """Gives the limits of the call that is running."""
    call = _current.get()
    return call.limits if call is not None else _DEFAULT_LIMITS


class running:  # noqa: N801  # reads as a function, like torch.inference_mode
    """Surrounds one top-level call: a fresh loop budget, and where and in which floating dtype tensors are made.

    `device=None` leaves the device to PyTorch (`torch.device("meta")` as a context works), `dtype=None` the dtype.
    """

    __slots__ = ("_call", "_token")

    def __init__(self, *, device: torch.device | str | None, dtype: torch.dtype | None, limits: Limits) -> None:
        self._call = Running(torch.device(device) if isinstance(device, str) else device, dtype, limits)

    def __enter__(self) -> Running:
        self._token = _current.set(self._call)
        return self._call

    def __exit__(self, *exception: object) -> None:
        _current.reset(self._token)


@contextmanager
def with_limits(limits: Limits) -> Iterator[None]:
    """Surrounds one evaluation that stands by itself; inside a running call it changes nothing."""
    if _current.get() is not None:
        yield
        return
    token = _current.set(Running(None, None, limits))
    try:
        yield
    finally:
        _current.reset(token)
