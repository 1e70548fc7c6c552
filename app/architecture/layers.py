"""The catalogue of layers: every module of `torch.nn`, what it takes, and why a few cannot be used.

All of it is read from PyTorch's own classes when this module is loaded, so a new release brings its new layers.
`bind` checks the arguments of one use. Knows nothing of blocks or documents. Called by `plan.py`, `check.py` and
the catalogue's route.
"""

import inspect
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from app.architecture.arguments import BLOCK, BOOLEAN, INTEGER, NULL, REFUSED, Kind, either, kind_of_parameter
from app.language.errors import LanguageError
from app.settings import Limits

CONTAINERS: dict[str, type[nn.Module]] = {
    "Sequential": nn.Sequential,
    "ModuleList": nn.ModuleList,
    "ModuleDict": nn.ModuleDict,
}

UNSUPPORTED = {
    "Module": "it is the base of all layers; write a block of your own with children and forward",
    "Container": "it is a name that PyTorch gave up; write a block of your own with children and forward",
    "RNNBase": "it is the base of RNN, LSTM and GRU; use one of them",
    "RNNCellBase": "it is the base of RNNCell, LSTMCell and GRUCell; use one of them",
    "ParameterList": "parameters are named in a block's own parameters",
    "ParameterDict": "parameters are named in a block's own parameters",
    "DataParallel": "the service places networks on devices itself",
}
LAZY = "its sizes are known only after a first call, and a network here has all its parameters from the start"

WITHHELD = {
    "device": "the device is chosen beside the architecture, for the whole network",
    "dtype": "the dtype is chosen beside the architecture, for the whole network",
    "process_group": "a network runs in one process",
}
KNOWN_KINDS: dict[str, Kind] = {  # parameters that PyTorch does not annotate
    "size_average": either([BOOLEAN, NULL]),
    "reduce": either([BOOLEAN, NULL]),
    "kdim": either([INTEGER, NULL]),
    "vdim": either([INTEGER, NULL]),
    "custom_encoder": either([BLOCK, NULL]),
    "custom_decoder": either([BLOCK, NULL]),
}
STACKED = frozenset({"num_layers", "num_encoder_layers", "num_decoder_layers"})


class BadArguments(LanguageError):
    """A layer or block was given what it does not take. `key` is the position or name of the argument, None for all.

    An error of the language, so that it passes through the texts in which layers are called.
    """

    def __init__(self, message: str, key: int | str | None = None, code: str = "bad-arguments") -> None:
        super().__init__(message, code=code)
        self.key = key


@dataclass(frozen=True)
class Parameter:
    """One parameter of a layer's constructor. `kind` is None where JSON cannot give it (`reason` says why)."""

    name: str
    kind: Kind | None
    required: bool
    default: object
    keyword_only: bool
    reason: str | None = None


@dataclass(frozen=True)
class Layer:
    """One class of `torch.nn`. `reason` says why it cannot be used, None when it can."""

    name: str
    module: type[nn.Module]
    parameters: tuple[Parameter, ...]
    takes_any: bool  # Identity and its like ignore what they are given
    takes_device: bool
    reason: str | None
    summary: str

    @property
    def signature(self) -> str:
        """The call as one would write it: `Linear(in_features, out_features, bias=True)`."""
        if self.name == "ModuleDict":
            return 'ModuleDict, as {"type": "ModuleDict", "layers": {...}}'
        if self.name in CONTAINERS:
            return f"{self.name}({'*blocks' if self.name == 'Sequential' else 'blocks'})"
        parts: list[str] = []
        for parameter in self.parameters:
            if parameter.kind is None:
                continue
            if parameter.keyword_only and "*" not in parts:
                parts.append("*")
            parts.append(parameter.name if parameter.required else f"{parameter.name}={parameter.default!r}")
        return f"{self.name}({', '.join([*parts, *(['*args', '**kwargs'] if self.takes_any else [])])})"


def _constructor(module: type[nn.Module]) -> inspect.Signature:
    overloads = typing.get_overloads(module.__init__)
    return inspect.signature(overloads[0] if overloads else module.__init__)


def _hints(module: type[nn.Module]) -> dict[str, Any]:
    overloads = typing.get_overloads(module.__init__)
    try:
        return typing.get_type_hints(overloads[0] if overloads else module.__init__)
    except NameError:
        return {}


def _parameters(module: type[nn.Module]) -> tuple[Parameter, ...]:
    hints = _hints(module)
    found: list[Parameter] = []
    for name, parameter in list(_constructor(module).parameters.items())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        kind = KNOWN_KINDS.get(name) or kind_of_parameter(parameter, hints.get(name, parameter.annotation))
        reason = WITHHELD.get(name)
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


def _describe(name: str, module: type[nn.Module]) -> Layer:
    reason = LAZY if issubclass(module, LazyModuleMixin) else UNSUPPORTED.get(name)
    plain = module.__init__ is nn.Module.__init__ or name in CONTAINERS
    parameters = () if plain else _parameters(module)
    if any(parameter.required and parameter.kind is None for parameter in parameters):
        reason = reason or "one of its arguments cannot be described in JSON"
    summary = (inspect.getdoc(module) or "").strip().split("\n\n")[0].replace("\n", " ")
    takes_any = name == "Identity"
    takes_device = any(parameter.name == "device" for parameter in parameters)
    return Layer(name, module, parameters, takes_any, takes_device, reason, summary)


LAYERS: dict[str, Layer] = {
    name: _describe(name, module)
    for name, module in sorted(vars(nn).items())
    if isinstance(module, type) and issubclass(module, nn.Module)
}


def suggest(name: str, known: typing.Iterable[str]) -> str:
    """Ends a message with the known names that are near: `; did you mean Linear?`, or nothing."""
    near = get_close_matches(name, list(known), n=3, cutoff=0.6)
    if not near:
        folded = {candidate.lower(): candidate for candidate in known}
        near = [folded[match] for match in get_close_matches(name.lower(), list(folded), n=3, cutoff=0.7)]
    return f"; did you mean {' or '.join(near)}?" if near else ""


def bind(
    layer: Layer, args: Sequence[object], kwargs: Mapping[str, object], limits: Limits
) -> tuple[tuple[object, ...], dict[str, object]]:
    """Checks the arguments of one use and gives them as PyTorch wants them (lists become tuples).

    Raises BadArguments, its `key` telling which argument is wrong.
    """
    if layer.takes_any:
        return tuple(args), dict(kwargs)
    positional = [parameter for parameter in layer.parameters if not parameter.keyword_only]
    if len(args) > len(positional):
        takes = f"{len(positional)} argument{'s' * (len(positional) != 1)} by position"
        raise BadArguments(f"{layer.name} takes {takes}, not {len(args)}: {layer.signature}", len(positional))
    taken = tuple(
        _take(layer, parameter, value, position, limits)
        for position, (parameter, value) in enumerate(zip(positional, args, strict=False))
    )
    named = _named(layer, positional[: len(args)], kwargs, limits)
    given = {parameter.name for parameter in positional[: len(args)]} | named.keys()
    missing = [parameter.name for parameter in layer.parameters if parameter.required and parameter.name not in given]
    if missing:
        raise BadArguments(f"{layer.name} needs {' and '.join(missing)}: {layer.signature}")
    return taken, named


def _named(
    layer: Layer, by_position: Sequence[Parameter], kwargs: Mapping[str, object], limits: Limits
) -> dict[str, object]:
    known = {parameter.name: parameter for parameter in layer.parameters}
    named: dict[str, object] = {}
    for name, value in kwargs.items():
        parameter = known.get(name)
        if parameter is None:
            near = suggest(name, (other.name for other in layer.parameters if other.kind is not None))
            raise BadArguments(f"{layer.name} takes no argument {name!r}{near} It is {layer.signature}", name)
        if parameter in by_position:
            raise BadArguments(f"{layer.name} was given {name} twice, by position and by name", name)
        named[name] = _take(layer, parameter, value, name, limits)
    return named


def _take(layer: Layer, parameter: Parameter, value: object, key: int | str, limits: Limits) -> object:
    if parameter.kind is None:
        raise BadArguments(f"{layer.name}'s {parameter.name} cannot be given: {parameter.reason}", key)
    taken = parameter.kind.take(value)
    if taken is REFUSED:
        words = f"{layer.name}'s {parameter.name} is {parameter.kind.words}, not {in_words(value)}: {layer.signature}"
        raise BadArguments(words, key)
    for number in taken if isinstance(taken, tuple) else (taken,):
        if isinstance(number, int) and abs(number) > limits.argument_integer:
            message = f"{layer.name}'s {parameter.name} is {number}, past the limit of {limits.argument_integer}"
            raise BadArguments(message, key, "limit-exceeded")
    if parameter.name in STACKED and isinstance(taken, int) and taken > limits.stacked_layers:
        message = f"{layer.name}'s {parameter.name} is {taken}; at most {limits.stacked_layers} layers may be stacked"
        raise BadArguments(message, key, "limit-exceeded")
    return taken


def in_words(value: object) -> str:
    """Shows a value in a message, short."""
    names: dict[object, str] = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return names[value]
    if getattr(type(value), "is_block", False):
        return "a block"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


@lru_cache(maxsize=1)
def catalogue() -> list[dict[str, object]]:
    """Lists every layer: type, signature, summary, JSON Schema of its arguments, and whether it can be used."""
    return [_entry(layer) for layer in LAYERS.values()]


def _entry(layer: Layer) -> dict[str, object]:
    properties: dict[str, object] = {}
    for parameter in layer.parameters:
        if parameter.kind is not None:
            default = {} if parameter.required else {"default": _as_json(parameter.default)}
            properties[parameter.name] = {**parameter.kind.schema, **default}
    schema: dict[str, object] = {
        "type": "object",
        "properties": properties,
        "required": [parameter.name for parameter in layer.parameters if parameter.required],
        "additionalProperties": layer.takes_any,
    }
    return {
        "type": layer.name,
        "signature": layer.signature,
        "summary": layer.summary,
        "supported": layer.reason is None,
        "reason": layer.reason,
        "arguments": schema,
        "positional": [
            parameter.name
            for parameter in layer.parameters
            if parameter.kind is not None and not parameter.keyword_only
        ],
        "withheld": {parameter.name: parameter.reason for parameter in layer.parameters if parameter.kind is None},
    }


def _as_json(value: object) -> object:
    if isinstance(value, tuple):
        return [_as_json(element) for element in value]
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)
