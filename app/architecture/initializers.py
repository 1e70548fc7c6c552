"""The catalogue of initialisers: the in-place functions of `torch.nn.init`, read from PyTorch itself.

Each fills the tensor it is called on; the others of its parameters are the rule's arguments. Knows no networks.
Called by the catalogue's route.
"""

import inspect
import typing
from functools import lru_cache

from torch.nn import init

from app.architecture.arguments import kind_of_parameter

LEFT_OUT = frozenset({"tensor", "generator"})


@lru_cache(maxsize=1)
def catalogue() -> list[dict[str, object]]:
    """Lists every initialiser: name, signature, summary, and the JSON Schema of its arguments."""
    return [
        _entry(name, function)
        for name, function in sorted(vars(init).items())
        if inspect.isfunction(function) and name.endswith("_") and not name.startswith("_")
    ]


def _entry(name: str, function: typing.Callable[..., object]) -> dict[str, object]:
    hints = typing.get_type_hints(function)
    properties: dict[str, object] = {}
    required: list[str] = []
    parts: list[str] = []
    for parameter in inspect.signature(function).parameters.values():
        kind = kind_of_parameter(parameter, hints.get(parameter.name, parameter.annotation))
        if parameter.name in LEFT_OUT or kind is None:
            continue
        if parameter.default is parameter.empty:
            required.append(parameter.name)
            parts.append(parameter.name)
            properties[parameter.name] = dict(kind.schema)
        else:
            parts.append(f"{parameter.name}={parameter.default!r}")
            properties[parameter.name] = {**kind.schema, "default": parameter.default}
    summary = (inspect.getdoc(function) or "").strip().split("\n\n")[0].replace("\n", " ")
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {"name": name, "signature": f"{name}({', '.join(parts)})", "summary": summary, "arguments": schema}
