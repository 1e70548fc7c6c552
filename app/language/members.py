"""What compiled code may reach from a value: attributes, methods, indexes, calls, and the numbers functions.

A module gives its children, parameters and buffers and nothing else; a tensor the attributes and methods of the
catalogue; a list `append` and `pop`. Called by compiled code only (`emit.py` writes the calls).
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from app.language.errors import LanguageError, UnknownName, bad_arguments, limit_exceeded, suggest
from app.language.operators import WALKABLE, add, check_flat, check_length, kind_of, power, within
from app.language.running import current_limits
from app.language.words import TENSOR_ATTRIBUTES

NOT_CALLED = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
ROUND_DIGITS = 400  # from the first digit of the largest float to the last of the smallest
INDEXES = (int, slice, type(None), type(Ellipsis), Tensor, list, tuple, bool, range)


def member(value: Any, name: str) -> Any:
    """Gives `value.name`: a child, parameter or buffer of a module, an attribute of a tensor, a field of a result."""
    if isinstance(value, nn.Module):
        for kept in (value._modules, value._parameters, value._buffers):  # noqa: SLF001  # the modules' own registers
            if name in kept and kept[name] is not None:
                return kept[name]
        if name == "training":
            return value.training
        if any(name in kept for kept in (value._parameters, value._buffers)):  # noqa: SLF001  # as above
            return None
        known = [*value._modules, *value._parameters, *value._buffers]  # noqa: SLF001  # as above
        raise UnknownName(f"{kind_of(value)} has no child, parameter or buffer named {name}{suggest(name, known)}")
    if isinstance(value, Tensor):
        if name in TENSOR_ATTRIBUTES:
            return getattr(value, name)
        raise UnknownName(f"a tensor has no {name} here; it has {', '.join(sorted(TENSOR_ATTRIBUTES))}")
    if isinstance(value, tuple) and name in _fields(value):
        return getattr(value, name)
    raise UnknownName(f"{kind_of(value)} has no {name}")


def _fields(value: tuple[Any, ...]) -> tuple[str, ...]:
    """Names of the parts of a named result, as in `x.max(1).values`."""
    if type(value).__module__ != "torch.return_types":
        return ()
    return tuple(type(value).__match_args__)  # type: ignore[attr-defined]  # named results have it


class Subject:
    """Stands for a value that is not a tensor where code was compiled for one: gives what `member` gives."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def __getattr__(self, name: str) -> Any:
        value = self._value
        if isinstance(value, nn.Module):
            reached = member(value, name)
            return callable_module(reached) if isinstance(reached, nn.Module) else reached
        if isinstance(value, tuple) and name in _fields(value):
            return getattr(value, name)
        if isinstance(value, torch.Size) and name == "numel":
            return value.numel
        raise LanguageError(f"{kind_of(value)} has no {name}; a tensor has", code="bad-arguments")


def subject(value: Any) -> Any:
    """Lets tensors through and wraps everything else, so that an attribute reaches only what it may."""
    return value if value.__class__ is Tensor or isinstance(value, Tensor) else Subject(value)


def callable_module(value: Any) -> Any:
    """Lets through what may be called: a module that has a forward."""
    if isinstance(value, nn.Module):
        if isinstance(value, NOT_CALLED):
            raise bad_arguments(
                f"a {type(value).__name__} is not called; walk it with for, or call a child of it, as in blocks[0](x)"
            )
        return value
    raise bad_arguments(f"{kind_of(value)} is not called; functions and children are")


def item(value: Any, index: Any) -> Any:
    """Gives `value[index]` of a tensor, a list, a tuple, or of modules by position or name."""
    if value.__class__ is Tensor and index.__class__ is int:
        return value[index]
    if isinstance(value, Tensor):
        _check_index(index)
        result = value[index]
        limit = current_limits().tensor_rank
        if result.ndim > limit:
            raise limit_exceeded(f"a tensor would have {result.ndim} dimensions; at most {limit} are allowed")
        return result
    if isinstance(index, Tensor) and index.ndim == 0 and not index.dtype.is_floating_point:
        index = int(index.item())
    if isinstance(value, list | tuple | range):
        return _element(value, index)
    if isinstance(value, nn.ModuleDict) and isinstance(index, str):
        return member(value, index)
    if isinstance(value, nn.ModuleList | nn.Sequential) and isinstance(index, int | slice):
        return _child_of(value, index)
    if isinstance(value, nn.ParameterList) and isinstance(index, int):
        return _element(list(value), index)
    if isinstance(value, nn.Module) and isinstance(index, str):
        return member(value, index)
    if isinstance(value, dict) and isinstance(index, str) and index in value:
        return value[index]
    raise bad_arguments(f"{kind_of(value)} cannot be indexed with {kind_of(index)}")


def _check_index(index: Any) -> None:
    for part in index if isinstance(index, tuple) else (index,):
        if not isinstance(part, INDEXES):
            raise bad_arguments(f"a tensor cannot be indexed with {kind_of(part)}")
        if part.__class__ is list or part.__class__ is tuple:
            check_flat(part)


def _element(values: Any, index: Any) -> Any:
    if not isinstance(index, int | slice):
        raise bad_arguments(f"{kind_of(values)} is indexed with a whole number or a slice, not {kind_of(index)}")
    try:
        return values[index]
    except (IndexError, TypeError, ValueError):
        if isinstance(index, slice):
            raise bad_arguments("the parts of this slice are not whole numbers, or its step is 0") from None
        raise bad_arguments(f"index {index} is outside {kind_of(values)} of {len(values)} elements") from None


def _child_of(value: Any, index: Any) -> Any:
    children = list(value._modules.values())  # noqa: SLF001  # positions count every child, also one that stands twice
    return _element(children, index)


def child_at(module: nn.Module, index: Any) -> Any:
    """Gives `self[index]`: a member by name, a child by position."""
    if isinstance(index, str):
        return member(module, index)
    return _child_of(module, index)


def children_of(module: nn.Module) -> list[Any]:
    """Gives the children in order; one that stands twice is there twice, as in Sequential."""
    return list(module._modules.values())  # noqa: SLF001  # children() would name a shared child once


def list_of(values: Any, what: str) -> list[Any]:
    """Gives the list that a list method is meant for."""
    if isinstance(values, list):
        return values
    raise bad_arguments(f"{kind_of(values)} has no {what}; a list has")


def append(values: Any, value: Any) -> None:
    """`values.append(value)`; the list may not come to hold itself."""
    target = list_of(values, "append")
    check_length(len(target) + 1)
    if isinstance(value, list | tuple):
        _check_apart(value, target)
    target.append(value)


def _check_apart(value: Any, target: list[Any]) -> None:
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        inner = waiting.pop()
        if inner is target:
            raise bad_arguments("a list cannot hold itself")
        if isinstance(inner, list | tuple) and id(inner) not in seen:
            seen.add(id(inner))
            waiting.extend(inner)


def pop(values: Any, index: Any = -1) -> Any:
    """`values.pop()` or `values.pop(index)`."""
    target = list_of(values, "pop")
    if not isinstance(index, int):
        raise bad_arguments("pop takes a whole number")
    if not -len(target) <= index < len(target):
        raise bad_arguments(f"index {index} is outside a list of {len(target)} elements")
    return target.pop(index)


def output(value: Any) -> Any:
    """Lets through what a forward may return: tensors, numbers, None, and tuples, lists and named ones of these."""
    if value.__class__ is Tensor:
        return value
    if isinstance(value, dict):
        for part in value.values():
            output(part)
        return value
    check_flat(value)
    _check_output(value, 0)
    return value


def _check_output(value: Any, depth: int) -> None:
    if isinstance(value, list | tuple):
        if depth > current_limits().nesting:
            raise limit_exceeded(f"forward returned lists nested more than {current_limits().nesting} deep")
        for part in value:
            _check_output(part, depth + 1)
    elif value is not None and not isinstance(value, Tensor | int | float):
        raise LanguageError(
            f"forward returned {kind_of(value)}; outputs are tensors, numbers, tuples and lists of them",
            code="bad-output",
        )


# --- functions of numbers, and of tensors by the same name ---


def length(value: Any) -> int:
    """`len` of a list, a tuple, a tensor's first dimension, or of children."""
    if isinstance(value, list | tuple | range | dict | nn.ParameterList | nn.ParameterDict):
        return len(value)
    if isinstance(value, Tensor):
        if value.ndim == 0:
            raise bad_arguments("a tensor without dimensions has no len")
        return value.shape[0]
    if isinstance(value, WALKABLE):
        return len(value._modules)  # noqa: SLF001  # every child, as Sequential counts
    raise bad_arguments(f"{kind_of(value)} has no len")


def count_children(module: nn.Module) -> int:
    """`len(self)`."""
    return len(module._modules)  # noqa: SLF001  # as children_of


def _number_or_tensor(name: str, number: Callable[..., Any], tensor: Callable[..., Any]) -> Callable[..., Any]:
    def either(*args: Any, **kwargs: Any) -> Any:
        if not args or args[0].__class__ is Tensor or isinstance(args[0], Tensor):
            return tensor(*args, **kwargs)
        if not all(isinstance(arg, int | float | Tensor) for arg in args):
            raise bad_arguments(f"{name} takes a number or a tensor, not {', '.join(map(kind_of, args))}")
        try:
            return within(number(*args, **kwargs))
        except (ValueError, OverflowError) as error:
            raise bad_arguments(f"{name}({', '.join(map(str, args))}): {error}") from None
        except TypeError as error:
            raise bad_arguments(f"{name}: {error}") from None

    return either


def _logarithm(x: float, base: float = math.e) -> float:
    return math.log(x) if base == math.e else math.log(x, base)


def _rounded(x: float, ndigits: int | None = None) -> float:
    """`round` of a number; Python itself would compute `10 ** -ndigits`, however long that takes."""
    if ndigits is not None and not isinstance(ndigits, int):
        raise bad_arguments(f"round takes a whole number of digits, not {kind_of(ndigits)}")
    if ndigits is not None and abs(ndigits) > ROUND_DIGITS:
        raise limit_exceeded(f"round takes at most {ROUND_DIGITS} digits; a float has no more")
    return round(x, ndigits)


def _extreme(name: str, choose: Callable[..., Any], tensor: Callable[..., Any]) -> Callable[..., Any]:
    def either(*args: Any, **kwargs: Any) -> Any:
        if not args or (isinstance(args[0], Tensor) and not _beside_number(args)):
            return tensor(*args, **kwargs)
        values = args[0] if len(args) == 1 else args
        if kwargs or not isinstance(values, list | tuple) or not values:
            raise bad_arguments(f"{name} takes numbers, a list of numbers, or a tensor")
        if not all(isinstance(value, int | float | Tensor) for value in values):
            raise bad_arguments(f"{name} takes numbers or a tensor, not {', '.join(map(kind_of, values[:5]))}")
        return choose(values)

    return either


def _beside_number(args: tuple[Any, ...]) -> bool:
    """Tells `max(x.sum(), 0)`, where the tensor is one of the numbers, from `max(x, 0)`, where 0 is a dimension."""
    return len(args) == 2 and (
        args[1].__class__ is float or (args[0].ndim == 0 and isinstance(args[1], int) and args[1].__class__ is not bool)
    )


def whole(value: Any) -> int:
    """`int` of a number or of a tensor with one element."""
    if not isinstance(value, int | float | Tensor):
        raise bad_arguments(f"int takes a number, not {kind_of(value)}")
    try:
        return int(within(int(value)))
    except (ValueError, OverflowError) as error:
        raise bad_arguments(f"int({value}): {error}") from None


def real(value: Any) -> float:
    """`float` of a number or of a tensor with one element."""
    if not isinstance(value, int | float | Tensor):
        raise bad_arguments(f"float takes a number, not {kind_of(value)}; infinity is written inf")
    return float(value)


def total(values: Any, *args: Any, **kwargs: Any) -> Any:
    """`sum` of a tensor, or of a list of numbers and tensors."""
    if isinstance(values, list | tuple):
        if args or kwargs:
            raise bad_arguments("sum of a list takes the list alone")
        result: Any = 0
        for value in values:
            result = add(result, value)
        return result
    return torch.sum(values, *args, **kwargs)


NUMBER_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "len": length,
    "int": whole,
    "float": real,
    "sum": total,
    "min": _extreme("min", min, torch.min),
    "max": _extreme("max", max, torch.max),
    "pow": _number_or_tensor("pow", power, torch.pow),
    "sqrt": _number_or_tensor("sqrt", math.sqrt, torch.sqrt),
    "exp": _number_or_tensor("exp", math.exp, torch.exp),
    "log": _number_or_tensor("log", _logarithm, torch.log),
    "abs": _number_or_tensor("abs", abs, torch.abs),
    "round": _number_or_tensor("round", _rounded, torch.round),
}
