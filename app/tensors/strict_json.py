"""JSON as it is meant (RFC 8259, and I-JSON where that is stricter), at nearly the speed of orjson.

orjson refuses NaN, 1e999, lone surrogates and nesting beyond 1,024 levels, but takes the last of two equal keys and
rounds integers beyond 64 bits, both silently. `read_json` refuses these as well, and NUL in strings, with line and
column: what is no JSON as `malformed`, an integer beyond 64 bits or a level too many as `limit-exceeded`.
The usual body pays for one or two passes that run at memory speed; only a suspicious one is read token by token.
Called wherever a request's JSON is read; knows no tensors and does not load PyTorch.
"""

import re
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import orjson

from app.errors import Malformed, Unprocessable, in_place

Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

DEEPEST = 1_024  # levels of lists and objects that orjson reads
_TOO_DEEP = "depth limit exceeded"  # how orjson begins to say so
_NUMBERS = b"0123456789.,-+eE[] \n\r\t"
_DIGITS = bytes(48 if 48 <= byte < 58 else 46 if byte == 46 else 32 for byte in range(256))  # digits, dots, the rest
_LONG = 19  # digits of the shortest integer that may not fit
_LONG_RUN = b"0" * _LONG
_BLOCK = 64 * 1024
_ZERO, _DOT = np.uint8(48), np.uint8(46)
_LONG_INTEGER = b" " + _LONG_RUN  # not after a dot: digits behind it are no integer
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_INTEGER = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|(-?\d+)(\.\d+)?([eE][+-]?\d+)?')
_WHOLE_NUMBER = re.compile(r"-?[1-9]\d{18,}(?![.\deE])")
_STRUCTURE = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]')
_COLON = re.compile(rb"\s*:")
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def read_json(body: bytes | memoryview) -> object:
    """Parses one JSON text.

    Raises Malformed, or Unprocessable (`limit-exceeded`) for an integer beyond 64 bits or nesting too deep, with line
    and column (both from 1) of what is wrong.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if len(body) == 0:
            raise Malformed("The body is empty where JSON was expected.") from None
        if _WHOLE_NUMBER.match(error.doc, error.pos):  # of so many digits that orjson takes it for infinity
            raise _too_long(error.lineno, error.colno) from None
        if error.msg.startswith(_TOO_DEEP) and _closes(bytes(body)):
            message = f"The body nests too deep: line {error.lineno}, column {error.colno}: at most {DEEPEST} levels."
            raise in_place("", message, code="limit-exceeded") from None
        raise Malformed(_sentence(error.msg, error.lineno, error.colno)) from None
    text = body if isinstance(body, bytes) else bytes(body)
    if b"\\" in text:
        _refuse_nul(text)
    if text.count(b":") > 1:  # one is at most one key
        _refuse_duplicates(text, value)
    _refuse_long_integers(text)
    return value


def _closes(text: bytes) -> bool:
    """Whether as many lists and objects end as begin: what is cut short is no JSON, however deep it is."""
    return text.count(b"[") + text.count(b"{") == text.count(b"]") + text.count(b"}")


def _refuse_nul(text: bytes) -> None:
    if b"\\u0000" in text and (found := _NUL.search(text)):
        _refuse(text, found.end() - 6, "strings may not hold the character NUL (\\u0000)")


def _refuse_duplicates(text: bytes, value: object) -> None:
    """A colon outside strings is a key: with more of them than keys in `value`, some key came twice."""
    skeleton = text.translate(None, _NUMBERS)  # strings, colons and braces: next to nothing where numbers prevail
    keys = _count_keys(value, skeleton.count(b"{"))
    if skeleton.count(b":") != keys and _STRING.sub(b"", skeleton).count(b":") != keys:
        _find_duplicate(text)


def _count_keys(value: object, objects: int) -> int:
    """Counts the keys of all objects in `value`, which holds at most `objects` of them."""
    keys = 0
    near: list[object] = [value]
    lists: list[list[object]] = []  # looked into last: the objects may all be found before
    while objects > 0 and (near or lists):
        item = near.pop() if near else lists.pop()
        inner: object
        if type(item) is dict:
            objects -= 1
            keys += len(item)
            inner = item.values()
        elif type(item) is list:
            kinds = set(map(type, item))
            if dict not in kinds and list not in kinds:
                continue
            inner = item
        else:
            continue
        for child in inner:
            if type(child) is dict:
                near.append(child)
            elif type(child) is list:
                lists.append(child)
    return keys


def _find_duplicate(text: bytes) -> None:
    open_objects: list[set[str] | None] = []  # None: a list
    for token in _STRUCTURE.finditer(text):
        start = text[token.start()]
        if start == 0x7B:
            open_objects.append(set())
        elif start == 0x5B:
            open_objects.append(None)
        elif start in (0x7D, 0x5D):
            open_objects.pop()
        elif open_objects and (keys := open_objects[-1]) is not None and _COLON.match(text, token.end()):
            key = orjson.loads(token.group())
            if key in keys:
                shown = key if len(key) <= 60 else key[:60] + "..."
                _refuse(text, token.start(), f"the key '{shown}' stands twice in one object")
            keys.add(key)


def _may_hold_long_integer(text: bytes) -> bool:
    """Looks for a long run of digits that follows no dot. Small doubles have long runs too, behind one."""
    if len(text) < _BLOCK:
        digits = text.translate(_DIGITS)
        return _LONG_INTEGER in digits or digits.startswith(_LONG_RUN)
    whole = np.frombuffer(text, dtype=np.uint8)
    for start in range(0, len(text), _BLOCK):  # small enough that all of it happens in the processor's cache
        runs = start + np.flatnonzero(_long_runs(whole[start : start + _BLOCK + _LONG - 1]))
        if runs.size and runs[0] == 0:
            return True
        before = whole[runs - 1]
        if ((before != _DOT) & ~_is_digit(before)).any():
            return True
    return False


def _long_runs(characters: Bytes) -> Bools:
    """Where 19 digits stand in a row: pairs of them, pairs of pairs, up to 16, and 16 three places on."""
    runs = _is_digit(characters)
    for length in (1, 2, 4, 8, 3):
        runs = runs[:-length] & runs[length:]
    return runs


def _is_digit(characters: Bytes) -> Bools:
    return np.subtract(characters, _ZERO) < 10  # below "0" it wraps round


def _refuse_long_integers(text: bytes) -> None:
    if not _may_hold_long_integer(text):
        return
    for token in _INTEGER.finditer(text):
        integer, fraction, exponent = token.groups()
        if integer is None or len(integer) < _LONG or fraction is not None or exponent is not None:
            continue
        if len(integer) > _LONG + 1 or not -(2**63) <= int(integer) < 2**64:
            raise _too_long(*_place(text, token.start()))


def _refuse(text: bytes, position: int, reason: str) -> NoReturn:
    raise Malformed(_sentence(reason, *_place(text, position)))


def _place(text: bytes, position: int) -> tuple[int, int]:
    line = text.count(b"\n", 0, position) + 1
    start = text.rfind(b"\n", 0, position) + 1
    return line, len(text[start:position].decode("utf-8", "replace")) + 1


def _too_long(line: int, column: int) -> Unprocessable:
    message = f"The body holds too large a number: line {line}, column {column}: the integer does not fit into 64 bits."
    return in_place("", message, code="limit-exceeded")


def _sentence(reason: str, line: int, column: int) -> str:
    return f"The body is not valid JSON: line {line}, column {column}: {reason}."
