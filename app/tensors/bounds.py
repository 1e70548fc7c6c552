"""How many tensors one body may hold, and what their names may be. Does not load PyTorch."""

import re
from typing import TypeGuard

from app.errors import Place, Unprocessable, pointer_to

MOST_TENSORS = 100_000  # in one body
LONGEST_NAME = 1_024  # characters
NAMES = f"a tensor's name has 1 to {LONGEST_NAME} characters, none of them NUL or half of a surrogate pair"

_NAME = re.compile(rf"[^\0\ud800-\udfff]{{1,{LONGEST_NAME}}}")


def is_tensor_name(name: object) -> TypeGuard[str]:
    """Whether it can name a tensor. Half of a surrogate pair is in no text that is sent or stored."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def check_tensor_name(name: str) -> None:
    """Raises Unprocessable (`bad-name`) for a name that is empty or too long, or holds NUL or a surrogate."""
    if not is_tensor_name(name):
        shown = name[:80].encode(errors="backslashreplace").decode()
        raise Unprocessable(NAMES, code="bad-name", places=[Place(pointer_to(shown), NAMES)])
