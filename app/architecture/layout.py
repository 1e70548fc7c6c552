"""What is where in a network, without the network: its modules by path, its tensors by name, and which names are tied.

Made once, when a network is built, and kept with it as JSON, so that parameters are found, edited and initialised
without building anything. Shapes and dtypes are not here: they are the revision's. Called by the worker.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import orjson
from torch import nn

from app.architecture.paths import POSITION, NoSuchStep, not_found, split
from app.errors import NotFound

Kind = Literal["parameter", "buffer"]
FORMAT = 1


@dataclass(frozen=True)
class Node:
    """One module: the name of its type, and its children by name, in order."""

    type: str
    children: dict[str, "Node"] = field(default_factory=dict)

    def step(self, step: str, at: str) -> tuple[str, "Node"]:
        """The child that a name, or a position such as "[1]", leads to. Raises NoSuchStep."""
        name = self.name_of(step)
        if name is None:
            raise NoSuchStep(step, at, list(self.children))
        return name, self.children[name]

    def name_of(self, step: str) -> str | None:
        """The name of the child that a step leads to, None if there is none."""
        position = POSITION.fullmatch(step)
        if position is None or step in self.children:
            return step if step in self.children else None
        names = list(self.children)
        return names[int(position[1])] if int(position[1]) < len(names) else None


@dataclass(frozen=True)
class TensorGroup:
    """One parameter or buffer: all its names in `state_dict` (the first in PyTorch's order first), and what it is."""

    names: tuple[str, ...]
    kind: Kind
    requires_grad: bool  # as it was built


class Layout:
    """The modules and tensors of one network. `names` are all of `state_dict`, parameters before buffers."""

    def __init__(self, root: Node, names: list[tuple[str, int]], groups: list[TensorGroup]) -> None:
        self.root = root
        self.groups = groups
        self._names = names
        self._group_of = dict(names)

    @classmethod
    def of(cls, net: nn.Module) -> "Layout":
        """Looks at a network, on `meta` or not."""
        kept = net.state_dict(keep_vars=True)
        numbers: dict[int, int] = {}
        names: list[tuple[str, int]] = []
        found: list[tuple[list[str], Kind, bool]] = []
        for name, tensor in [
            *net.named_parameters(remove_duplicate=False),
            *net.named_buffers(remove_duplicate=False),
        ]:
            if name not in kept:
                continue  # a buffer that PyTorch does not keep
            number = numbers.setdefault(id(tensor), len(found))
            if number == len(found):
                kind: Kind = "parameter" if isinstance(tensor, nn.Parameter) else "buffer"
                found.append(([], kind, tensor.requires_grad))
            found[number][0].append(name)
            names.append((name, number))
        groups = [TensorGroup(tuple(group), kind, trained) for group, kind, trained in found]
        return cls(_node(net), names, groups)

    @classmethod
    def from_json(cls, text: bytes) -> "Layout":
        document: dict[str, Any] = orjson.loads(text)
        groups: list[list[str]] = [[] for _ in document["tensors"]]
        for name, number in document["names"]:
            groups[number].append(name)
        made = [
            TensorGroup(tuple(names), kind, trained)
            for names, (kind, trained) in zip(groups, document["tensors"], strict=True)
        ]
        return cls(_read_node(document["modules"]), [(name, number) for name, number in document["names"]], made)

    def to_json(self) -> bytes:
        tensors = [[group.kind, group.requires_grad] for group in self.groups]
        return orjson.dumps(
            {"format": FORMAT, "modules": _write_node(self.root), "names": self._names, "tensors": tensors}
        )

    def group(self, name: str) -> TensorGroup:
        """The tensor of a `state_dict` name. Raises KeyError."""
        return self.groups[self._group_of[name]]

    def canonical(self, name: str) -> str:
        """The `state_dict` name of what is named so, or by positions: `[0][1][0].bias`. Raises NotFound."""
        if name in self._group_of:
            return name
        *steps, last = split(name)
        try:
            path, node = self._walk(steps)
            found = ".".join([*path, last])
            if found in self._group_of:
                return found
            at = ".".join(path)
            if node.name_of(last) is None:
                raise NoSuchStep(last, at, [*self.members(at), *node.children])
        except NoSuchStep as error:
            raise not_found("parameter", name, error) from None
        inside = ", ".join(key for key in self._group_of if key.startswith(f"{found}."))
        raise NotFound(f"{name!r} is a module; its parameters are {inside[:300] or 'none'}")

    def module(self, path: str) -> tuple[str, Node]:
        """The module at a path by names or positions; gives its path in names too. Raises NotFound."""
        if not path:
            return "", self.root
        try:
            names, node = self._walk(split(path))
        except NoSuchStep as error:
            raise not_found("module", path, error) from None
        return ".".join(names), node

    def under(self, prefix: str) -> Iterator[tuple[str, TensorGroup]]:
        """Tensors of the module at `prefix` and below, each once, under its first name there, in PyTorch's order."""
        seen: set[int] = set()
        for name, number in self._names:
            if number not in seen and (not prefix or name.startswith(f"{prefix}.")):
                seen.add(number)
                yield name, self.groups[number]

    def members(self, path: str) -> list[str]:
        """Names of the tensors that the module at `path` (in names) holds itself."""
        return self._members.get(path, [])

    def post_order(self, path: str, node: Node) -> Iterator[tuple[str, Node]]:
        """The module at `path` and those below, children before parents, as `net.apply` visits them."""
        for name, child in node.children.items():
            yield from self.post_order(f"{path}.{name}" if path else name, child)
        yield path, node

    @cached_property
    def _members(self) -> Mapping[str, list[str]]:
        members: dict[str, list[str]] = {}
        for name, _ in self._names:
            path, _, own = name.rpartition(".")
            members.setdefault(path, []).append(own)
        return members

    def _walk(self, steps: list[str]) -> tuple[list[str], Node]:
        names: list[str] = []
        node = self.root
        for step in steps:
            name, node = node.step(step, ".".join(names))
            names.append(name)
        return names, node


def _node(module: nn.Module) -> Node:
    children = {name: _node(child) for name, child in module._modules.items() if child is not None}  # noqa: SLF001 - children() drops repeats
    return Node(type(module).__name__, children)


def _write_node(node: Node) -> list[object]:
    return [node.type, {name: _write_node(child) for name, child in node.children.items()}]


def _read_node(value: list[Any]) -> Node:
    return Node(value[0], {name: _read_node(child) for name, child in value[1].items()})
