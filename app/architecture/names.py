"""Which names may be used for what. Knows PyTorch's own names, since a child may not hide them.

Called by `read.py` (names as written) and `plan.py` (names that a template made).
"""

import keyword
import re
import unicodedata
from functools import cache
from typing import Any

from torch import nn

from app.architecture.layers import LAYERS
from app.language.functions import BARE
from app.language.words import DTYPES, LITERALS, LOOP_FUNCTIONS, NAMESPACES

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
LONGEST_NAME = 256
RESERVED = NAMESPACES | LITERALS | DTYPES | {"self"}
FUNCTIONS = frozenset(BARE) | LOOP_FUNCTIONS


@cache
def _attributes(container: Any) -> frozenset[str]:
    return frozenset(dir(container)) | frozenset(vars(nn.Module()))


def child_name_problem(name: str, container: type[nn.Module] = nn.Module) -> str | None:
    """Says why `name` cannot be a child, parameter or constant of `container`; None when it can."""
    if not name:
        return "a name may not be empty"
    if len(name) > LONGEST_NAME:
        return f"a name has at most {LONGEST_NAME} characters"
    for character in name:
        if character in ".'\"" or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            return f"a name may not hold {character!r}: no dots, quotes or control characters"
    kind: Any = container
    if name in _attributes(kind):
        return f"{name!r} is PyTorch's own name in {container.__name__}; choose another"
    return None


def identifier_problem(name: str) -> str | None:
    """Says why `name` cannot be a hyperparameter; None when it can."""
    if len(name) > LONGEST_NAME or not IDENTIFIER.match(name) or keyword.iskeyword(name) or name.startswith("__"):
        return f"{name!r} is no name: letters, digits and _, not beginning with a digit or __, and no word of Python"
    if name in RESERVED:
        return f"{name!r} is a word of the language; choose another"
    return None


def block_name_problem(name: str) -> str | None:
    """Says why `name` cannot be a block's; None when it can."""
    problem = identifier_problem(name)
    if problem is None and name in LAYERS:
        problem = f"{name!r} is a layer of PyTorch; a block needs another name"
    if problem is None and name in FUNCTIONS:
        problem = f"{name!r} is a function of the language; a block needs another name"
    return problem
