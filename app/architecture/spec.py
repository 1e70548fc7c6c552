"""What an architecture says, as values: the forms of a block after their JSON was read, before any name has a meaning.

Each spec keeps its JSON pointer. Made by `read.py`; walked by `check.py` (names) and `plan.py` (sizes).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import torch

from app.language.syntax import Expression, Input


@dataclass(frozen=True, eq=False)
class Text:
    """A text of the language: a block as a call, a number of repeats, a first value."""

    expression: Expression
    pointer: str


@dataclass(frozen=True, eq=False)
class Word:
    """A string among arguments: an expression where its names are known, else itself. None: it can be no expression."""

    text: str
    expression: Expression | None
    pointer: str


@dataclass(frozen=True, eq=False)
class Literal:
    """A JSON number, boolean or null."""

    value: object
    pointer: str


@dataclass(frozen=True, eq=False)
class Items:
    """A JSON list among arguments."""

    items: "tuple[Value, ...]"
    pointer: str


@dataclass(frozen=True, eq=False)
class TensorLiteral:
    """A tensor written as JSON, read onto the CPU. Never changed: whoever wants it takes a copy."""

    tensor: torch.Tensor
    pointer: str


@dataclass(frozen=True, eq=False)
class Hyperparameter:
    """`rest` takes all further positional arguments; `default` None means that a value must be given."""

    name: str
    default: "Value | None"
    rest: bool
    pointer: str


@dataclass(frozen=True, eq=False)
class Header:
    """What may stand beside any object form. `sections` are the keys of the object as written."""

    hyperparameters: tuple[Hyperparameter, ...] = ()
    blocks: "Mapping[str, Block]" = field(default_factory=dict)
    shared: "Mapping[str, Block]" = field(default_factory=dict)
    sections: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        return not (self.hyperparameters or self.blocks or self.shared)


@dataclass(frozen=True, eq=False)
class Use:
    """A layer or a named block: `{"type": ..., "args": [...], "kwargs": {...}}`."""

    type: str
    args: "tuple[Value, ...]"
    kwargs: "Mapping[str, Value]"
    header: Header
    pointer: str


@dataclass(frozen=True, eq=False)
class Reference:
    """`{"ref": ...}`."""

    name: str
    header: Header
    pointer: str


@dataclass(frozen=True, eq=False)
class Scoped:
    """A block with names around it: `{"block": ..., "blocks": {...}}`."""

    block: "Block"
    header: Header
    pointer: str


@dataclass(frozen=True, eq=False)
class Template:
    """A child's name with expressions in braces: texts and expressions by turns."""

    parts: tuple[str | Expression, ...]
    pointer: str


@dataclass(frozen=True, eq=False)
class Repeat:
    """`count` children from one block. `varies`: the block mentions `i`, so each may differ."""

    count: "int | Text"
    name: Template | None
    block: "Block | Repeat"
    varies: bool
    header: Header
    pointer: str


@dataclass(frozen=True, eq=False)
class Entry:
    """One entry of a container's layers; `label` is its key, None in a list."""

    label: str | None
    block: "Block | Repeat"


@dataclass(frozen=True, eq=False)
class Container:
    """Sequential, ModuleList or ModuleDict."""

    type: str
    entries: tuple[Entry, ...]
    header: Header
    pointer: str


@dataclass(frozen=True, eq=False)
class Tie:
    left: str
    right: str
    pointer: str


NodeInput: TypeAlias = "str | tuple[NodeInput, ...]"


@dataclass(frozen=True, eq=False)
class Node:
    id: str
    call: str
    inputs: tuple[NodeInput, ...]
    args: "tuple[Value, ...]"
    kwargs: "Mapping[str, Value]"
    pointer: str


@dataclass(frozen=True, eq=False)
class Graph:
    nodes: tuple[Node, ...]  # as written, in any order
    outputs: tuple[str, ...] | Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Program:
    """A written forward; `by_line` tells that it was a list, so that a line has a pointer of its own."""

    source: str | tuple[str, ...]
    by_line: bool


@dataclass(frozen=True, eq=False)
class Own:
    """A block of one's own. `children` is a text where a hyperparameter holds them all."""

    children: "Mapping[str, Block] | Text"
    parameters: Mapping[str, Text | TensorLiteral]
    constants: Mapping[str, Text | TensorLiteral]
    ties: tuple[Tie, ...]
    inputs: tuple[Input, ...]
    forward: Program | Graph | None
    header: Header
    pointer: str


Block = Text | Use | Reference | Scoped | Container | Own
Value = Word | Literal | Items | Use | Reference | Scoped | Container | Own
