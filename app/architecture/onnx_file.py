"""An ONNX model made fit to be read by others: inputs, outputs and sizes by their names, nothing of where it was made.

Works on the protobuf message alone. Called by `onnx_export.py`.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import ModelProto

_SYMBOL = re.compile(r"\b[su]\d+\b")


def name_values(model: "ModelProto", inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Gives inputs and outputs these names, by position; values inside that have one of them get another."""
    graph = model.graph
    given = dict(zip((value.name for value in graph.input), inputs, strict=True))
    inside = {name for node in graph.node for name in node.output} | {value.name for value in graph.initializer}
    names = {name: f"{name}.inside" for name in inside & {*inputs, *outputs}} | given
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
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    for part in (model, model.graph, *model.functions, *nodes):
        part.ClearField("metadata_props")
    for part in (*nodes, *model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer):
        part.ClearField("doc_string")
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer):
        value.ClearField("metadata_props")
