"""An ONNX model made fit to be read by others: inputs, outputs and sizes by their names, nothing of where it was made.

Works on the protobuf message alone. Called by `onnx_export.py`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

_SYMBOL = re.compile(r"\b[su]\d+\b")


def name_values(
    model: "ModelProto", inputs: Sequence[str], outputs: Sequence[str], parameters: Mapping[str, str]
) -> None:
    """Gives inputs and outputs these names, by position, and initializers theirs; what is inside makes way for them."""
    graph = model.graph
    given = dict(zip((value.name for value in graph.input), inputs, strict=True))
    taken = {*inputs, *outputs}
    for value in graph.initializer:
        if value.name in parameters:
            name = parameters[value.name]
            given[value.name] = f"{name}.value" if name in taken else name
    taken.update(given.values())
    inside = {name for node in graph.node for name in node.output} | {value.name for value in graph.initializer}
    names = {name: f"{name}.inside" for name in inside & taken} | given
    results = [names.get(value.name, value.name) for value in graph.output]
    for value in (*graph.input, *graph.value_info, *graph.initializer):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value, source, wanted in zip(graph.output, results, outputs, strict=True):
        name = f"{wanted}.output" if wanted in inputs else wanted  # a block may return what it was given
        graph.node.add(op_type="Identity", name=f"output {name}", input=[source], output=[name])
        value.name = name


def name_sizes(model: "ModelProto") -> None:
    """Calls sizes that may be any `batch`, `size_1`, `size_2`; those that turned out to be fixed become numbers."""
    known: dict[str, str] = {}

    def renamed(match: re.Match[str]) -> str:
        return known.setdefault(match[0], f"size_{len(known)}" if known else "batch")

    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param.isdecimal():
                size.dim_value = int(size.dim_param)
            elif size.dim_param:
                size.dim_param = _SYMBOL.sub(renamed, size.dim_param)


def forget_origins(model: "ModelProto") -> None:
    """Leaves out paths of files and traces of calls, which the exporter notes at every node."""
    model.ClearField("metadata_props")
    for function in model.functions:
        function.ClearField("metadata_props")
        _forget_at_nodes(function.node)
    _forget_in_graph(model.graph)


def _forget_in_graph(graph: "GraphProto") -> None:
    graph.ClearField("metadata_props")
    graph.ClearField("doc_string")
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.ClearField("doc_string")
        value.ClearField("metadata_props")
    _forget_at_nodes(graph.node)


def _forget_at_nodes(nodes: Iterable["NodeProto"]) -> None:
    for node in nodes:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
        for attribute in node.attribute:  # branches and the bodies of loops
            for graph in (attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs:
                _forget_in_graph(graph)
