"""How many tensors one body may hold, and how long their names may be. Does not load PyTorch."""

from app.errors import Place, Unprocessable, pointer_to

MOST_TENSORS = 100_000  # in one body
LONGEST_NAME = 1_024  # characters


def check_tensor_name(name: str) -> None:
    """Raises Unprocessable (`bad-name`) for a name that is empty or too long, or holds NUL."""
    if not name or len(name) > LONGEST_NAME or "\0" in name:
        message = f"a tensor's name has 1 to {LONGEST_NAME} characters, none of them NUL"
        raise Unprocessable(message, code="bad-name", places=[Place(pointer_to(name[:80]), message)])
