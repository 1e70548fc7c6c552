"""Kinds of arguments: what a parameter of a PyTorch constructor takes, read from its annotation.

A `Kind` both describes itself as JSON Schema (for the catalogue) and checks a value (for a build), so the two
cannot disagree. Python is lax where JSON must not be: here `true` is no integer and 2.0 is no count.
Knows nothing of architectures. Called by `layers.py` and `initializers.py`.
"""

import collections.abc
import inspect
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import nn

REFUSED = object()


class Argument(typing.Protocol):
    """A block given as an argument, before it is built: known by this mark alone."""

    is_block: ClassVar[bool]


@dataclass(frozen=True)
class Kind:
    """Accepts one sort of value. `take` gives the value as PyTorch wants it, or REFUSED."""

    words: str
    schema: Mapping[str, object] = field(hash=False)

    def take(self, value: object) -> object:
        raise TypeError(f"{type(self).__name__} does not say how it takes {value!r}")


class Anything(Kind):
    def take(self, value: object) -> object:
        return value


class Null(Kind):
    def take(self, value: object) -> object:
        return None if value is None else REFUSED


class Boolean(Kind):
    def take(self, value: object) -> object:
        return value if isinstance(value, bool) else REFUSED


class Integer(Kind):
    def take(self, value: object) -> object:
        return value if isinstance(value, int) and not isinstance(value, bool) else REFUSED


class Number(Kind):
    def take(self, value: object) -> object:
        return value if isinstance(value, int | float) and not isinstance(value, bool) else REFUSED


class Text(Kind):
    def take(self, value: object) -> object:
        choices = self.schema.get("enum")
        if not isinstance(value, str) or (isinstance(choices, list) and value not in choices):
            return REFUSED
        return value


class TensorKind(Kind):
    def take(self, value: object) -> object:
        return value if isinstance(value, torch.Tensor) else REFUSED


class BlockKind(Kind):
    def take(self, value: object) -> object:
        return value if is_block(value) else REFUSED


@dataclass(frozen=True)
class Row(Kind):
    """A list of one kind, of `length` elements or of any number (None); becomes a tuple."""

    item: Kind
    length: int | None

    def take(self, value: object) -> object:
        if not isinstance(value, list | tuple) or (self.length is not None and len(value) != self.length):
            return REFUSED
        taken = tuple(self.item.take(element) for element in value)
        return REFUSED if any(element is REFUSED for element in taken) else taken


@dataclass(frozen=True)
class Either(Kind):
    kinds: tuple[Kind, ...]

    def take(self, value: object) -> object:
        for kind in self.kinds:
            taken = kind.take(value)
            if taken is not REFUSED:
                return taken
        return REFUSED


ANYTHING = Anything("any value", {})
NULL = Null("null", {"type": "null"})
BOOLEAN = Boolean("true or false", {"type": "boolean"})
INTEGER = Integer("an integer", {"type": "integer"})
NUMBER = Number("a number", {"type": "number"})
TEXT = Text("a text", {"type": "string"})
TENSOR = TensorKind(
    "a tensor, as in tensor([1., 2.])", {"type": "string", "description": "an expression such as tensor([1., 2.])"}
)
BLOCK = BlockKind(
    "a block", {"type": ["string", "object"], "description": "a block: its call as text, or an object with a type"}
)


def is_block(value: object) -> bool:
    """Tells whether `value` is a block: a built module, or one that is still to be built."""
    return isinstance(value, nn.Module) or getattr(type(value), "is_block", False)


def row(item: Kind, length: int | None) -> Kind:
    schema: dict[str, object] = {"type": "array", "items": dict(item.schema)}
    if length is not None:
        schema |= {"minItems": length, "maxItems": length}
    plural = item.words.removeprefix("an ").removeprefix("a ") + "s"
    return Row(f"a list of {plural}" if length is None else f"a list of {length} {plural}", schema, item, length)


def either(kinds: collections.abc.Iterable[Kind]) -> Kind:
    distinct = tuple(dict.fromkeys(kinds))
    if len(distinct) == 1:
        return distinct[0]
    words = [kind.words for kind in distinct]
    return Either(
        ", ".join(words[:-1]) + " or " + words[-1], {"anyOf": [dict(kind.schema) for kind in distinct]}, distinct
    )


SIMPLE: dict[Any, Kind] = {
    int: INTEGER,
    float: NUMBER,
    bool: BOOLEAN,
    str: TEXT,
    type(None): NULL,
    None: NULL,
    torch.Tensor: TENSOR,
    torch.Size: row(INTEGER, None),
}


def kind_of(annotation: Any) -> Kind | None:
    """Reads an annotation; None means that JSON has no way to give such a value."""
    if annotation in SIMPLE:
        return SIMPLE[annotation]
    if isinstance(annotation, type) and issubclass(annotation, nn.Module):
        return BLOCK
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        kinds = [kind for kind in map(kind_of, arguments) if kind is not None]
        return either(kinds) if kinds else None
    if origin is typing.Literal:
        return Text("one of " + ", ".join(map(repr, arguments)), {"type": "string", "enum": list(arguments)})
    if origin in (list, collections.abc.Sequence, collections.abc.Iterable) and arguments:
        item = kind_of(arguments[0])
        return None if item is None else row(item, None)
    if origin is tuple and arguments:
        item = kind_of(arguments[0])
        return None if item is None else row(item, None if arguments[-1] is Ellipsis else len(arguments))
    return None


def kind_of_parameter(parameter: inspect.Parameter, annotation: Any) -> Kind | None:
    """Reads a parameter: from its annotation, else from its default. None as default is always accepted too."""
    default = parameter.default
    if annotation is not inspect.Parameter.empty:
        kind = kind_of(annotation)
    elif default is inspect.Parameter.empty:
        kind = INTEGER
    else:
        kind = SIMPLE.get(type(default))
    return either([kind, NULL]) if kind is not None and default is None else kind
