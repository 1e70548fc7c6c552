"""Giving a network's parameters first values anew, by rules. A worker does it; here it becomes a revision: while the
client waits, or as a job.
"""

from collections.abc import Awaitable, Callable

import msgspec

from app.messages import Initialize, Initialized, InitializedParameter, NetworkRef, Reply
from app.pool.base import expect
from app.services.architectures import encode_architecture
from app.services.idempotency import Answer, Retry, Write
from app.services.job_context import JobContext
from app.services.lab import Lab
from app.services.writes import Change, Work, prepare_revision, write_revision

NAMES_TOLD = 100  # in the revision's detail

Render = Callable[[list[InitializedParameter], int], Answer]
Submit = Callable[[Initialize, str], Awaitable[Reply]]  # a task and the device it runs on


class Initialization(msgspec.Struct, frozen=True):
    """What somebody asks for: rules (JSON), and what `If-Match` named."""

    rules: bytes
    seed: int | None = None
    if_match: frozenset[str] | None = None


def ask_initialization(lab: Lab, rules: object, seed: int | None, if_match: frozenset[str] | None) -> Initialization:
    """Puts a request into words. `rules` is JSON as it was read. Raises: Unprocessable `limit-exceeded`."""
    text = encode_architecture(rules, lab.settings.limits.architecture_bytes, "/rules")
    return Initialization(text, seed, if_match)


async def initialize_network(
    lab: Lab, name: str, asked: Initialization, *, retry: Retry | None, render: Render
) -> Answer:
    """Runs rules over a network's parameters and makes one revision of it.

    Raises: NotFound, Stale; Unprocessable for a rule that cannot be read or has no effect.
    """
    done: list[InitializedParameter] = []
    work = _working(asked, lambda task, device: lab.pool.submit(task, device=device), done)
    return await write_revision(
        lab, name, work, lambda row: render(done, row.number), if_match=asked.if_match, retry=retry
    )


async def initialize_later(job: JobContext, *, render: Render) -> Write:
    """The same as a job."""
    asked = job.request(Initialization)
    done: list[InitializedParameter] = []
    work = _working(asked, lambda task, device: job.submit(task, device=device), done)
    name = job.job.network or ""
    return await prepare_revision(
        name, await job.network(), work, lambda row: render(done, row.number), asked.if_match, author=job.job.author
    )


def _working(asked: Initialization, submit: Submit, done: list[InitializedParameter]) -> Work:
    """What makes the change; `done` is what its newest run did."""

    async def work(network: NetworkRef) -> Change:
        task = Initialize(network=network, rules=asked.rules, seed=asked.seed)
        reply = expect(await submit(task, network.device), Initialized)
        done[:] = reply.items
        names = list(dict.fromkeys(item.name for item in done))
        detail: dict[str, object] = {"parameters": names[:NAMES_TOLD], "parameter_count": len(names)}
        if asked.seed is not None:
            detail["seed"] = str(asked.seed) if abs(asked.seed) >= 2**53 else asked.seed
        return Change(reply.manifest, "initialize", detail)

    return work
