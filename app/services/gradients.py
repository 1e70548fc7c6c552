"""Gradients of a network: made by a worker, kept with the revision they belong to, read, cleared.

The last backward of a network leaves its gradients; one that accumulates adds to those that are there, and only to
those of its own revision. Called by the routes of gradients, and by the runner of jobs.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import msgspec
import orjson

from app.db import gradients, networks, revisions
from app.db.engine import Connection
from app.db.gradients import GradientsRow
from app.errors import NotFound
from app.messages import Backpropagated, DescribeGradients, Encoded, Mode, NetworkRef, RunBackward
from app.pool.base import expect
from app.services.downloads import NamedTensor
from app.services.idempotency import Answer, Retry, Write, answer_once
from app.services.job_context import JobContext
from app.services.lab import Lab, in_thread
from app.services.networks import locked, no_network, no_revision
from app.services.references import find_reference
from app.services.writes import MOST_TRIES, HeadMoved, check_match, too_contended
from app.store.store import TensorStore

Render = Callable[[Encoded], Answer]


class Backward(msgspec.Struct, frozen=True):
    """What somebody asks for besides the body. What a JSON body says itself wins over `loss` and those after it."""

    content_type: str
    accept: str
    loss: str | None = None
    mode: Mode = "eval"
    seed: int | None = None
    revision: int | None = None
    accumulate: bool = False
    if_match: frozenset[str] | None = None

    def task(self, network: NetworkRef, body: bytes) -> RunBackward:
        return RunBackward(
            network=network,
            body=body,
            content_type=self.content_type,
            accept=self.accept,
            loss=self.loss,
            revision=self.revision,
            mode=self.mode,
            seed=self.seed,
            accumulate=self.accumulate,
        )


@dataclass(frozen=True)
class KeptGradients:
    """The gradients a network has; `head` is its newest revision, to which they may or may not belong."""

    row: GradientsRow
    head: int


class GradientsMoved(HeadMoved):
    """What was added to is no longer what is there; nothing was written."""


async def backward(lab: Lab, name: str, asked: Backward, body: bytes, *, retry: Retry | None, render: Render) -> Answer:
    """Runs the network called `name` on the inputs in `body`, takes the gradient of a loss, and keeps it.

    Raises: NotFound, Stale; Conflict `stale-gradients`; Unprocessable for the body, the loss, or what it meets.
    """

    async def prepare() -> Write:
        network = await find_reference(lab, name)
        check_match(name, network.revision, asked.if_match)
        done = expect(await lab.pool.submit(asked.task(network, body), device=network.device), Backpropagated)
        return partial(_keep, name, done, render(done.reply))

    for _ in range(MOST_TRIES):
        with suppress(GradientsMoved):
            return await answer_once(lab, retry, prepare)
    raise too_contended()


async def backward_later(job: JobContext, *, render: Render) -> Write:
    """The same as a job."""
    asked = job.request(Backward)
    network, name = await job.network(), job.job.network or ""
    check_match(name, network.revision, asked.if_match)
    task = asked.task(network, await job.body())
    done = expect(await job.submit(task, device=network.device), Backpropagated)
    return partial(_keep, name, done, await job.keep(render(done.reply)))


def _keep(name: str, done: Backpropagated, answer: Answer, connection: Connection) -> Answer:
    network = networks.find_by_id(connection, done.network.network_id, lock=True)
    if network is None:
        raise no_network(name)
    number = done.network.revision
    if revisions.find(connection, network.id, number) is None:
        raise no_revision(name, number, network.head_revision)
    passes = 1
    if done.accumulated:
        there = gradients.find(connection, network.id)
        known = None if there is None else (there.number, there.manifest)
        if known != (None if done.added_to is None else (number, done.added_to)):
            raise GradientsMoved("Others change the gradients of this network at the same time.")
        passes += 0 if there is None else there.passes
    gradients.save(connection, network.id, number, done.manifest, passes)
    return answer


async def find_gradients(lab: Lab, name: str) -> KeptGradients:
    """The gradients that the network called `name` has. Raises: NotFound for the network, or where it has none."""
    head = await find_reference(lab, name)

    def find() -> GradientsRow | None:
        with lab.database.reading() as connection:
            return gradients.find(connection, head.network_id)

    row = await in_thread(find)
    if row is None:
        raise NotFound(f"{name!r} has no gradients; `POST .../backward` makes some.")
    return KeptGradients(row, head.revision)


async def describe_gradients(lab: Lab, kept: KeptGradients) -> dict[str, object]:
    """Summaries of gradients by the names of their parameters, in PyTorch's order."""
    reply = expect(await lab.pool.submit(DescribeGradients(manifest=kept.row.manifest)), Encoded)
    summaries: dict[str, object] = orjson.loads(reply.body)
    return summaries


async def tensors_of(lab: Lab, kept: KeptGradients) -> list[NamedTensor]:
    """The gradients as they are stored, to be written to a file."""
    entries = await in_thread(lambda: TensorStore(lab.database).manifest(kept.row.manifest))
    return [NamedTensor(name, name, stored) for name, stored in entries.items()]


async def clear_gradients(lab: Lab, name: str, if_match: frozenset[str] | None) -> None:
    """Clears the gradients of a network, as `net.zero_grad()` does; it need not have any. Raises: NotFound, Stale."""

    def clear() -> None:
        with lab.database.transaction() as connection:
            gradients.delete(connection, locked(lab, connection, name, if_match).id)

    await in_thread(clear)
