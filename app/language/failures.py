"""Where and why a compiled text failed: from exceptions and tracebacks to lines, columns and words.

Called by compiled code, by `compile.py`, and by `app.architecture` for errors of PyTorch that passed through a
forward.
"""

import re
from types import TracebackType
from typing import Any, NamedTuple

import torch

from app.language.errors import LanguageError, UnknownName

FILENAME = "<forward>"
_MEMORY = re.compile(
    r"can't allocate memory|out of memory|not enough memory|Cannot allocate|alloc_cpu|too large|overflow"
)
_ASKED = re.compile(r"tried to allocate (\d[\d.]* \w+)")
_SHAPES = re.compile(
    r"shape|size|dimension|must match|mat1 and mat2|broadcast|expected \S+ (channels|elements)|same number"
    r"|reduction dim",
    re.IGNORECASE,
)


class Place(NamedTuple):
    """Where a failure stands: 1-based, in the text of the forward of `module` (None for an expression)."""

    line: int
    column: int
    module: Any


def place_of(error: BaseException) -> Place | None:
    """Finds the innermost place in a compiled text that `error` passed through; None where there is none."""
    found: Place | None = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == FILENAME:
            line, column = _position(trace)
            found = Place(line, column, trace.tb_frame.f_locals.get("self"))
        trace = trace.tb_next
    return found


def _position(trace: TracebackType) -> tuple[int, int]:
    code = trace.tb_frame.f_code
    positions = list(code.co_positions())[trace.tb_lasti // 2]
    line, _, column, _ = positions
    return line or trace.tb_lineno or 1, (column or 0) + 1


def explain(error: BaseException) -> LanguageError:
    """Makes a LanguageError of whatever came out of a compiled text, with code, words and place.

    An error of the language that already has its place (a nested forward gave it one) stays as it is.
    """
    made = error if isinstance(error, LanguageError) else _explained(error)
    if made.line is None:
        place = place_of(error)
        if place is not None:
            made.line, made.column = place.line, place.column
    return made


def _explained(error: BaseException) -> LanguageError:
    text = _first_lines(str(error))
    if isinstance(error, RuntimeError) and text == "ZeroDivisionError":
        return LanguageError("whole numbers are divided by zero", code="bad-arguments")
    if isinstance(error, RuntimeError) and "INTERNAL ASSERT FAILED" in text:
        return LanguageError("PyTorch cannot do this with these values, and does not say why", code="bad-arguments")
    if isinstance(error, UnboundLocalError):
        name = re.search(r"'([^']*)'", text)
        return UnknownName(f"{name[1] if name else 'a name'} is used before anything was assigned to it")
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and _MEMORY.search(text)
    ):
        asked = _ASKED.search(text)
        words = f"{asked[1]} were asked for" if asked else text
        return LanguageError(f"a tensor would take more memory than there is: {words}", code="limit-exceeded")
    if isinstance(error, NotImplementedError) and 'required "forward"' in text:
        return LanguageError(
            f"{text.split()[1].strip('[]')} is not called; walk it with for, or call a child of it, as in blocks[0](x)",
            code="bad-arguments",
        )
    if isinstance(error, AttributeError):
        return LanguageError(f"a value of the wrong kind was given: {text}", code="bad-arguments")
    if isinstance(error, RecursionError):
        return LanguageError("calls or values are nested too deeply", code="limit-exceeded")
    if isinstance(error, RuntimeError | ValueError | IndexError) and _SHAPES.search(text) and "negative" not in text:
        return LanguageError(text, code="shape-mismatch")
    return LanguageError(text or type(error).__name__, code="bad-arguments")


def _first_lines(text: str, limit: int = 600) -> str:
    """The words of an error of PyTorch, without the C++ frames that may follow."""
    text = text.split("\nException raised from", maxsplit=1)[0].strip()
    text = text.split("  (Could this error message be improved?", maxsplit=1)[0]
    return text if len(text) <= limit else text[:limit] + " ..."
