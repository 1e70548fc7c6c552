"""From text to Python's own syntax tree, under limits and without side effects.

Knows nothing of what the language allows: `syntax.py` takes the tree apart. Whatever Python's parser says of a
bad text (SyntaxError, ValueError, RecursionError, MemoryError, ...) comes out as a LanguageError with a place.
"""

import ast
import io
import textwrap
import tokenize
import unicodedata
import warnings
from collections.abc import Sequence

from app.language.errors import LanguageError
from app.settings import Limits

OPENING, CLOSING = "([{", ")]}"


def read_expression(text: str, limits: Limits) -> ast.expr:
    """Parses one expression; blanks around it do not count."""
    _check_characters(text, limits.expression_characters, "an expression")
    if not text.strip():
        raise LanguageError("an expression is empty; write a value such as 3 or d * 2", line=1, column=1)
    stripped = text.lstrip(" \t\n\r\f")
    if "\n" in stripped.strip():
        stripped = "(" + stripped + "\n)"
        tree = _parse(stripped, "eval", limits)
    else:
        tree = _parse(stripped.rstrip(), "eval", limits)
    assert isinstance(tree, ast.Expression)
    return tree.body


def read_program(source: str | Sequence[str], limits: Limits) -> list[ast.stmt]:
    """Parses the statements of a forward, given as one string or as a list of lines.

    Line n of the tree is element n - 1 of a list. Text that is indented as a whole, as when it was copied out of a
    class, is taken as if it were not; columns are still those of the text as given.
    """
    text = source if isinstance(source, str) else _join_lines(source)
    _check_characters(text, limits.program_characters, "a forward")
    for number, line in enumerate(text.split("\n"), start=1):
        if len(line) > limits.expression_characters:
            raise LanguageError(
                f"a line has {len(line)} characters; at most {limits.expression_characters} are allowed",
                code="limit-exceeded",
                line=number,
                column=1,
            )
    dedented = textwrap.dedent(text)
    indentation = _longest_line(text) - _longest_line(dedented)
    try:
        tree = _parse(dedented, "exec", limits)
    except LanguageError as error:
        raise LanguageError(
            error.message, code=error.code, line=error.line, column=error.column and error.column + indentation
        ) from None
    assert isinstance(tree, ast.Module)
    if indentation:
        _move_right(tree, indentation)
    return tree.body


def _move_right(tree: ast.AST, columns: int) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.expr | ast.stmt):
            node.col_offset += columns
            node.end_col_offset = (node.end_col_offset or 0) + columns


def _longest_line(text: str) -> int:
    return max(len(line.rstrip()) for line in text.split("\n"))


def _join_lines(lines: Sequence[str]) -> str:
    for number, line in enumerate(lines, start=1):
        if not isinstance(line, str):
            raise LanguageError("a line of forward must be a string", line=number, column=1)
        if "\n" in line or "\r" in line:
            raise LanguageError("an element of forward holds one line, without line breaks", line=number, column=1)
    return "\n".join(lines)


def _check_characters(text: object, limit: int, what: str) -> None:
    if not isinstance(text, str):
        raise LanguageError(f"{what} must be text")
    if len(text) > limit:
        raise LanguageError(
            f"{what} has {len(text)} characters; at most {limit} are allowed", code="limit-exceeded", line=1, column=1
        )


def _parse(text: str, mode: str, limits: Limits) -> ast.AST:
    _check_brackets(text, limits.nesting)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text, mode=mode)
        if not text.isascii():
            _check_ascii_names(text)
    except SyntaxError as error:
        raise LanguageError(
            f"this is not an expression or statement of the language: {_words(error)}",
            line=error.lineno or 1,
            column=error.offset or 1,
        ) from None
    except (RecursionError, MemoryError):
        raise LanguageError("the text is nested too deeply", code="limit-exceeded", line=1, column=1) from None
    except tokenize.TokenError as error:
        raise LanguageError(f"the text cannot be read: {error.args[0]}", line=1, column=1) from None
    except (ValueError, UnicodeError, OverflowError) as error:
        raise LanguageError(f"the text cannot be read: {error}", line=1, column=1) from None
    return tree


def _check_ascii_names(text: str) -> None:
    """Refuses letters outside ASCII except in quoted text and comments: Python would fold look-alikes into one name."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if not token.string.isascii() and token.type not in (tokenize.STRING, tokenize.COMMENT, tokenize.NL):
            shown = token.string.encode("ascii", "backslashreplace").decode()[:60]
            raise LanguageError(
                f"{shown} is not a name: names are ASCII letters, digits and _",
                line=token.start[0],
                column=token.start[1] + 1,
            )


def _words(error: SyntaxError) -> str:
    """Python's own words, made safe to print: no control characters, no more than a line."""
    text = str(error.msg)
    return "".join(c for c in text if unicodedata.category(c)[0] != "C")[:200]


def _check_brackets(text: str, limit: int) -> None:
    """Refuses deep nesting before the parser sees it. Brackets inside quoted text count too: a cheap upper bound."""
    depth = deepest = 0
    for character in text:
        if character in OPENING:
            depth += 1
            deepest = max(deepest, depth)
        elif character in CLOSING:
            depth = max(0, depth - 1)
    if deepest > limit:
        raise LanguageError(
            f"brackets are nested {deepest} deep; at most {limit} are allowed", code="limit-exceeded", line=1, column=1
        )
