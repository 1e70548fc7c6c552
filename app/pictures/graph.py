"""What a diagram says, before it has a place on any sheet: nodes, some with a graph inside, and edges between siblings.

Made by `app.architecture.diagram`; drawn by `flowchart.py` and written as text by `mermaid.py`.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "input",  # where values come in, or a name they go by inside
    "output",
    "layer",  # a module that is drawn without what is in it
    "module",  # one that is drawn with it
    "loop",  # part of a forward that runs again and again, or only if
    "operation",
    "value",  # a parameter or constant
    "again",  # a module that stands elsewhere in the diagram
    "more",  # words on what was left out
]


@dataclass(frozen=True)
class Node:
    """One box: its lines, the first as a title. `id` is unique in the whole diagram and holds letters and digits.

    `count` modules of one kind stand one after another here; `shared` ones have several places in the network.
    """

    id: str
    kind: Kind
    lines: tuple[str, ...]
    inside: "Graph | None" = None
    shared: bool = False
    count: int = 1


@dataclass(frozen=True)
class Edge:
    """Values going from one node to another of the same graph; `back`: into the next round of a loop."""

    source: str
    target: str
    label: str = ""
    back: bool = False


@dataclass(frozen=True)
class Graph:
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


@dataclass(frozen=True)
class Diagram:
    """A whole diagram: its title, what it shows, and words on what it does not show."""

    title: str
    graph: Graph
    notes: tuple[str, ...] = ()
