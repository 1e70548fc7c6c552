"""Functions that make tensors: on the network's device, floats in its dtype, their size known before memory is taken.

Each wraps the PyTorch function of the same name; a first call on the meta device tells shape and dtype. Called by
compiled code through the catalogue.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from app.language.errors import bad_arguments, limit_exceeded
from app.language.operators import check_flat, kind_of
from app.language.running import current

META = torch.device("meta")


def check_size(tensor: Tensor) -> None:
    """Refuses a tensor (on meta) that would take more bytes or dimensions than the limits allow."""
    limits = current().limits
    if tensor.ndim > limits.tensor_rank:
        raise limit_exceeded(f"a tensor would have {tensor.ndim} dimensions; at most {limits.tensor_rank} are allowed")
    size = tensor.numel() * tensor.element_size()
    if size > limits.tensor_bytes:
        raise limit_exceeded(f"a tensor would take {size} bytes; at most {limits.tensor_bytes} are allowed")


def check_device(device: Any, here: torch.device | None) -> None:
    """Refuses a device other than the one the network is on."""
    if device is None:
        return
    if isinstance(device, torch.device) and (here is None or device == here or device.type == "meta"):
        return
    raise bad_arguments(
        "tensors are made where the network is; leave device out, or write device=x.device, "
        f"instead of {device if isinstance(device, str) else kind_of(device)}"
    )


def on_meta(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Calls `function` for its shape and dtype alone; nothing is allocated and no random number is drawn."""
    try:
        return function(*map(_as_meta, args), **{**{k: _as_meta(v) for k, v in kwargs.items()}, "device": META})
    except RuntimeError as error:
        if "overflow" in str(error) or "too large" in str(error):
            raise limit_exceeded("a tensor would have more elements than can be counted") from None
        raise


def _as_meta(value: Any) -> Any:
    return value.to(META) if isinstance(value, Tensor) and value.ndim else value


def _is_small(args: tuple[Any, ...], kwargs: dict[str, Any], limit: int) -> bool:
    """Says whether plain sizes, as in `zeros(2, 3)`, need no second look."""
    if kwargs or not 0 < len(args) <= 8:
        return False
    count = 1
    for arg in args:
        if arg.__class__ is not int or not 0 <= arg <= limit:
            return False
        count *= arg
    return count * 16 <= limit


def maker(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Wraps a function that makes a tensor of sizes (`zeros`, `randn`, `arange`, ...)."""

    plain = function.__name__ in ("zeros", "ones", "rand", "randn")

    @wraps(function)
    def make(*args: Any, **kwargs: Any) -> Tensor:
        here = current()
        check_device(kwargs.pop("device", None), here.device)
        if plain and _is_small(args, kwargs, here.limits.tensor_bytes):
            return function(*args, dtype=here.dtype, device=here.device)
        for arg in args:
            check_flat(arg)
        imagined = on_meta(function, args, kwargs)
        check_size(imagined)
        if here.dtype is not None and kwargs.get("dtype") is None and imagined.is_floating_point():
            kwargs["dtype"] = here.dtype
        if here.device is not None:
            kwargs["device"] = here.device
        return function(*args, **kwargs)

    return make


def tensor(data: Any, **kwargs: Any) -> Tensor:
    """`torch.tensor` of numbers and lists of them; floats in the network's dtype."""
    here = current()
    check_device(kwargs.pop("device", None), here.device)
    check_flat(data)
    if isinstance(data, str):
        raise bad_arguments("tensor takes numbers and lists of numbers, not a text")
    made = torch.tensor(data, device="cpu", **kwargs) if not isinstance(data, Tensor) else data.detach().clone()
    if here.dtype is not None and kwargs.get("dtype") is None and made.is_floating_point():
        kwargs["dtype"] = here.dtype
    if isinstance(data, Tensor):
        return made.to(**kwargs) if kwargs else made
    return torch.tensor(data, **kwargs) if here.device is None else torch.tensor(data, device=here.device, **kwargs)


def new_maker(name: str) -> Callable[..., Tensor]:
    """Wraps `x.new_zeros(...)` and its like: device and dtype are those of `x`."""
    method = getattr(Tensor, name)

    def make(value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        check_device(kwargs.pop("device", None), value.device)
        for arg in args:
            check_flat(arg)
        if name != "new_tensor":
            check_size(method(value.new_empty(0, device=META), *args, **kwargs))
        result: Tensor = method(value, *args, **kwargs)
        return result

    return make


MAKERS = [
    "arange",
    "bartlett_window",
    "blackman_window",
    "eye",
    "full",
    "hamming_window",
    "hann_window",
    "kaiser_window",
    "linspace",
    "logspace",
    "ones",
    "rand",
    "randint",
    "randn",
    "randperm",
    "scalar_tensor",
    "tril_indices",
    "triu_indices",
    "zeros",
]
