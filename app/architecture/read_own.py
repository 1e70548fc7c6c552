"""Reads blocks of one's own: children, parameters, constants, ties, inputs, and a forward or a graph.

The part of the reader for this one form; `read.py` completes it with what blocks hold.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping

from app.architecture.literals import read_literal
from app.architecture.names import child_name_problem
from app.architecture.shapes import Shapes, kind_word, refuse
from app.architecture.spec import (
    Block,
    Graph,
    Header,
    Node,
    NodeInput,
    Own,
    Program,
    TensorLiteral,
    Text,
    Tie,
    Value,
)
from app.errors import in_place, pointer_to
from app.language.errors import LanguageError
from app.language.syntax import Input, parse_input

KEYS = ("children", "parameters", "constants", "ties", "inputs", "forward", "nodes", "outputs")


class OwnReader(Shapes):
    """Reads the form of a block of one's own."""

    @abstractmethod
    def arguments(
        self, value: Mapping[str, object], pointer: str, depth: int
    ) -> tuple[tuple[Value, ...], dict[str, Value]]:
        """Reads `args` and `kwargs`."""

    @abstractmethod
    def named(
        self, value: Mapping[str, object], key: str, pointer: str, depth: int, problem: Callable[[str], str | None]
    ) -> dict[str, Block]:
        """Reads an object of names and blocks."""

    def own(self, value: Mapping[str, object], header: Header, pointer: str, depth: int) -> Own:
        if not any(key in value for key in KEYS):
            message = 'this object has no form: give it "type", "ref", or "children", "parameters", "forward"'
            raise in_place(pointer, message, code="bad-arguments")
        children: Mapping[str, Block] | Text
        if isinstance(value.get("children"), str):
            children = self.text(str(value["children"]), pointer + "/children")
        else:
            children = self.named(value, "children", pointer, depth, child_name_problem)
        parameters = self.tensors(value, "parameters", pointer)
        constants = self.tensors(value, "constants", pointer)
        members = [("children", name) for name in children] if isinstance(children, Mapping) else []
        members += [("parameters", name) for name in parameters] + [("constants", name) for name in constants]
        self.once(members, pointer)
        return Own(
            children,
            parameters,
            constants,
            self.ties(value.get("ties", []), pointer + "/ties"),
            self.inputs(value.get("inputs", []), pointer + "/inputs"),
            self.forward(value, pointer, depth),
            header,
            pointer,
        )

    def once(self, members: list[tuple[str, str]], pointer: str) -> None:
        seen: set[str] = set()
        for section, name in members:
            if name in seen:
                message = f"{name!r} is already a member of this block; children, parameters and constants share names"
                raise in_place(pointer + pointer_to(section, name), message, code="duplicate-name")
            seen.add(name)

    def tensors(self, value: Mapping[str, object], key: str, pointer: str) -> dict[str, Text | TensorLiteral]:
        found: dict[str, Text | TensorLiteral] = {}
        words = f"{key} is an object of names and first values"
        for name, item in self.mapping(value.get(key, {}), f"{pointer}/{key}", words).items():
            place = pointer + pointer_to(key, name)
            self.child_name(name, place)
            if isinstance(item, str):
                found[name] = self.text(item, place)
            elif item is None or isinstance(item, bool):
                message = f'a first value is an expression such as "zeros(3)" or a tensor, not {kind_word(item)}'
                raise in_place(place, message, code="bad-arguments")
            else:
                found[name] = read_literal(item, self.limits, place)
        return found

    def ties(self, value: object, pointer: str) -> tuple[Tie, ...]:
        found: list[Tie] = []
        for index, item in enumerate(self.sequence(value, pointer, "ties is a list of pairs")):
            place = f"{pointer}/{index}"
            pair = item if isinstance(item, list | tuple) else ()
            if len(pair) != 2 or not all(isinstance(path, str) and path for path in pair):
                message = 'a tie is a pair of paths, as in ["decoder.weight", "encoder.weight"]: left becomes right'
                raise in_place(place, message, code="bad-tie")
            found.append(Tie(str(pair[0]), str(pair[1]), place))
        return tuple(found)

    def inputs(self, value: object, pointer: str) -> tuple[Input, ...]:
        found: list[Input] = []
        for index, item in enumerate(self.sequence(value, pointer, 'inputs is a list such as ["X", "mask=None"]')):
            place = f"{pointer}/{index}"
            text = self.string(item, place, 'an input is a text such as "X" or "mask=None"')
            try:
                found.append(parse_input(text, self.limits))
            except LanguageError as error:
                raise refuse(error, place) from None
            if any(other.name == found[-1].name for other in found[:-1]):
                raise in_place(place, f"input {found[-1].name!r} stands here twice", code="duplicate-name")
            if found[-1].required and any(not other.required for other in found):
                message = f"{found[-1].name!r} must be given, so it stands before the inputs with defaults"
                raise in_place(place, message, code="bad-name")
        return tuple(found)

    def forward(self, value: Mapping[str, object], pointer: str, depth: int) -> Program | Graph | None:
        if "nodes" in value or "outputs" in value:
            if "forward" in value:
                message = 'a block has either "forward" or "nodes" with "outputs"'
                raise in_place(pointer + "/forward", message, code="unknown-key")
            return self.graph(value, pointer, depth)
        if "forward" not in value:
            return None
        source = value["forward"]
        place = pointer + "/forward"
        if isinstance(source, str):
            return Program(source, by_line=False)
        lines = self.sequence(source, place, "forward is a list of lines, or one text")
        texts: list[str] = []
        for index, line in enumerate(lines):
            texts.append(self.string(line, f"{place}/{index}", "a line of forward is a text"))
            if "\n" in texts[-1] or "\r" in texts[-1]:
                raise in_place(f"{place}/{index}", "one entry is one line", code="bad-expression")
        return Program(tuple(texts), by_line=True)

    def graph(self, value: Mapping[str, object], pointer: str, depth: int) -> Graph:
        nodes = tuple(
            self.node(item, f"{pointer}/nodes/{index}", depth)
            for index, item in enumerate(self.sequence(value.get("nodes", []), pointer + "/nodes", "nodes is a list"))
        )
        place = pointer + "/outputs"
        outputs = value.get("outputs")
        if outputs is None:
            raise in_place(pointer, 'a graph says its "outputs": a list of ids, or names and ids', code="bad-output")
        if isinstance(outputs, dict):
            return Graph(nodes, {name: self.id(item, place + pointer_to(name)) for name, item in outputs.items()})
        listed = [outputs] if isinstance(outputs, str) else self.sequence(outputs, place, "outputs is a list of ids")
        if not listed:
            raise in_place(place, "a graph has at least one output", code="bad-output")
        return Graph(nodes, tuple(self.id(item, f"{place}/{index}") for index, item in enumerate(listed)))

    def id(self, value: object, pointer: str) -> str:
        return self.string(value, pointer, "an id is a text")

    def node(self, value: object, pointer: str, depth: int) -> Node:
        item = self.mapping(value, pointer, 'a node is an object {"id", "call", "inputs"}')
        self.keys(item, ("id", "call", "inputs", "args", "kwargs"), pointer)
        for key in ("id", "call"):
            if not isinstance(item.get(key), str) or not item[key]:
                raise in_place(f"{pointer}/{key}", f'a node needs "{key}", a text', code="bad-arguments")
        inputs = self.node_inputs(item.get("inputs", []), pointer + "/inputs", depth)
        args, kwargs = self.arguments(item, pointer, depth)
        return Node(str(item["id"]), str(item["call"]), inputs, args, kwargs, pointer)

    def node_inputs(self, value: object, pointer: str, depth: int) -> tuple[NodeInput, ...]:
        self.deep(depth, pointer)
        found: list[NodeInput] = []
        for index, item in enumerate(self.sequence(value, pointer, "inputs is a list of ids")):
            place = f"{pointer}/{index}"
            if isinstance(item, list | tuple):
                found.append(self.node_inputs(item, place, depth + 1))
            else:
                found.append(self.id(item, place))
        return tuple(found)
