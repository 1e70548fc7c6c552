"""Drawing networks. Called by the handlers.

A network is built on `meta` to be looked at: its tensors are not needed, and nothing that is loaded is touched.
"""

import orjson
from torch import nn

from app.architecture.build import build_on_meta
from app.architecture.describe import find_module
from app.architecture.diagram import diagram_of, observe
from app.architecture.observed import Observed
from app.db import networks
from app.errors import NotFound, Unprocessable
from app.messages import DrawNetwork, Encoded, NetworkRef
from app.pictures import mermaid, svg
from app.pictures.flowchart import draw_diagram
from app.tensors.torch_dtypes import torch_dtype
from app.worker.context import Worker
from app.worker.imagined import imagine, rebased


def draw_network(worker: Worker, task: DrawNetwork) -> Encoded:
    """Draws a network or one of its modules, as SVG or in Mermaid's language.

    Raises: NotFound for the path, Unprocessable for inputs that do not fit.
    """
    net = imagined_network(worker, task.network)
    path, module = find_module(net, task.path)
    observed, note = Observed(), None
    if task.input_shapes is not None:
        inputs = imagine(task.input_shapes, task.network.dtype, worker.limits)
        try:
            observed, note = observe(net, inputs, worker.limits)
        except Unprocessable as error:
            raise rebased(error) from error
    title = f"{task.title}: {path}" if path else task.title
    notes = () if note is None else (note,)
    diagram = diagram_of(title, module, depth=task.depth, observed=observed, notes=notes)
    if task.accept == mermaid.MEDIA_TYPE:
        return Encoded(f"{mermaid.MEDIA_TYPE}; charset=utf-8", mermaid.write_mermaid(diagram))
    return Encoded(svg.MEDIA_TYPE, svg.write_svg(draw_diagram(diagram)))


def imagined_network(worker: Worker, ref: NetworkRef) -> nn.Module:
    """The network on the `meta` device, in its dtype and mode eval. Raises: NotFound when it was deleted meanwhile."""
    with worker.database.reading() as connection:
        resolved = networks.find_resolved(connection, ref.network_id)
    if resolved is None:
        raise NotFound("The network was deleted meanwhile.")
    return build_on_meta(orjson.loads(resolved), limits=worker.limits).to(torch_dtype(ref.dtype)).eval()
