"""Binds the arguments of a named block's use to its hyperparameters, as Python binds a call.

Called by `planner.py`.
"""

from collections.abc import Callable, Mapping, Sequence

import torch

from app.architecture.constructors import BadArguments, suggest
from app.architecture.spec import Hyperparameter

Default = Callable[[Hyperparameter, Mapping[str, object]], object]


def bind_hyperparameters(
    name: str,
    hyperparameters: Sequence[Hyperparameter],
    args: Sequence[object],
    kwargs: Mapping[str, object],
    default: Default,
) -> dict[str, object]:
    """Gives each hyperparameter its value: by position, by name, or its default. Raises BadArguments."""
    given: dict[str, object] = {}
    signature = _signature(name, hyperparameters)
    rest = next((index for index, one in enumerate(hyperparameters) if one.rest), None)
    positional = hyperparameters if rest is None else hyperparameters[: rest + 1]  # as in Python, names follow *rest
    by_position = [one.name for one in positional[: len(args)]]
    _check_names(name, signature, by_position, [one.name for one in hyperparameters], kwargs)
    if rest is None and len(args) > len(positional):
        raise BadArguments(f"{signature} takes {len(positional)} arguments, not {len(args)}", len(positional))
    for position, one in enumerate(hyperparameters):
        if one.name in by_position:
            given[one.name] = tuple(args[position:]) if one.rest else args[position]
        elif one.name in kwargs:
            if one.rest and not isinstance(kwargs[one.name], tuple):
                raise BadArguments(f"{one.name} is a list: {signature}", one.name)
            given[one.name] = kwargs[one.name]
        elif one.default is None and not one.rest:
            message = f"hyperparameter {one.name!r} must be given: {signature}"
            raise BadArguments(message, None, "missing-hyperparameter")
        else:
            given[one.name] = default(one, given)
    written = dict.fromkeys([*by_position, *kwargs, *given])  # blocks among them are made in the order of the call
    return {key: given[key] for key in written}


def _check_names(
    name: str, signature: str, by_position: Sequence[str], known: Sequence[str], kwargs: Mapping[str, object]
) -> None:
    for key in kwargs:
        if key not in known:
            raise BadArguments(f"{name} takes no argument {key!r}{suggest(key, known) or '.'} It is {signature}", key)
        if key in by_position:
            raise BadArguments(f"{name} was given {key} twice, by position and by name", key)


def _signature(name: str, hyperparameters: Sequence[Hyperparameter]) -> str:
    parts = [
        f"*{one.name}" if one.rest else one.name if one.default is None else f"{one.name}=..."
        for one in hyperparameters
    ]
    return f"{name}({', '.join(parts)})"


def frozen(value: object) -> object:
    """Gives a key that is equal for equal arguments only: 1, 1.0 and True are three, and a block is itself."""
    if isinstance(value, Mapping):
        return tuple((name, frozen(item)) for name, item in value.items())
    if isinstance(value, tuple | list):
        return tuple(frozen(item) for item in value)
    if isinstance(value, torch.Tensor):
        return ("tensor", id(value), value)
    return (type(value), repr(value) if isinstance(value, float) else value)
