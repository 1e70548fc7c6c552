"""Constructors of PyTorch's classes as JSON sees them: what each takes, read from its own signature, and whether a use
of it is right.

Layers, optimizers and schedulers are described and checked by the same words. Knows none of them by name. Called by
their catalogues.
"""

import inspect
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from app.architecture.arguments import REFUSED, Kind, is_block, kind_of_parameter
from app.language.errors import LanguageError
from app.settings import Limits

STACKED = frozenset({"num_layers", "num_encoder_layers", "num_decoder_layers"})


class BadArguments(LanguageError):
    """A layer, a block or another class was given what it does not take. `key` is the position or name of the argument,
    None for all.

    An error of the language, so that it passes through the texts in which layers are called.
    """

    def __init__(self, message: str, key: int | str | None = None, code: str = "bad-arguments") -> None:
        super().__init__(message, code=code)
        self.key = key


@dataclass(frozen=True)
class Parameter:
    """One parameter of a constructor. `kind` is None where JSON cannot give it (`reason` says why)."""

    name: str
    kind: Kind | None
    required: bool
    default: object
    keyword_only: bool
    reason: str | None = None


@dataclass(frozen=True)
class Constructor:
    """What one class is made from."""

    name: str
    parameters: tuple[Parameter, ...]

    @property
    def signature(self) -> str:
        """The call as one would write it: `Linear(in_features, out_features, bias=True)`."""
        return f"{self.name}({', '.join(self.shown_parameters)})"

    @property
    def takes_any(self) -> bool:
        """True for a class that ignores what it is given."""
        return False

    @property
    def shown_parameters(self) -> list[str]:
        parts: list[str] = []
        for parameter in self.parameters:
            if parameter.kind is None:
                continue
            if parameter.keyword_only and "*" not in parts:
                parts.append("*")
            parts.append(parameter.name if parameter.required else f"{parameter.name}={parameter.default!r}")
        return parts

    @property
    def schema(self) -> dict[str, object]:
        """JSON Schema of its arguments by name."""
        properties: dict[str, object] = {}
        for parameter in self.parameters:
            if parameter.kind is not None:
                default = {} if parameter.required else {"default": _as_json(parameter.default)}
                properties[parameter.name] = {**parameter.kind.schema, **default}
        return {
            "type": "object",
            "properties": properties,
            "required": [parameter.name for parameter in self.parameters if parameter.required],
            "additionalProperties": self.takes_any,
        }


def read_parameters(
    made: type[Any],
    withheld: Mapping[str, str],
    known: Mapping[str, Kind],
    namespace: Mapping[str, Any] | None = None,
) -> tuple[Parameter, ...]:
    """Reads the parameters of a class. `withheld` says why some cannot be given, `known` what PyTorch does not tell.

    `namespace` holds names that its annotations need and its module does not have while it runs.
    """
    hints = _hints(made, namespace)
    found: list[Parameter] = []
    for name, parameter in list(_signature(made).parameters.items())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        kind = known.get(name) or kind_of_parameter(parameter, hints.get(name, parameter.annotation))
        reason = withheld.get(name)
        if name.startswith("_"):
            reason = "it is private to PyTorch"
        elif reason is None and kind is None:
            reason = "JSON cannot describe such a value"
        required = parameter.default is parameter.empty
        default = None if required else parameter.default
        default = getattr(default, "__name__", default) if callable(default) else default
        keyword_only = parameter.kind is parameter.KEYWORD_ONLY
        found.append(Parameter(name, None if reason else kind, required, default, keyword_only, reason))
    return tuple(found)


def _signature(made: type[Any]) -> inspect.Signature:
    overloads = typing.get_overloads(made.__init__)
    return inspect.signature(overloads[0] if overloads else made.__init__)


def _hints(made: type[Any], namespace: Mapping[str, Any] | None) -> dict[str, Any]:
    overloads = typing.get_overloads(made.__init__)
    try:
        return typing.get_type_hints(overloads[0] if overloads else made.__init__, localns=dict(namespace or {}))
    except NameError:
        return {}


def suggest(name: str, known: typing.Iterable[str]) -> str:
    """Ends a message with the known names that are near: `; did you mean Linear?`, or nothing."""
    near = get_close_matches(name, list(known), n=3, cutoff=0.6)
    if not near:
        folded = {candidate.lower(): candidate for candidate in known}
        near = [folded[match] for match in get_close_matches(name.lower(), list(folded), n=3, cutoff=0.7)]
    return f"; did you mean {' or '.join(near)}?" if near else ""


def bind(
    made: Constructor, args: Sequence[object], kwargs: Mapping[str, object], limits: Limits
) -> tuple[tuple[object, ...], dict[str, object]]:
    """Checks the arguments of one use and gives them as PyTorch wants them (lists become tuples).

    Raises BadArguments, its `key` telling which argument is wrong.
    """
    if made.takes_any:
        return tuple(args), dict(kwargs)
    positional = [parameter for parameter in made.parameters if not parameter.keyword_only]
    if len(args) > len(positional):
        takes = f"{len(positional)} argument{'s' * (len(positional) != 1)} by position"
        raise BadArguments(f"{made.name} takes {takes}, not {len(args)}: {made.signature}", len(positional))
    taken = tuple(
        _take(made, parameter, value, position, limits)
        for position, (parameter, value) in enumerate(zip(positional, args, strict=False))
    )
    named = _named(made, positional[: len(args)], kwargs, limits)
    given = {parameter.name for parameter in positional[: len(args)]} | named.keys()
    missing = [parameter.name for parameter in made.parameters if parameter.required and parameter.name not in given]
    if missing:
        raise BadArguments(f"{made.name} needs {' and '.join(missing)}: {made.signature}")
    return taken, named


def _named(
    made: Constructor, by_position: Sequence[Parameter], kwargs: Mapping[str, object], limits: Limits
) -> dict[str, object]:
    known = {parameter.name: parameter for parameter in made.parameters}
    named: dict[str, object] = {}
    for name, value in kwargs.items():
        parameter = known.get(name)
        if parameter is None:
            near = suggest(name, (other.name for other in made.parameters if other.kind is not None))
            raise BadArguments(f"{made.name} takes no argument {name!r}{near or '.'} It is {made.signature}", name)
        if parameter in by_position:
            raise BadArguments(f"{made.name} was given {name} twice, by position and by name", name)
        named[name] = _take(made, parameter, value, name, limits)
    return named


def _take(made: Constructor, parameter: Parameter, value: object, key: int | str, limits: Limits) -> object:
    if parameter.kind is None:
        raise BadArguments(f"{made.name}'s {parameter.name} cannot be given: {parameter.reason}", key)
    taken = parameter.kind.take(value)
    if taken is REFUSED:
        words = f"{made.name}'s {parameter.name} is {parameter.kind.words}, not {in_words(value)}: {made.signature}"
        raise BadArguments(words, key)
    for number in taken if isinstance(taken, tuple) else (taken,):
        if isinstance(number, int) and abs(number) > limits.argument_integer:
            message = f"{made.name}'s {parameter.name} is {number}, past the limit of {limits.argument_integer}"
            raise BadArguments(message, key, "limit-exceeded")
    if parameter.name in STACKED and isinstance(taken, int) and taken > limits.stacked_layers:
        message = f"{made.name}'s {parameter.name} is {taken}; at most {limits.stacked_layers} layers may be stacked"
        raise BadArguments(message, key, "limit-exceeded")
    return taken


def in_words(value: object) -> str:
    """Shows a value in a message, short."""
    names: dict[object, str] = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return names[value]
    if is_block(value):
        return "a block"
    if isinstance(value, tuple) and any(map(is_block, value)):
        return "a list of blocks"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _as_json(value: object) -> object:
    if isinstance(value, tuple):
        return [_as_json(element) for element in value]
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)
