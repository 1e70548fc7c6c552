"""A network as a diagram: modules inside modules, and in each the way that values take through its forward.

What is too large is drawn to a smaller depth, and equal neighbours as one; the notes say so. Called by the worker.
Knows nothing of sheets and pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from torch import Tensor, nn

from app.architecture.call import call, inputs_of
from app.architecture.dataflow import Flow
from app.architecture.describe import dtype_name
from app.architecture.flow_values import NOTHING, Called, Place, Value, merged, sources_of
from app.architecture.module_facts import Facts, opens
from app.architecture.observed import Observed, observing
from app.architecture.own import OwnBlock, written_of
from app.errors import Unprocessable
from app.pictures.graph import Diagram, Edge, Graph, Node
from app.pictures.shapes import cut
from app.settings import Limits

MOST_NODES = 400
DEEPEST = 24
RUN = 3  # equal children in a row that are drawn as one
MOST_CHILDREN = 48  # of one container
LETTERS = 44


class TooMany(Exception):
    """More nodes than a diagram may have."""


def observe(net: nn.Module, inputs: Tensor | Mapping[str, Tensor], limits: Limits) -> tuple[Observed, str | None]:
    """Calls a network on `meta` and tells which shapes went where, and why the call stopped where it needs values.

    Raises: Unprocessable where the inputs do not fit.
    """
    with observing(net) as observed:
        try:
            call(net, inputs, limits=limits)
        except Unprocessable as error:
            if error.code != "needs-values":
                raise
            return observed, f"Shapes end where values decide: {error.detail}"
    return observed, None


def diagram_of(
    title: str, net: nn.Module, *, depth: int | None = None, observed: Observed | None = None, notes: Sequence[str] = ()
) -> Diagram:
    """Draws `net` with at most `depth` modules inside one another, and no more of them than can be looked at."""
    wanted = DEEPEST if depth is None else min(depth, DEEPEST)
    facts = Facts.of(net)
    for levels in range(wanted, 0, -1):
        builder = Builder(net, facts, observed or Observed(), levels, last=levels == 1)
        try:
            graph = builder.whole()
        except TooMany:
            continue
        said = [*notes, *builder.notes]
        if levels < wanted and builder.closed:
            said.append(f"Drawn {levels} deep: with all modules it would be too large. Ask for one by its path.")
        return Diagram(title, graph, tuple(dict.fromkeys(said)))
    raise AssertionError("one level is always drawn")


@dataclass
class Builder:
    """Draws one network to one depth."""

    net: nn.Module
    facts: Facts
    observed: Observed
    levels: int
    last: bool  # there is no smaller depth: what is too much is left out
    most: int = MOST_NODES
    closed: bool = False  # a module that has others inside was drawn without them
    notes: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    first_path: dict[int, str] = field(default_factory=dict)
    ids: int = 0
    path: str = ""

    def whole(self) -> Graph:
        """The graph of the network itself, between its inputs and its outputs."""
        if opens(self.net):
            return self.inside(self.net, named=True)
        known = inputs_of(self.net)
        names = [given.name for given in known if given.required] or [given.name for given in known[:1]]
        entries = [self.entry(self.net, position, name, name) for position, name in enumerate(names)]
        node, end = self.leaf("", self.net), self.end("output")
        edges = [Edge(entry.id, node.id, self.label(entry.id)) for entry in entries]
        return Graph((*entries, node, end), (*edges, Edge(node.id, end.id, self.label(node.id))))

    def entry(self, module: nn.Module, position: int, name: str, title: str) -> Node:
        """The node of an input, its shape being known where the module was seen to be called."""
        node = Node(self.new_id(), "input", (title,))
        self.labels[node.id] = self.observed.of_input(module, position, name)
        return node

    def end(self, title: str) -> Node:
        return Node(self.new_id(), "output", (title,))

    # --- modules ---

    def inside(self, module: nn.Module, *, named: bool = False) -> Graph:
        """What is in a module; `named`: its inputs and outputs have names, as those of the network have."""
        if isinstance(module, OwnBlock):
            return self.flow(module, named=named)
        return self.chain(module, named=named)

    def child(self, name: str, module: nn.Module, count: int = 1) -> Node:
        """The node of a child, open if it has an inside and there is depth left."""
        path = f"{self.path}.{name}" if self.path else name
        if id(module) in self.first_path:
            again = (f"{name}: again" if name else "again", f"the same module as {self.first_path[id(module)]}")
            return self.named(Node(self.new_id(), "again", again, shared=True), module)
        self.first_path[id(module)] = path
        if not opens(module):
            return self.leaf(name, module, count)
        if self.levels <= 1:
            self.closed = True
            return self.leaf(name, module, count)
        node = Node(self.new_id(), "module", (_title(name, module),))
        outside, self.path, self.levels = self.path, path, self.levels - 1
        graph = self.inside(module)
        self.path, self.levels = outside, self.levels + 1
        return self.named(Node(node.id, "module", node.lines, graph, self.facts.is_shared(module), count), module)

    def leaf(self, name: str, module: nn.Module, count: int = 1) -> Node:
        """A module drawn without what is in it."""
        lines = [_title(name, module)]
        extra = cut(module.extra_repr(), LETTERS)
        if extra:
            lines.append(extra)
        inner = sum(1 for _ in module.modules()) - 1
        if inner:
            lines.append(f"{inner} module{'s' * (inner > 1)} inside")
        lines += self.facts.tied.get(id(module), ())
        if self.facts.is_shared(module):
            lines.append("shared")
        node = Node(self.new_id(), "layer", tuple(lines), None, self.facts.is_shared(module), count)
        return self.named(node, module)

    def named(self, node: Node, module: nn.Module) -> Node:
        self.labels[node.id] = self.observed.of_module(module)
        return node

    # --- containers ---

    def chain(self, module: nn.Module, *, named: bool) -> Graph:
        """Children one after another, or side by side where nothing says in which order they run."""
        nodes: list[Node] = []
        for names, child in self.runs(module):
            name = names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"
            nodes.append(self.child(name, child, len(names)))
        if not isinstance(module, nn.Sequential):
            return Graph(tuple(nodes), ())
        row = [self.entry(module, 0, "input", "input" if named else ""), *nodes, self.end("output" if named else "")]
        edges = [Edge(a.id, b.id, self.labels.get(a.id, "")) for a, b in pairwise(row)]
        return Graph(tuple(row), tuple(edges))

    def runs(self, module: nn.Module) -> list[tuple[list[str], nn.Module]]:
        """The children with their names; several names where equal ones stand in a row and are drawn once."""
        found: list[tuple[list[str], nn.Module]] = []
        last: object = None
        for name, child in module._modules.items():  # noqa: SLF001 - children() drops repeats
            if child is None:
                continue
            like = None if self.facts.is_shared(child) else self.facts.like(child)
            if like is not None and like == last:
                found[-1][0].append(name)
            else:
                found.append(([name], child))
            last = like
        spread = [(names, child) for names, child in found if len(names) >= RUN]
        if spread:
            self.notes.append("Equal modules in a row are drawn once, with their number.")
        flat = [
            one
            for names, child in found
            for one in (
                [(names, child)] if len(names) >= RUN else [([name], module._modules[name]) for name in names]  # noqa: SLF001 - as above
            )
        ]
        known = [(names, child) for names, child in flat if child is not None]
        if len(known) > MOST_CHILDREN:
            self.notes.append(f"Of {len(known)} modules in a row the first {MOST_CHILDREN} are drawn.")
        return known[:MOST_CHILDREN]

    # --- forwards ---

    def flow(self, module: OwnBlock, *, named: bool) -> Graph:
        """The data flow of a block's own forward."""
        written = written_of(module)
        if written.forward is None:
            return self.chain(module, named=named)
        flow = Flow(module, self)
        for position, given in enumerate(written.inputs):
            title = given.name if named or len(written.inputs) > 1 else ""
            entry = self.entry(module, position, given.name, title)
            flow.put(entry, ())
            flow.names[given.name] = Value((entry.id,))
        try:
            flow.block(written.forward.tree.body, frozenset())
        except TooMany:
            if not self.last:
                raise
            self.most += MOST_NODES  # for the ends of what is there
            self.notes.append("The forward is too long to be drawn whole.")
        self.results(flow, named=named)
        return flow.graph()

    def results(self, flow: Flow, *, named: bool) -> None:
        """Nodes for what the forward returns, under the names that the outputs have."""
        parts = flow.returned[0].parts if len(flow.returned) == 1 else None
        if parts is None:
            flow.add("output", "output" if named else "", merged(flow.returned or [NOTHING]).sources)
            return
        names = flow.keys or tuple(f"output_{number}" for number in range(len(parts)))
        for name, part in zip(names, parts, strict=False):
            flow.add("output", name, sources_of(part))

    # --- what a flow asks ---

    def new_id(self) -> str:
        """An id for one more node. Raises TooMany."""
        self.ids += 1
        if self.ids > self.most:
            raise TooMany
        return f"n{self.ids}"

    def call(self, called: Sequence[Called]) -> Node:
        """The node for a call of a module, or of one of several."""
        if len(called) == 1:
            return self.child(*called[0])
        name = f"one of {called[0][0]} … {called[-1][0]}"
        if len({self.facts.like(module) for _, module in called}) == 1 and id(called[0][1]) not in self.first_path:
            node = self.child(f"{called[0][0]} … {called[-1][0]}", called[0][1], len(called))
            self.first_path |= {id(module): path for path, module in called}
            return node
        nodes = tuple(self.child(path, module) for path, module in called[:MOST_CHILDREN])
        return Node(self.new_id(), "module", (name,), Graph(nodes, ()))

    def tensor(self, name: str, module: nn.Module, key: str) -> Node:
        """The node of a parameter or constant."""
        value = getattr(module, name)
        kind = "parameter" if isinstance(value, nn.Parameter) else "constant"
        dtype = "" if value.is_floating_point() else f" {dtype_name(value)}"
        return Node(self.new_id(), "value", (key, f"{kind} {list(value.shape)}{dtype}"))

    def made(self, node: str, owner: nn.Module, place: Place) -> None:
        self.labels[node] = self.observed.of_operation(owner, place)

    def label(self, node: str) -> str:
        return self.labels.get(node, "")


def _title(name: str, module: nn.Module) -> str:
    kind = type(module).__name__
    return f"{name}: {kind}" if name else kind
