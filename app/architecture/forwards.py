"""Compiles the forward of a block of one's own, and gives errors in it their place: `/forward/2`, `/nodes/0`.

Called by `check.py` (names alone) and `plan_own.py` (with hyperparameters).
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from heapq import heapify, heappop, heappush

import torch
from torch import nn

from app.architecture.constructors import suggest
from app.architecture.spec import Graph, Items, Literal, Node, NodeInput, Own, Program, Value, Word
from app.errors import Unprocessable, in_place, pointer_to
from app.language.compile import Forward, GraphCall, Scope, compile_forward, compile_graph
from app.language.errors import LanguageError, UnknownName
from app.language.reads import follow
from app.settings import Limits


@dataclass(frozen=True)
class OwnForward:
    """A compiled forward with the values of the hyperparameters in it, and the block that it is of."""

    forward: Forward
    hyperparameters: Mapping[str, object]
    block: Own

    def check_reads(self, module: nn.Module) -> None:
        """Sees that `module`, made of the block, has all that is read. Raises Unprocessable (bad-expression, ...)."""
        for read in self.forward.reads:
            try:
                follow(module, read)
            except LanguageError as error:
                raise _in_forward(self.block, error) from None


def compile_own(
    block: Own, children: Collection[str], spread: str | None, values: Mapping[str, object], limits: Limits
) -> OwnForward | None:
    """Compiles the forward of a block; None where it has none. Raises Unprocessable."""
    forward = check_forward(block, children, spread, values.keys(), limits)
    if forward is None:
        return None
    for name in sorted(forward.hyperparameters):
        if _holds_tensor(values[name]):
            message = (
                f"hyperparameter {name!r} holds a tensor, which forward reads from a constant alone: "
                f'write "constants": {{{json.dumps(name)}: {json.dumps(name)}}}'
            )
            own = next((one.pointer for one in block.header.hyperparameters if one.name == name), None)
            raise in_place(own or block.pointer + "/forward", message, code="bad-arguments")
    return OwnForward(forward, {name: values[name] for name in forward.scope.hyperparameters}, block)


def _holds_tensor(value: object) -> bool:
    return any(map(_holds_tensor, value)) if isinstance(value, tuple) else isinstance(value, torch.Tensor)


def check_forward(
    block: Own, children: Collection[str], spread: str | None, hyperparameters: Collection[str], limits: Limits
) -> Forward | None:
    """Checks and compiles a forward over the names of its block. Raises Unprocessable."""
    if block.forward is None:
        return None
    named = frozenset(children) | ({spread} if spread else frozenset())
    members = named | block.parameters.keys() | block.constants.keys()
    scope = Scope(
        inputs=block.inputs,
        hyperparameters=frozenset(hyperparameters) - members,
        children=named,
        parameters=frozenset(block.parameters),
        constants=frozenset(block.constants),
    )
    if isinstance(block.forward, Graph):
        return _graph(block, block.forward, scope, limits)
    return _program(block, block.forward, scope, limits)


def _program(block: Own, program: Program, scope: Scope, limits: Limits) -> Forward:
    try:
        return compile_forward(program.source, scope, limits)
    except LanguageError as error:
        raise _in_forward(block, error) from None


def _graph(block: Own, graph: Graph, scope: Scope, limits: Limits) -> Forward:
    nodes = in_order(graph.nodes, [given.name for given in block.inputs])
    known = [given.name for given in block.inputs] + [node.id for node in nodes]
    outputs = graph.outputs
    for key, name in outputs.items() if isinstance(outputs, Mapping) else enumerate(outputs):
        if name not in known:
            message = f"no input or node is named {name!r}{suggest(name, known)}"
            raise in_place(block.pointer + pointer_to("outputs", key), message, code="unknown-name")
    calls = [
        GraphCall(
            node.id,
            node.call,
            node.inputs,
            tuple(map(_plain, node.args)),
            {k: _plain(v) for k, v in node.kwargs.items()},
        )
        for node in nodes
    ]
    try:
        return compile_graph(calls, outputs, scope, limits)
    except LanguageError as error:
        raise _in_forward(block, error) from None


def in_order(nodes: Sequence[Node], inputs: Sequence[str]) -> list[Node]:
    """Sorts nodes so that each follows what it takes: as written where that is so, else the first written that can be
    next. Raises Unprocessable (unknown-name, cycle)."""
    by_id: dict[str, Node] = {}
    for node in nodes:
        if node.id in by_id or node.id in inputs:
            raise in_place(node.pointer + "/id", f"{node.id!r} is used twice", code="duplicate-name")
        by_id[node.id] = node
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for node in nodes:
        wanted = list(_ids(node.inputs, node.pointer + "/inputs"))
        for name, pointer in wanted:
            if name not in by_id and name not in inputs:
                message = f"no input or node is named {name!r}{suggest(name, [*inputs, *by_id])}"
                raise in_place(pointer, message, code="unknown-name")
        sorter.add(node.id, *(name for name, _ in wanted if name in by_id))
    try:
        sorter.prepare()
    except CycleError as error:
        circle = list(error.args[1])
        message = f"nodes take one another in a circle: {' -> '.join(reversed(circle))}"
        raise in_place(by_id[circle[0]].pointer, message, code="cycle") from None
    place = {node.id: index for index, node in enumerate(nodes)}
    found: list[Node] = []
    ready = [place[name] for name in sorter.get_ready()]
    heapify(ready)
    while ready:
        found.append(nodes[heappop(ready)])
        sorter.done(found[-1].id)
        for name in sorter.get_ready():
            heappush(ready, place[name])
    return found


def _ids(inputs: Sequence[NodeInput], pointer: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for index, item in enumerate(inputs):
        place = f"{pointer}/{index}"
        found += [(item, place)] if isinstance(item, str) else _ids(item, place)
    return found


def _plain(value: Value) -> object:
    """Gives an argument of a node as JSON; the language reads its texts."""
    if isinstance(value, Word):
        return value.text
    if isinstance(value, Literal):
        return value.value
    if isinstance(value, Items):
        return tuple(map(_plain, value.items))
    message = "an argument of a node is a number, a text or a list; a block is named among children"
    raise in_place(value.pointer, message, code="bad-arguments")


def _in_forward(block: Own, error: LanguageError) -> Unprocessable:
    """Points at the line, the text or the node that an error of the language stands in."""
    if isinstance(block.forward, Graph):
        nodes = in_order(block.forward.nodes, [given.name for given in block.inputs])
        line = error.line or 0
        pointer = nodes[line - 1].pointer if 0 < line <= len(nodes) else block.pointer + "/outputs"
        if isinstance(error, UnknownName):  # only what a node calls is looked up here; its inputs were before
            return in_place(pointer + "/call", error.message, code="unknown-name")
        return in_place(pointer, error.message, code=error.code)
    pointer = block.pointer + "/forward"
    program = block.forward
    if program is not None and program.by_line and program.source and error.line is not None:
        pointer += f"/{min(error.line, len(program.source)) - 1}"
    return in_place(pointer, str(error), code=error.code)
