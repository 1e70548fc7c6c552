"""Drawing a network. A worker does it; here only the name is resolved."""

from collections.abc import Mapping

from app.messages import DrawNetwork, Encoded, ShapeSpec
from app.pool.base import expect
from app.services.lab import Lab
from app.services.references import find_reference


async def draw_network(
    lab: Lab,
    name: str,
    *,
    path: str,
    depth: int | None,
    input_shapes: Mapping[str, ShapeSpec] | None,
    media_type: str,
) -> tuple[Encoded, int]:
    """Draws the module at `path` ("" is the network); the revision comes with it.

    Raises: NotFound for the network or the path, Unprocessable for the shapes.
    """
    network = await find_reference(lab, name)
    task = DrawNetwork(
        network=network,
        title=name,
        path=path,
        depth=depth,
        input_shapes=None if input_shapes is None else dict(input_shapes),
        accept=media_type,
    )
    return expect(await lab.pool.submit(task, device=network.device), Encoded), network.revision
