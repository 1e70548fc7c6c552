"""Functions that could grow without bound, move a tensor, or change one they are given: each with a check before.

Sizes are found on the meta device, where nothing is allocated. Called by compiled code through the catalogue; the
tables at the end say which function gets which check.
"""

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from app.language.errors import bad_arguments, limit_exceeded
from app.language.making import META, check_device, check_size, maker
from app.language.members import Subject
from app.language.native import GUARDED, check_bags
from app.language.operators import check_flat, check_length, kind_of
from app.language.running import current_limits

Call = Callable[..., Any]
SMALL_GROWTH = 4096  # arguments whose product is below this cannot make one tensor of gigabytes out of a modest one


def growth(value: Any, limit: int) -> float:
    """Multiplies all numbers in arguments: how much larger than its inputs a result might be."""
    if isinstance(value, int | float):
        if isinstance(value, int) and abs(value) > limit:
            raise limit_exceeded(f"{value} is too large an argument; at most {limit} is allowed")
        return max(abs(value), 1)
    if isinstance(value, list | tuple):
        check_flat(value)
        return math.prod(growth(part, limit) for part in value)
    return 1


def _to_meta(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().to(META)
    if isinstance(value, list | tuple):
        return [_to_meta(part) for part in value]
    return value


def imagine(function: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Checks the size of a result on meta. What meta cannot do, or what is wrong, the call itself will say."""
    try:
        result = function(*map(_to_meta, args), **{key: _to_meta(value) for key, value in kwargs.items()})
    except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError) as error:
        if "overflow" in str(error):
            raise limit_exceeded("a tensor would have more elements than can be counted") from None
        return
    for part in result if isinstance(result, list | tuple) else (result,):
        if isinstance(part, Tensor):
            check_size(part)


def sized(function: Call, *, always: bool = False) -> Call:
    """Checks the size of the result first where the arguments could make it large."""

    @wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        limit = current_limits().argument_integer
        grown = growth(args, limit) * growth(tuple(kwargs.values()), limit)
        if always or grown > SMALL_GROWTH or grown != grown:
            imagine(function, args, kwargs)
        return function(*args, **kwargs)

    return checked


def ranked(function: Call) -> Call:
    """Checks the number of dimensions of the result, which here is a view or made of given tensors."""

    @wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if isinstance(result, Tensor) and result.ndim > 8:
            check_size(result.detach().to(META) if result.device != META else result)
        return result

    return checked


def pieces(function: Call) -> Call:
    """Checks how many tensors a split gives: no more than the limit of a list."""

    @wraps(function)
    def checked(value: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, Tensor) and value.ndim and max(value.shape) > current_limits().list_length:
            parts = function(value.detach().new_empty((), device=META).expand(value.shape), *args, **kwargs)
            check_length(len(parts))
        return function(value, *args, **kwargs)

    return checked


def method(function: Call, name: str) -> Call:
    """The method form of a checked function: its value may turn out not to be a tensor."""

    def checked(value: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(value, Tensor):
            return getattr(Subject(value), name)(*args, **kwargs)
        return function(value, *args, **kwargs)

    return checked


# --- one function each ---


def one_hot(tensor: Any, num_classes: Any = -1) -> Any:
    if isinstance(tensor, Tensor) and isinstance(num_classes, int):
        classes = num_classes
        if classes < 0 and tensor.numel() and tensor.device.type != "meta" and not tensor.is_floating_point():
            classes = int(tensor.max()) + 1
        _check_bytes(tensor.numel() * max(classes, 1) * 8)
    return functional.one_hot(tensor, num_classes)


def repeat_interleave(tensor: Any, repeats: Any = None, dim: Any = None, *, output_size: Any = None) -> Any:
    if repeats is None:
        repeats = tensor
        if isinstance(tensor, Tensor) and tensor.device.type != "meta" and tensor.numel():
            _check_bytes(int(tensor.double().sum()) * 8)  # a sum of integers may wrap around
        return torch.repeat_interleave(tensor)
    if isinstance(tensor, Tensor):
        times = repeats if isinstance(repeats, int) else 1
        if isinstance(repeats, Tensor) and repeats.device.type != "meta" and repeats.numel():
            times = int(repeats.max())
        _check_bytes(tensor.numel() * max(times, 1) * tensor.element_size())
    if output_size is not None:
        raise bad_arguments("repeat_interleave finds output_size itself; leave it out")
    return torch.repeat_interleave(tensor, repeats, dim)


def combinations(input: Any, r: Any = 2, with_replacement: Any = False) -> Any:  # noqa: A002  # PyTorch's own name
    if isinstance(input, Tensor) and isinstance(r, int) and r > 0 and input.ndim == 1:
        count = input.numel()
        if r > current_limits().tensor_rank:
            raise limit_exceeded(f"combinations of {r} are too many; at most {current_limits().tensor_rank}")
        _check_bytes(max(math.comb(count + r - 1 if with_replacement else count, r) * r * 8, count**r))
    return torch.combinations(input, r, with_replacement)


def bincount(input: Any, weights: Any = None, minlength: Any = 0) -> Any:  # noqa: A002  # PyTorch's own name
    if isinstance(input, Tensor) and isinstance(minlength, int):
        largest = int(input.max()) + 1 if input.numel() and input.device.type != "meta" else 0
        _check_bytes(max(largest, minlength) * 8)
    return torch.bincount(input, weights, minlength)


def multivariate(function: Call) -> Call:
    """`mvlgamma(x, p)` works on p times its input."""

    @wraps(function)
    def checked(value: Any, p: Any) -> Any:
        if isinstance(value, Tensor) and isinstance(p, int):
            _check_bytes(value.numel() * max(p, 1) * value.element_size())
        return function(value, p)

    return checked


def _check_bytes(size: int) -> None:
    limit = current_limits().tensor_bytes
    if size > limit:
        raise limit_exceeded(f"a tensor would take {size} bytes; at most {limit} are allowed")


def to(value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """`x.to(dtype)`, `x.to(other)`; the device stays what it is."""
    for given in (*args, *kwargs.values()):
        if isinstance(given, str):
            raise bad_arguments("to takes a dtype or another tensor here; where a network runs is not set in its text")
        if isinstance(given, torch.device):
            check_device(given, value.device)
        if isinstance(given, Tensor):
            check_device(given.device, value.device)
        if not isinstance(given, torch.dtype | torch.device | Tensor | bool | None):
            raise bad_arguments(f"to takes a dtype or another tensor, not {kind_of(given)}")
    return value.to(*args, **kwargs)


def like(function: Call) -> Call:
    """`zeros_like(x)` and its like: on the device of `x`."""

    @wraps(function)
    def made(value: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, Tensor):
            check_device(kwargs.pop("device", None), value.device)
            check_size(value.detach().to(META))
        return function(value, *args, **kwargs)

    return made


_sized_normal = maker(torch.normal)


def normal(mean: Any, std: Any = 1.0, size: Any = None, **kwargs: Any) -> Any:
    """`normal` over tensors, or of a size as `randn` is."""
    if size is None:
        return torch.normal(mean, std, **kwargs)
    return _sized_normal(mean, std, tuple(size) if isinstance(size, list | tuple) else size, **kwargs)


# --- functions that would write into a tensor they are given ---


def _copied(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value


def batch_norm(input: Any, running_mean: Any, running_var: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: A002  # as above
    """`F.batch_norm`; the running statistics given stay what they are, in training too."""
    return functional.batch_norm(input, _copied(running_mean), _copied(running_var), *args, **kwargs)


def instance_norm(
    input: Any,  # noqa: A002  # PyTorch's own name
    running_mean: Any = None,
    running_var: Any = None,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """`F.instance_norm`; the running statistics given stay what they are."""
    return functional.instance_norm(input, _copied(running_mean), _copied(running_var), *args, **kwargs)


def embedding(
    input: Any,  # noqa: A002  # PyTorch's own name
    weight: Any,
    padding_idx: Any = None,
    max_norm: Any = None,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """`F.embedding`; `max_norm` works on a copy of the table."""
    if max_norm is not None and isinstance(weight, Tensor):
        weight = weight.clone()
    return functional.embedding(input, weight, padding_idx, max_norm, *args, **kwargs)


def embedding_bag(
    input: Any,  # noqa: A002  # PyTorch's own name
    weight: Any,
    offsets: Any = None,
    max_norm: Any = None,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """`F.embedding_bag`; `max_norm` works on a copy of the table, and offsets are looked at first."""
    check_bags(input, offsets, last_is_end=bool(kwargs.get("include_last_offset")))
    if max_norm is not None and isinstance(weight, Tensor):
        weight = weight.clone()
    return functional.embedding_bag(input, weight, offsets, max_norm, *args, **kwargs)


# --- tables ---

_TRANSFORMS = "fft fft2 fftn hfft hfft2 hfftn ifft ifft2 ifftn ihfft ihfft2 ihfftn irfft irfft2 irfftn rfft rfft2 rfftn"
_RESIZED = """
    pad interpolate upsample upsample_bilinear upsample_nearest fold unfold affine_grid conv_transpose1d
    conv_transpose2d conv_transpose3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d
    adaptive_max_pool2d adaptive_max_pool3d max_unpool1d max_unpool2d max_unpool3d local_response_norm
"""
_SIZED = ["torch.tile", "torch.broadcast_to", "torch.vander", "linalg.vander", "torch.histc", "torch.multinomial"]
_SIZED += ["torch.stft", "torch.istft"]
_SIZED += [f"fft.{name}" for name in _TRANSFORMS.split()]
_SIZED += [f"F.{name}" for name in _RESIZED.split()]
_GROWING = "cartesian_prod block_diag kron diag diagflat diag_embed outer ger broadcast_tensors meshgrid"
_ALWAYS_SIZED = [f"torch.{name}" for name in _GROWING.split()]
_RANKED = ["torch.unsqueeze", "torch.stack", "torch.unflatten", "torch.atleast_3d", "torch.atleast_2d"]
_PIECES = ["torch.unbind", "torch.chunk", "torch.split", "torch.split_with_sizes", "torch.tensor_split"]
_PIECES += ["torch.hsplit", "torch.vsplit", "torch.dsplit"]
_LIKE = [f"torch.{name}_like" for name in ("zeros", "ones", "full", "rand", "randn", "randint")]
_SPACES: dict[str, Any] = {"torch": torch, "F": functional, "fft": torch.fft, "linalg": torch.linalg}


def _original(key: str) -> Call:
    space, name = key.split(".")
    found: Call = getattr(_SPACES[space], name)
    return found


BOUNDED: dict[str, Call] = {
    **{key: sized(_original(key)) for key in _SIZED},
    **{key: sized(_original(key), always=True) for key in _ALWAYS_SIZED},
    **{key: ranked(_original(key)) for key in _RANKED},
    **{key: pieces(_original(key)) for key in _PIECES},
    **{key: like(_original(key)) for key in _LIKE},
    "torch.repeat_interleave": repeat_interleave,
    "torch.combinations": combinations,
    "torch.bincount": bincount,
    "torch.mvlgamma": multivariate(torch.mvlgamma),
    "special.multigammaln": multivariate(torch.special.multigammaln),
    "torch.normal": normal,
    "F.one_hot": one_hot,
    "F.batch_norm": batch_norm,
    "F.instance_norm": instance_norm,
    "F.embedding": embedding,
    "F.embedding_bag": embedding_bag,
    **GUARDED,
}

_METHOD_CHECKS: dict[str, Callable[[Call], Call]] = {
    **dict.fromkeys(("repeat", "tile", "expand", "broadcast_to", "histc", "multinomial", "stft", "istft"), sized),
    **dict.fromkeys(("unsqueeze", "unflatten", "unfold"), ranked),
    **{name.split(".")[1]: pieces for name in _PIECES},
    **{name: (lambda function: sized(function, always=True)) for name in ("kron", "diag", "diagflat", "diag_embed")},
    **{name: (lambda function: sized(function, always=True)) for name in ("outer", "ger", "expand_as")},
    "mvlgamma": multivariate,
}
BOUNDED_METHODS: dict[str, Call] = {
    **{name: method(check(getattr(Tensor, name)), name) for name, check in _METHOD_CHECKS.items()},
    "to": method(to, "to"),
    "repeat_interleave": method(repeat_interleave, "repeat_interleave"),
    "bincount": method(bincount, "bincount"),
}
