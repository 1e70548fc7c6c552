"""Shapes of JSON: is it an object with these keys, a list, a text, a name that may be used.

The base of the readers of forms. Every error is an `Unprocessable` with the pointer of the place.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from app.architecture.constructors import suggest
from app.architecture.names import child_name_problem
from app.architecture.spec import Text
from app.errors import Unprocessable, in_place, pointer_to
from app.language.errors import LanguageError
from app.language.syntax import parse_expression
from app.settings import Limits


def refuse(error: LanguageError, pointer: str) -> Unprocessable:
    """Gives an error of the language its place in the document."""
    return in_place(pointer, str(error), code=error.code)


@contextmanager
def not_too_deep(pointer: str) -> Iterator[None]:
    """Refuses what goes deeper than Python's own calls may."""
    try:
        yield
    except RecursionError:
        message = "blocks and texts stand too deep in one another"
        raise in_place(pointer, message, code="limit-exceeded") from None


class Shapes:
    """Checks shapes under limits; `depth` counts blocks inside blocks."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    def text(self, text: str, pointer: str) -> Text:
        try:
            return Text(parse_expression(text, self.limits), pointer)
        except LanguageError as error:
            raise refuse(error, pointer) from None

    def deep(self, depth: int, pointer: str) -> None:
        if depth > self.limits.nesting:
            message = f"blocks stand at most {self.limits.nesting} deep in one another"
            raise in_place(pointer, message, code="limit-exceeded")

    def keys(self, value: Mapping[str, object], allowed: Sequence[str], pointer: str, more: str = "") -> None:
        for key in value:
            if key not in allowed:
                near = suggest(key, allowed) or "."
                message = f"unknown key {key!r}{near} This form takes {', '.join(allowed)} {more}"
                raise in_place(pointer + pointer_to(key), message.strip(), code="unknown-key")

    def string(self, value: object, pointer: str, words: str) -> str:
        if not isinstance(value, str):
            raise in_place(pointer, f"{words}, not {kind_word(value)}", code="bad-arguments")
        return value

    def mapping(self, value: object, pointer: str, words: str) -> Mapping[str, object]:
        if not isinstance(value, dict):
            raise in_place(pointer, f"{words}, not {kind_word(value)}", code="bad-arguments")
        self.many(value, pointer)
        return value

    def sequence(self, value: object, pointer: str, words: str) -> Sequence[object]:
        if not isinstance(value, list | tuple):
            raise in_place(pointer, f"{words}, not {kind_word(value)}", code="bad-arguments")
        self.many(value, pointer)
        return value

    def many(self, value: Sequence[object] | Mapping[str, object], pointer: str) -> None:
        if len(value) > max(self.limits.layers, self.limits.list_length):
            raise in_place(pointer, f"{len(value)} entries are more than a network may have", code="limit-exceeded")

    def child_name(self, name: str, pointer: str) -> None:
        self.good_name(child_name_problem(name), pointer)

    def good_name(self, problem: str | None, pointer: str) -> None:
        if problem is not None:
            raise in_place(pointer, problem, code="bad-name")


def kind_word(value: object) -> str:
    """Names a JSON value in a message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    words: dict[type, str] = {dict: "an object", list: "a list", tuple: "a list", str: "a text"}
    return words.get(type(value), "a number")
