"""The one error of the language, raised when a text is checked and when it runs.

It knows lines and columns of a text but no JSON: `app.architecture` turns it into a problem with a pointer.
Codes are those of the public contract: bad-expression, bad-arguments, bad-output, limit-exceeded, shape-mismatch. A
name that a text reads and nothing has is a bad-expression; `unknown-name` is said of a graph's nodes and inputs.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class LanguageError(Exception):
    """Something in a text of the language is wrong; `message` says what, and what would be right.

    `line` and `column` are 1-based places in the text, None where the error has no place in it.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "bad-expression",
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.line = line
        self.column = column

    def __str__(self) -> str:
        if self.line is None:
            return self.message
        return f"line {self.line}, column {self.column}: {self.message}"


class UnknownName(LanguageError):
    """A text reads a name, calls a function or asks for an attribute that is not there."""


def limit_exceeded(message: str) -> LanguageError:
    """Makes the error of a text that asks for more than the limits allow."""
    return LanguageError(message, code="limit-exceeded")


def bad_arguments(message: str) -> LanguageError:
    """Makes the error of a call or an operator that was given values it does not take."""
    return LanguageError(message, code="bad-arguments")


def suggest(name: str, known: Iterable[str]) -> str:
    """Says which known names are near: `; did you mean relu?`, or nothing."""
    near = get_close_matches(name, list(known), n=3, cutoff=0.7)
    return f"; did you mean {' or '.join(near)}?" if near else ""
