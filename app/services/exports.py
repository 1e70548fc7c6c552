"""A network in formats of others. A worker writes it, in the lane of jobs, so that nobody waits behind it."""

from collections.abc import Mapping

from app.messages import Encoded, ExportNetwork, ShapeSpec
from app.pool.base import expect
from app.services.lab import Lab
from app.services.references import find_reference_at

PATIENCE = 10  # times the deadline of a request: an export is a compilation


async def export_network(
    lab: Lab, name: str, *, input_shapes: Mapping[str, ShapeSpec] | None, dynamic: bool, revision: int | None
) -> tuple[Encoded, int]:
    """Exports a network as ONNX; the revision comes with it.

    Raises: NotFound; Unprocessable `not-exportable`, `missing-input` and what is wrong with the shapes.
    """
    network = await find_reference_at(lab, name, revision)
    shapes = None if input_shapes is None else dict(input_shapes)
    task = ExportNetwork(network=network, title=name, input_shapes=shapes, dynamic=dynamic)
    deadline = lab.settings.deadline_seconds * PATIENCE
    reply = await lab.pool.submit(task, device=network.device, deadline_seconds=deadline, lane="jobs")
    return expect(reply, Encoded), network.revision
