"""Writes a diagram as a flowchart in Mermaid's language. Names become entity codes where they could mean anything."""

from collections.abc import Iterator

from app.pictures.graph import Diagram, Edge, Graph, Kind, Node

MEDIA_TYPE = "text/vnd.mermaid"
_SHAPES: dict[Kind, tuple[str, str]] = {
    "input": ("([", "])"),
    "output": ("([", "])"),
    "layer": ("[", "]"),
    "module": ("[", "]"),
    "loop": ("[", "]"),
    "operation": ("(", ")"),
    "value": ("[/", "/]"),
    "again": ("[[", "]]"),
    "more": (">", "]"),
}
_STYLES = {
    "shared": "stroke:#b7791f,stroke-width:3px",
    "again": "stroke:#b7791f,stroke-dasharray:5 4",
    "value": "fill:#fbf3df,stroke:#b7791f",
}
_PLAIN = frozenset(" .,:()[]{}+-*/=_…")


def write_mermaid(diagram: Diagram) -> bytes:
    """The diagram as text, UTF-8; it names what it is in comments."""
    lines = ["flowchart TB", *(f"  %% {_comment(line)}" for line in (diagram.title, *diagram.notes))]
    lines += _graph(diagram.graph, "  ")
    lines += [f"  classDef {name} {style}" for name, style in _STYLES.items()]
    return ("\n".join(lines) + "\n").encode()


def _graph(graph: Graph, indent: str) -> Iterator[str]:
    for node in graph.nodes:
        yield from _node(node, indent)
    for edge in graph.edges:
        yield indent + _edge(edge)


def _node(node: Node, indent: str) -> Iterator[str]:
    title = node.lines[0] + (f" x {node.count}" if node.count > 1 else "")
    words = "<br/>".join(map(escape_label, (title, *node.lines[1:])))
    if node.inside is not None:
        yield f'{indent}subgraph {node.id}["{words or " "}"]'
        yield from _graph(node.inside, indent + "  ")
        yield f"{indent}end"
    else:
        left, right = _SHAPES[node.kind]
        yield f'{indent}{node.id}{left}"{words or " "}"{right}'
    if node.shared or node.kind in _STYLES:
        yield f"{indent}class {node.id} {'shared' if node.shared and node.kind != 'again' else node.kind}"


def _edge(edge: Edge) -> str:
    arrow = "-.->" if edge.back else "-->"
    label = f'|"{escape_label(edge.label)}"|' if edge.label else ""
    return f"{edge.source} {arrow}{label} {edge.target}"


def escape_label(text: str) -> str:
    """A text for a quoted label: letters, digits and a few signs as they are, all else as character codes."""
    return "".join(
        letter if letter.isalnum() or letter in _PLAIN else "" if _is_control(letter) else f"#{ord(letter)};"
        for letter in text
    )


def _is_control(letter: str) -> bool:
    return ord(letter) < 32 or 0x7F <= ord(letter) < 0xA0 or 0xD800 <= ord(letter) < 0xE000


def _comment(text: str) -> str:
    return escape_label(text).replace("{", "(").replace("}", ")")  # %%{ begins a directive
