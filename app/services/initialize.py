"""Giving a network's parameters first values anew, by rules. A worker does it; here it becomes a revision."""

from collections.abc import Callable

from app.messages import Initialize, Initialized, InitializedParameter, NetworkRef
from app.pool.base import expect
from app.services.architectures import encode_architecture
from app.services.idempotency import Answer, Retry
from app.services.lab import Lab
from app.services.writes import Change, write_revision

NAMES_TOLD = 100  # in the revision's detail


async def initialize_network(
    lab: Lab,
    name: str,
    *,
    rules: object,
    seed: int | None,
    if_match: frozenset[str] | None,
    retry: Retry | None,
    render: Callable[[list[InitializedParameter], int], Answer],
) -> Answer:
    """Runs rules over a network's parameters and makes one revision of it. `rules` is JSON as it was read.

    Raises: NotFound, Stale; Unprocessable for a rule that cannot be read or has no effect.
    """
    text = encode_architecture(rules, lab.settings.limits.architecture_bytes, "/rules")

    done: list[InitializedParameter] = []  # of the last try

    async def work(network: NetworkRef) -> Change:
        nonlocal done
        task = Initialize(network=network, rules=text, seed=seed)
        reply = expect(await lab.pool.submit(task, device=network.device), Initialized)
        done = reply.items
        names = list(dict.fromkeys(item.name for item in done))
        detail: dict[str, object] = {"parameters": names[:NAMES_TOLD], "parameter_count": len(names)}
        if seed is not None:
            detail["seed"] = str(seed) if abs(seed) >= 2**53 else seed
        return Change(reply.manifest, "initialize", detail)

    return await write_revision(lab, name, work, lambda row: render(done, row.number), if_match=if_match, retry=retry)
