"""Running a network: name → revision → worker. Nothing is parsed and nothing is written on this way.

Called by `app.api.routes.forward`. The head is looked up in the event loop because that is a dictionary guarded by a
glance at the database; a thread would cost ten times as much.
"""

from app.messages import Encoded, Mode, RunForward
from app.pool.base import expect
from app.services.lab import Lab
from app.services.references import find_reference


async def forward(
    lab: Lab,
    name: str,
    *,
    body: bytes,
    content_type: str,
    accept: str,
    revision: int | None = None,
    mode: Mode = "eval",
    seed: int | None = None,
    capture: list[str] | None = None,
) -> Encoded:
    """Runs the network called `name` on the inputs in `body`, at its head or at `revision`.

    `mode`, `seed`, `capture` and `revision` are for bodies that cannot say them; what a JSON body says itself wins.

    Raises: NotFound for the network or the revision; whatever the network itself meets.
    """
    network = find_reference(lab, name)
    task = RunForward(
        network=network,
        body=body,
        content_type=content_type,
        accept=accept,
        revision=revision,
        mode=mode,
        seed=seed,
        capture=capture or [],
    )
    return expect(await lab.pool.submit(task, device=network.device), Encoded)
