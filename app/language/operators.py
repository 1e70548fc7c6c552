"""What compiled code does where Python's operators would be too free: arithmetic, comparison, loops over values.

Tensors go first and fast; plain numbers stay within 64 bits, lists within the limits, text takes part in == alone.
Called by compiled code only (`emit.py` writes the calls). `members.py` holds attributes, indexing and calls.
"""

import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch import SymFloat, SymInt, Tensor, nn

from app.language.errors import LanguageError, bad_arguments, limit_exceeded
from app.language.running import current_limits

INTEGER_MIN, INTEGER_MAX = -(2**63), 2**63 - 1
WALKABLE = (nn.ModuleList, nn.ModuleDict, nn.Sequential)
NUMBERS = (int, float)
# Tuples, not int | float: a union is made anew at each use, and these are hot. An export has sizes that may be any.
OPERANDS: tuple[type[Any], ...] = (int, float, Tensor, SymInt, SymFloat)
SEQUENCES = (list, tuple)
FLAT = frozenset({Tensor, int, float, bool, type(None), str})


def kind_of(value: object) -> str:
    """Says what a value is, in the language's words."""
    if isinstance(value, Tensor):
        return "a tensor"
    if isinstance(value, nn.Module):
        return f"a {type(value).__name__}"
    if value is None:
        return "None"
    if isinstance(value, tuple):
        return "a tuple"
    words = {
        bool: "a truth value",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        SymInt: "a size that may be any",
    }
    return words.get(type(value), f"a {type(value).__name__}")


def within(value: Any) -> Any:
    """Lets a number through unless it leaves 64 bits or the real line."""
    if isinstance(value, int) and not INTEGER_MIN <= value <= INTEGER_MAX:
        raise limit_exceeded("whole numbers are limited to 64 bits; write one of them as a float, as in 2.0")
    if isinstance(value, complex):
        raise bad_arguments("the result is a complex number, which plain numbers do not have here")
    return value


def check_length(length: int) -> None:
    """Refuses a list or tuple that is longer than the limits allow."""
    limit = current_limits().list_length
    if length > limit:
        raise limit_exceeded(f"a list would have {length} elements; at most {limit} are allowed")


def _undefined(sign: str, *operands: object) -> LanguageError:
    if len(operands) == 1:
        return bad_arguments(f"{sign} of {kind_of(operands[0])} is not defined")
    return bad_arguments(f"{kind_of(operands[0])} {sign} {kind_of(operands[1])} is not defined")


def _binary(sign: str, apply: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def guarded(a: Any, b: Any) -> Any:
        if a.__class__ is Tensor and (b.__class__ is Tensor or b.__class__ is float or b.__class__ is int):
            return apply(a, b)
        if not isinstance(a, OPERANDS) or not isinstance(b, OPERANDS):
            raise _undefined(sign, a, b)
        try:
            return within(apply(a, b))
        except ZeroDivisionError:
            raise bad_arguments(f"{a} {sign} {b} divides by zero") from None
        except OverflowError:
            raise bad_arguments(f"{a} {sign} {b} is too large for a number") from None

    return guarded


subtract = _binary("-", operator.sub)
divide = _binary("/", operator.truediv)
floor_divide = _binary("//", operator.floordiv)
modulo = _binary("%", operator.mod)
_add_numbers = _binary("+", operator.add)
_multiply_numbers = _binary("*", operator.mul)
_power_numbers = _binary("**", operator.pow)


def add(a: Any, b: Any) -> Any:
    """Adds numbers and tensors; joins two lists or two tuples."""
    if a.__class__ is Tensor and (b.__class__ is Tensor or b.__class__ is float or b.__class__ is int):
        return a + b
    if isinstance(a, list) and isinstance(b, list):
        check_length(len(a) + len(b))
        return a + b
    if isinstance(a, tuple) and isinstance(b, tuple):
        check_length(len(a) + len(b))
        return (*a, *b)
    return _add_numbers(a, b)


def multiply(a: Any, b: Any) -> Any:
    """Multiplies numbers and tensors; repeats a list or a tuple a whole number of times."""
    if a.__class__ is Tensor and (b.__class__ is Tensor or b.__class__ is float or b.__class__ is int):
        return a * b
    if isinstance(b, SEQUENCES):
        a, b = b, a
    if isinstance(a, SEQUENCES):
        if not isinstance(b, int) or isinstance(b, bool):
            raise _undefined("*", a, b)
        check_length(len(a) * max(b, 0))
        return a * b
    return _multiply_numbers(a, b)


def power(a: Any, b: Any) -> Any:
    """Raises numbers and tensors; a whole number's size is checked before it is computed."""
    if isinstance(a, int) and isinstance(b, int) and b > 0 and (abs(a).bit_length() - 1) * b > 63:
        raise limit_exceeded(f"{a} ** {b} leaves 64 bits; write it as a float, as in {a}.0 ** {b}")
    return _power_numbers(a, b)


def matrix_multiply(a: Any, b: Any) -> Any:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a @ b
    raise _undefined("@", a, b)


def _bitwise(sign: str, apply: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def guarded(a: Any, b: Any) -> Any:
        if isinstance(a, int | Tensor) and isinstance(b, int | Tensor):
            return apply(a, b)
        raise _undefined(sign, a, b)

    return guarded


bit_and = _bitwise("&", operator.and_)
bit_or = _bitwise("|", operator.or_)
bit_xor = _bitwise("^", operator.xor)


def negative(a: Any) -> Any:
    if isinstance(a, OPERANDS):
        return within(-a)
    raise _undefined("-", a)


def positive(a: Any) -> Any:
    if isinstance(a, OPERANDS):
        return +a
    raise _undefined("+", a)


def invert(a: Any) -> Any:
    if isinstance(a, Tensor):
        return ~a
    raise bad_arguments(f"~ takes a tensor, not {kind_of(a)}; of a truth value, write not")


# --- comparison ---


def _comparison(sign: str, apply: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    equality = sign in ("==", "!=")

    def guarded(a: Any, b: Any) -> Any:
        if a.__class__ in FLAT and b.__class__ in FLAT:
            if not equality and (a.__class__ is str or b.__class__ is str):
                raise _undefined(sign, a, b)
            return apply(a, b)
        check_flat(a)
        check_flat(b)
        return apply(a, b)

    return guarded


def check_flat(value: object) -> None:
    """Counts the elements of lists inside lists, and refuses more than the limits allow."""
    limit, count, waiting = current_limits().list_length, 0, [value]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, list | tuple):
            count += len(inner)
            if count > limit:
                raise limit_exceeded(f"a list with lists inside it has more than {limit} elements in all")
            waiting.extend(inner)


equal = _comparison("==", operator.eq)
unequal = _comparison("!=", operator.ne)
less = _comparison("<", operator.lt)
less_equal = _comparison("<=", operator.le)
greater = _comparison(">", operator.gt)
greater_equal = _comparison(">=", operator.ge)


def contains(a: Any, values: Any) -> bool:
    """Says whether `a in values`, for a list, a tuple, or the names of a ModuleDict."""
    if isinstance(values, nn.ModuleDict) and isinstance(a, str):
        return a in values
    if isinstance(values, list | tuple):
        check_flat(values)
        check_flat(a)
        return a in values
    raise bad_arguments(f"in looks through a list or a tuple, not {kind_of(values)}")


def lacks(a: Any, values: Any) -> bool:
    return not contains(a, values)


# --- loops ---


def walk(values: Any) -> Iterable[Any]:
    """Gives what `for` walks over. Raises bad-arguments for what cannot be walked."""
    if isinstance(values, (list, tuple, range, Walk, *WALKABLE)):
        return values
    if isinstance(values, Tensor):
        if values.ndim == 0:
            raise bad_arguments("for cannot walk over a tensor without dimensions")
        check_length(values.shape[0])
        return values.unbind(0)
    raise bad_arguments(f"for walks over range, enumerate, zip, lists, tuples and children, not {kind_of(values)}")


class Walk:
    """Something that only `for` may take: an enumerate, a zip or a reversed."""

    __slots__ = ("_values",)

    def __init__(self, values: Iterable[Any]) -> None:
        self._values = values

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)


def numbers_from(*bounds: Any) -> range:
    """`range` over whole numbers."""
    whole = [int(bound.item()) if isinstance(bound, Tensor) and bound.ndim == 0 else bound for bound in bounds]
    if not 1 <= len(whole) <= 3 or not all(isinstance(bound, int) for bound in whole):
        raise bad_arguments("range takes one to three whole numbers: range(n), range(start, stop, step)")
    if len(whole) == 3 and whole[2] == 0:
        raise bad_arguments("the step of range cannot be 0")
    return range(*whole)


def numbered(values: Any, start: Any = 0) -> Walk:
    """`enumerate`."""
    if not isinstance(start, int):
        raise bad_arguments("enumerate counts from a whole number")
    return Walk(enumerate(walk(values), start))


def side_by_side(*several: Any, strict: Any = False) -> Walk:
    """`zip`."""
    return Walk(zip(*map(walk, several), strict=bool(strict)))


def backwards(values: Any) -> Walk:
    """`reversed`."""
    walked = walk(values)
    if isinstance(walked, nn.ModuleDict):
        return Walk(list(walked)[::-1])
    if isinstance(walked, range | list | tuple):
        return Walk(reversed(walked))
    if isinstance(walked, nn.ModuleList | nn.Sequential):
        return Walk(list(walked)[::-1])
    raise bad_arguments("reversed takes a list, a tuple, a range or children; not an enumerate or a zip")


def entries(values: Any, which: str) -> Any:
    """`values.items()`, `.keys()` or `.values()` of a ModuleDict, for `for` alone."""
    if not isinstance(values, nn.ModuleDict):
        raise bad_arguments(f"{kind_of(values)} has no {which}(); a ModuleDict has")
    return list(getattr(values, which)())
