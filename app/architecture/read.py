"""From JSON to specs: which form each value has, its keys, its texts parsed, its names well formed.

Nothing is looked up yet: what a name means is for `check.py` and `plan.py`. Every error is an `Unprocessable` with
the pointer of the place. Work grows with the document and never with the numbers in it.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence

from app.architecture.layers import CONTAINERS
from app.architecture.names import block_name_problem, child_name_problem, identifier_problem
from app.architecture.read_own import KEYS, OwnReader
from app.architecture.shapes import kind_word
from app.architecture.spec import (
    Block,
    Container,
    Entry,
    Header,
    Hyperparameter,
    Items,
    Literal,
    Reference,
    Repeat,
    Scoped,
    Template,
    Text,
    Use,
    Value,
    Word,
)
from app.errors import in_place, pointer_to
from app.language.errors import LanguageError
from app.language.syntax import Expression, parse_expression
from app.settings import Limits

HEADER = ("hyperparameters", "blocks", "shared")
FORMS = (
    'a call such as "Linear(20, 256)", a list of blocks, {"type": ...}, {"ref": ...}, '
    'or a block of its own with "children", "parameters", "forward"'
)
LARGEST = 2**63
MENTIONS_I = re.compile(r"\bi\b")
NAMESPACE = re.compile(r"\A(torch\.)?nn\.")
BRACES = re.compile(r"\{([^{}]*)\}")


def read_block(document: object, limits: Limits, pointer: str) -> Block:
    """Reads one block. Raises Unprocessable with the place of what is wrong."""
    return Reader(limits).block(document, pointer, 1)


class Reader(OwnReader):
    """Reads one document; `depth` counts blocks inside blocks."""

    def block(self, value: object, pointer: str, depth: int) -> Block:
        self.deep(depth, pointer)
        if isinstance(value, str):
            return self.text(value, pointer)
        if isinstance(value, list | tuple):
            return Container("Sequential", self.entries(value, pointer, depth), Header(), pointer)
        if not isinstance(value, dict):
            raise in_place(pointer, f"a block is {FORMS}; this is {kind_word(value)}", code="bad-arguments")
        return self.form(value, pointer, depth)

    def form(self, value: Mapping[str, object], pointer: str, depth: int) -> Block:
        if "type" in value:
            return self.typed(value, pointer, depth)
        if "ref" in value:
            self.keys(value, ("ref", *HEADER), pointer)
            name = self.string(value["ref"], pointer + "/ref", 'a ref names a child of "shared"')
            return Reference(name, self.header(value, pointer, depth), pointer)
        if "block" in value and "repeat" not in value:
            self.keys(value, ("block", *HEADER), pointer)
            header = self.header(value, pointer, depth)
            return Scoped(self.block(value["block"], pointer + "/block", depth + 1), header, pointer)
        if "repeat" in value:
            message = 'a repeat stands inside "layers", where it makes children; here one block is needed'
            raise in_place(pointer, message, code="bad-arguments")
        self.keys(value, (*KEYS, *HEADER), pointer, 'or "type" for a layer, a Sequential or a named block')
        return self.own(value, self.header(value, pointer, depth), pointer, depth)

    def typed(self, value: Mapping[str, object], pointer: str, depth: int) -> Block:
        name = self.string(value["type"], pointer + "/type", "a type names a layer or a block")
        name = NAMESPACE.sub("", name)  # as in a call: nn.Linear is Linear
        if name in CONTAINERS and "layers" in value:
            self.keys(value, ("type", "layers", *HEADER), pointer)
            header = self.header(value, pointer, depth)
            return Container(name, self.entries(value["layers"], pointer + "/layers", depth), header, pointer)
        more = ("layers",) if name in CONTAINERS else ()
        self.keys(value, ("type", "args", "kwargs", *more, *HEADER), pointer)
        args, kwargs = self.arguments(value, pointer, depth)
        return Use(name, args, kwargs, self.header(value, pointer, depth), pointer)

    def arguments(
        self, value: Mapping[str, object], pointer: str, depth: int
    ) -> tuple[tuple[Value, ...], dict[str, Value]]:
        """Reads `args` and `kwargs` of a layer or a node."""
        args = self.sequence(value.get("args", []), pointer + "/args", "args is a list")
        kwargs = self.mapping(value.get("kwargs", {}), pointer + "/kwargs", "kwargs is an object")
        return (
            tuple(self.value(item, f"{pointer}/args/{index}", depth) for index, item in enumerate(args)),
            {name: self.value(item, pointer + pointer_to("kwargs", name), depth) for name, item in kwargs.items()},
        )

    def value(self, value: object, pointer: str, depth: int) -> Value:
        """Reads one argument: a number, a string (an expression or itself), a list, or a block as an object."""
        if isinstance(value, str):
            return self.word(value, pointer)
        if isinstance(value, list | tuple):
            self.deep(depth + 1, pointer)
            items = self.sequence(value, pointer, "")
            return Items(
                tuple(self.value(item, f"{pointer}/{index}", depth + 1) for index, item in enumerate(items)), pointer
            )
        if isinstance(value, dict):
            block = self.block(value, pointer, depth + 1)
            assert not isinstance(block, Text)
            return block
        return Literal(self.number(value, pointer), pointer)

    def number(self, value: object, pointer: str) -> object:
        if isinstance(value, int) and not -LARGEST <= value < LARGEST:
            raise in_place(pointer, "an integer has at most 64 bits", code="limit-exceeded")
        if isinstance(value, float) and not math.isfinite(value):
            raise in_place(pointer, "a JSON number is finite", code="bad-arguments")
        return value

    def word(self, text: str, pointer: str) -> Word:
        if len(text) > self.limits.expression_characters:
            message = f"a text has at most {self.limits.expression_characters} characters"
            raise in_place(pointer, message, code="limit-exceeded")
        try:
            return Word(text, parse_expression(text, self.limits), pointer)
        except LanguageError:
            return Word(text, None, pointer)

    def entries(self, value: object, pointer: str, depth: int) -> tuple[Entry, ...]:
        """Reads `layers`: a list, or an object whose keys are names; repeats stand here alone."""
        if isinstance(value, dict):
            self.many(value, pointer)
            found: list[Entry] = []
            for name, item in value.items():
                place = pointer + pointer_to(name)
                found.append(Entry(name, self.entry(item, place, depth)))
                if not isinstance(found[-1].block, Repeat):
                    self.child_name(name, place)
            return tuple(found)
        items = self.sequence(value, pointer, "layers is a list of blocks, or an object of names and blocks")
        return tuple(Entry(None, self.entry(item, f"{pointer}/{index}", depth)) for index, item in enumerate(items))

    def entry(self, value: object, pointer: str, depth: int) -> Block | Repeat:
        if isinstance(value, dict) and "repeat" in value:
            return self.repeat(value, pointer, depth + 1)
        return self.block(value, pointer, depth + 1)

    def repeat(self, value: Mapping[str, object], pointer: str, depth: int) -> Repeat:
        self.deep(depth, pointer)
        self.keys(value, ("repeat", "name", "block", *HEADER), pointer)
        if "block" not in value:
            raise in_place(pointer, 'a repeat needs "block", which it makes "repeat" times', code="bad-arguments")
        template = None
        if value.get("name") is not None:
            template = self.template(value["name"], pointer + "/name")
        return Repeat(
            self.count(value["repeat"], pointer + "/repeat"),
            template,
            self.entry(value["block"], pointer + "/block", depth),
            _mentions_i(value["block"]) or _mentions_i([value.get(key) for key in HEADER]),
            self.header(value, pointer, depth),
            pointer,
        )

    def count(self, value: object, pointer: str) -> int | Text:
        if isinstance(value, str):
            return self.text(value, pointer)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            message = f'repeat is a count such as 4, or an expression such as "n_layers", not {kind_word(value)}'
            raise in_place(pointer, message, code="bad-arguments")
        return value

    def template(self, value: object, pointer: str) -> Template:
        text = self.string(value, pointer, 'the name of repeated children is a text such as "block {i}"')
        parts: list[str | Expression] = []
        for index, part in enumerate(BRACES.split(text)):
            if index % 2:
                parts.append(self.text(part, pointer).expression)
            elif "{" in part or "}" in part:
                raise in_place(pointer, "braces hold one expression, as in layer{i + 1}", code="bad-expression")
            else:
                parts.append(part)
        return Template(tuple(parts), pointer)

    # --- what may stand beside any object form ---

    def header(self, value: Mapping[str, object], pointer: str, depth: int) -> Header:
        hyperparameters = self.hyperparameters(value.get("hyperparameters"), pointer + "/hyperparameters", depth)
        blocks = self.named(value, "blocks", pointer, depth, block_name_problem)
        shared = self.named(value, "shared", pointer, depth, child_name_problem)
        return Header(hyperparameters, blocks, shared, tuple(value))

    def named(
        self, value: Mapping[str, object], key: str, pointer: str, depth: int, problem: Callable[[str], str | None]
    ) -> dict[str, Block]:
        """Reads an object of names and blocks: `blocks`, `shared`, `children`."""
        found: dict[str, Block] = {}
        for name, item in self.mapping(value.get(key, {}), f"{pointer}/{key}", f"{key} is an object of blocks").items():
            place = pointer + pointer_to(key, name)
            self.good_name(problem(name), place)
            found[name] = self.block(item, place, depth + 1)
        return found

    def hyperparameters(self, value: object, pointer: str, depth: int) -> tuple[Hyperparameter, ...]:
        if value is None:
            return ()
        found: list[Hyperparameter] = []
        if isinstance(value, dict):
            for name, default in value.items():
                place = pointer + pointer_to(name)
                found.append(self.hyperparameter(name, place))
                if default is not None:
                    found[-1] = Hyperparameter(found[-1].name, self.value(default, place, depth), found[-1].rest, place)
        else:
            words = "hyperparameters is an object of names and defaults, or a list of names"
            for index, name in enumerate(self.sequence(value, pointer, words)):
                place = f"{pointer}/{index}"
                found.append(self.hyperparameter(self.string(name, place, words), place))
        self.distinct(found)
        return tuple(found)

    def hyperparameter(self, name: str, pointer: str) -> Hyperparameter:
        rest = name.startswith("*")
        self.good_name(identifier_problem(name[rest:]), pointer)
        return Hyperparameter(name[rest:], None, rest, pointer)

    def distinct(self, found: Sequence[Hyperparameter]) -> None:
        seen: set[str] = set()
        rest: str | None = None
        for one in found:
            if one.name in seen:
                raise in_place(one.pointer, f"hyperparameter {one.name!r} stands here twice", code="duplicate-name")
            if one.rest and rest is not None:
                raise in_place(one.pointer, f"*{rest} takes all the rest already, before *{one.name}", code="bad-name")
            seen.add(one.name)
            rest = one.name if one.rest else rest


def _mentions_i(value: object) -> bool:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if MENTIONS_I.search(item):
                return True
        elif isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list | tuple):
            waiting += item
    return False
