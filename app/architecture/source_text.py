"""Pieces of Python text that `source.py` puts together: names, calls over several lines, functions and classes."""

import ast
import builtins
import keyword
import re
from collections.abc import Iterable, Sequence
from textwrap import indent

from torch import nn

from app.language.expressions import IDENTIFIER
from app.language.printed import literal

WIDE = 100  # letters of a line before a call is broken up
TAKEN = frozenset(
    {"torch", "nn", "F", "math", "functools", "build", "load", "self", "OrderedDict", "Path", "Here", "DTYPE", "MAKERS"}
    | {"made_here", "load_file", "TorchFunctionMode"}
    | {*keyword.kwlist, *dir(builtins)}
)
_ATTRIBUTES = frozenset({*dir(nn.Module), *vars(nn.Module())})


def is_plain(name: str) -> bool:
    """Tells whether `self.name` may be written for a member: no word of Python, nothing that a class changes."""
    return bool(IDENTIFIER.match(name)) and not keyword.iskeyword(name) and not name.startswith("__")


def is_hidden(name: str) -> bool:
    """Tells whether an attribute of this name would hide one of PyTorch's modules."""
    return name in _ATTRIBUTES or not is_plain(name)


def value_text(value: object) -> str:
    return ast.unparse(literal(value))


def call_text(head: str, parts: Sequence[str], brackets: tuple[str, str] = ("(", ")")) -> str:
    """A call on one line, or with an argument on each."""
    left, right = brackets
    flat = f"{head}{left}{', '.join(parts)}{right}"
    if len(flat) <= WIDE and "\n" not in flat:
        return flat
    inner = "".join(f"{part},\n" for part in parts)
    return f"{head}{left}\n{indent(inner, '    ')}{right}"


def block_text(header: str, lines: Iterable[str]) -> str:
    """A header with what is under it."""
    body = "\n".join(lines)
    return f"{header}\n{indent(body, '    ')}"


def fresh_name(wanted: str, taken: set[str]) -> str:
    """A name like `wanted` that is not taken, which it then is."""
    base = re.sub(r"\W", "_", wanted, flags=re.ASCII) or "module"
    if base[0].isdigit() or base.startswith("__"):
        base = "module_" + base.strip("_")
    name, number = base, 1
    while name in taken or name in TAKEN or keyword.iskeyword(name):
        number += 1
        name = f"{base}_{number}" if base[-1].isdigit() else f"{base}{number}"
    taken.add(name)
    return name
