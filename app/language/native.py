"""Functions whose native code trusts its arguments: each with a check before.

PyTorch 2.13 reads memory that is not its own, divides by zero, or never comes back where these get what they do not
expect (offsets that fall, classes that are not there, a matrix of NaN); a fuzzer found them. Called by compiled code
through the catalogue, and by `app.architecture` for the layers that use the same functions.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from app.language.errors import bad_arguments


def _known(value: Any) -> bool:
    """Says whether `value` is a tensor with elements to look at."""
    return isinstance(value, Tensor) and value.device.type != "meta" and value.numel() > 0


def check_bags(input: Any, offsets: Any, *, last_is_end: bool = False) -> None:  # noqa: A002  # PyTorch's own name
    """Refuses offsets of bags that do not begin at 0, fall, or point past the end of `input`."""
    if not _known(offsets) or offsets.ndim != 1 or not isinstance(input, Tensor) or offsets.dtype.is_floating_point:
        return
    rising = bool((offsets[1:] >= offsets[:-1]).all())
    if int(offsets[0]) != 0 or not rising or int(offsets[-1]) > input.numel():
        end = "; the last one is the end" if last_is_end else ""
        raise bad_arguments(f"offsets begin with 0 and rise to at most {input.numel()}, the number of indices{end}")


def check_classes(log_probs: Any, targets: Any, target_lengths: Any) -> None:
    """Refuses targets of a CTC loss that are no class; what stands behind a target's length does not matter."""
    if not _known(targets) or not isinstance(log_probs, Tensor) or log_probs.ndim == 0:
        return
    used = targets
    lengths = torch.as_tensor(target_lengths) if isinstance(target_lengths, Tensor | list | tuple) else None
    if lengths is not None and targets.ndim == 2 and lengths.shape == targets.shape[:1]:
        places = torch.arange(targets.shape[1], device=targets.device)
        used = targets[places < lengths.to(targets.device)[:, None]]
    if used.numel() and not 0 <= int(used.min()) <= int(used.max()) < log_probs.shape[-1]:
        raise bad_arguments(f"targets of ctc_loss are classes from 0 to {log_probs.shape[-1] - 1}")


def _check_finite(name: str, *matrices: Any) -> None:
    for matrix in matrices:
        if _known(matrix) and not bool(torch.isfinite(matrix).all()):
            raise bad_arguments(f"{name} takes matrices of finite numbers; here are NaN or infinity")


def check_positive(name: str, given: Any) -> None:
    """Refuses sizes and ratios of a window that are not finite and more than 0."""
    for part in given if isinstance(given, list | tuple) else (given,):
        if isinstance(part, int | float) and not (math.isfinite(part) and part > 0):
            raise bad_arguments(f"{name} is more than 0, not {part}")


def ctc_loss(log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, *args: Any, **kwargs: Any) -> Any:
    """`F.ctc_loss`; PyTorch itself does not look whether targets are classes."""
    check_classes(log_probs, targets, target_lengths)
    return functional.ctc_loss(log_probs, targets, input_lengths, target_lengths, *args, **kwargs)


def eigvals(A: Any) -> Any:  # noqa: N803  # PyTorch's own name
    """`torch.linalg.eigvals`; of NaN it ends the process."""
    _check_finite("eigvals", A)
    return torch.linalg.eigvals(A)


def lstsq(A: Any, B: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N803  # PyTorch's own names
    """`torch.linalg.lstsq`; of no columns it ends the process."""
    _check_finite("lstsq", A, B)
    if isinstance(A, Tensor) and isinstance(B, Tensor) and 0 in (*A.shape[-2:], *B.shape[-2:]):
        raise bad_arguments("lstsq takes matrices with at least one row and one column")
    return torch.linalg.lstsq(A, B, *args, **kwargs)


def binomial(count: Any, prob: Any, *args: Any, **kwargs: Any) -> Any:
    """`torch.binomial`; with counts that are none it does not come back."""
    if _known(count) and not bool((torch.isfinite(count) & (count >= 0)).all()):
        raise bad_arguments("counts of binomial are finite and not below 0")
    if _known(prob) and not bool(((prob >= 0) & (prob <= 1)).all()):
        raise bad_arguments("probabilities of binomial are between 0 and 1")
    return torch.binomial(count, prob, *args, **kwargs)


def scaled_dot_product_attention(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
    """`F.scaled_dot_product_attention`; grouped heads are counted by dividing by their number."""
    if kwargs.get("enable_gqa"):
        for name, given in (("key", key), ("value", value)):
            if isinstance(given, Tensor) and given.ndim >= 3 and given.shape[-3] == 0:
                raise bad_arguments(f"{name} has no heads to group")
    return functional.scaled_dot_product_attention(query, key, value, *args, **kwargs)


def _fractional(function: Callable[..., Any]) -> Callable[..., Any]:
    """`F.fractional_max_pool2d` and its like; a window below 1 is walked for ever."""

    def pool(
        input: Any,  # noqa: A002  # PyTorch's own name
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: Any = False,
        _random_samples: Any = None,
    ) -> Any:
        for name, given in (("kernel_size", kernel_size), ("output_size", output_size), ("output_ratio", output_ratio)):
            check_positive(name, given)
        if _known(_random_samples) and not bool(((_random_samples >= 0) & (_random_samples < 1)).all()):
            raise bad_arguments("random samples are numbers from 0 up to, not including, 1")
        return function(input, kernel_size, output_size, output_ratio, return_indices, _random_samples)

    return pool


GUARDED: dict[str, Callable[..., Any]] = {
    "F.ctc_loss": ctc_loss,
    "F.scaled_dot_product_attention": scaled_dot_product_attention,
    **{
        f"F.{name}": _fractional(getattr(functional, name))
        for name in (
            *("fractional_max_pool2d", "fractional_max_pool2d_with_indices"),
            *("fractional_max_pool3d", "fractional_max_pool3d_with_indices"),
        )
    },
    "linalg.eigvals": eigvals,
    "linalg.lstsq": lstsq,
    "torch.binomial": binomial,
}
