"""Training as a job: planned at once, run by a worker in a lane of its own, kept in revisions on its way.

A checkpoint is a revision, and beside it the state that the run goes on with: one transaction. After the death of a
worker or a service the next attempt goes on from the newest one, on whatever device the network is then. Called by the
route of training and by the runner of jobs.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from secrets import randbits

import msgspec

from app.db import curves, jobs, networks, revisions
from app.db.engine import Connection
from app.db.jobs import JobRow
from app.db.revisions import RevisionRow
from app.errors import Conflict, NotFound
from app.messages import DrawCurve, Encoded, NetworkRef, Planned, PlanTraining, Progress, Train, Trained
from app.messages.training import Curve, TrainingCheckpoint, TrainingNews, TrainingPlan
from app.pool.base import expect
from app.services.idempotency import Answer, Retry, Write
from app.services.in_training import TRAIN, check_free
from app.services.job_context import JobContext
from app.services.jobs import JobRequest, accept_job, find_job
from app.services.lab import Lab, look_up
from app.services.networks import SEED_BITS
from app.services.references import find_reference
from app.services.writes import Change, HeadMoved, advance, check_match

DATA, STATE = "data", "state"  # roles of the job's manifests


class Training(msgspec.Struct, frozen=True):
    """What somebody asks for, as it was planned."""

    plan: TrainingPlan
    samples: int
    steps: int
    if_match: frozenset[str] | None = None
    warnings: list[str] = msgspec.field(default_factory=list)


class Kept(msgspec.Struct, frozen=True):
    """The note of a checkpoint: what the worker goes on with, its revision, and those of the run that are kept."""

    note: bytes
    revision: int
    revisions: list[int]


@dataclass(frozen=True)
class Finished:
    """What a run came to, and the revision that it ended in."""

    trained: Trained
    asked: Training
    revision: int
    job: int
    name: str  # of the network when the job was asked for


Render = Callable[[Finished], Answer]


async def start_training(
    lab: Lab,
    name: str,
    body: bytes,
    *,
    priority: int,
    if_match: frozenset[str] | None,
    retry: Retry | None,
    render: Callable[[JobRow], Answer],
) -> Answer:
    """Plans a run of the network called `name` and puts it into the queue of jobs.

    Raises: NotFound, Stale; Conflict `in-training`; Malformed, Unprocessable with the place in the body.
    """
    head = await find_reference(lab, name)
    check_match(name, head.revision, if_match)
    task = PlanTraining(network=head, body=body, seed=randbits(SEED_BITS))
    planned = expect(await lab.pool.submit(task, device=head.device), Planned)

    def check(connection: Connection) -> None:
        networks.find_by_id(connection, head.network_id, lock=True)  # of two at once one comes first
        check_free(connection, head.network_id, name)

    asked = JobRequest(
        TRAIN,
        Training(planned.plan, planned.samples, planned.steps, if_match, planned.warnings),
        head,
        name,
        priority,
        manifests={DATA: planned.data},
        check=check,
    )
    return await accept_job(lab, asked, retry, render)


async def train(job: JobContext, *, render: Render) -> Write:
    """One attempt of a run, from its newest checkpoint on."""
    asked = job.request(Training)
    while True:
        attempt = _Attempt(job, asked, await job.network())
        try:
            return attempt.finish(await attempt.run(), render)
        except HeadMoved:
            if job.resume is not None:
                raise _changed(job) from None  # what was learnt was learnt from something else


@dataclass
class _Attempt:
    """A run from a checkpoint, or from the network as it is."""

    job: JobContext
    asked: Training
    head: NetworkRef
    kept: list[int] = field(default_factory=list)  # revisions of this run
    note: bytes | None = None

    def __post_init__(self) -> None:
        if self.job.resume is None:
            check_match(self.name, self.head.revision, self.asked.if_match)
            return
        kept = msgspec.msgpack.decode(self.job.resume, type=Kept)
        if self.head.revision != kept.revision:
            raise _changed(self.job)
        self.note, self.kept = kept.note, kept.revisions

    @property
    def name(self) -> str:
        return self.job.job.network or ""

    async def run(self) -> Trained:
        manifests = await self.job.manifests()
        state = manifests.get(STATE) if self.note is not None else None
        task = Train(self.head, self.asked.plan, manifests[DATA], self.note, state)
        deadline = self.job.lab.settings.training_seconds
        reply = await self.job.submit(task, device=self.head.device, deadline_seconds=deadline, on_progress=self._heed)
        return expect(reply, Trained)

    async def _heed(self, message: Progress) -> None:
        news = msgspec.json.decode(message.detail, type=TrainingNews)
        if news.checkpoint is not None:
            await self._keep(news.checkpoint, news.curve)
        elif (curve := news.curve) is not None:
            await self.job.record(lambda connection: curves.save(connection, self.job.job.number, curve))
        shown = {**news.shown, "revision": self.head.revision}
        if self.asked.warnings:
            shown["warnings"] = self.asked.warnings
        self.job.progress(message.fraction, **shown)

    async def _keep(self, checkpoint: TrainingCheckpoint, curve: bytes | None) -> None:
        """Makes a revision of a checkpoint. Raises: HeadMoved, LeaseLost."""
        detail: dict[str, object] = {"step": checkpoint.step, "epoch": checkpoint.epoch + 1, "loss": checkpoint.loss}
        change = self._change(checkpoint.manifest, detail)
        number = self.head.revision + 1
        left, stay = self._retained(number)

        def write(connection: Connection) -> None:
            self._advance(connection, change, left)
            if curve is not None:
                curves.save(connection, self.job.job.number, curve)

        note = msgspec.msgpack.encode(Kept(checkpoint.note, number, stay))
        await self.job.checkpoint(write, note=note, manifests={STATE: checkpoint.state})
        self.kept = stay
        self.head = NetworkRef(self.head.network_id, number, checkpoint.manifest, self.head.dtype, self.head.device)

    def finish(self, trained: Trained, render: Render) -> Write:
        """What makes the run's last revision, inside the transaction that ends the job."""
        detail: dict[str, object] = {"step": trained.steps, "epoch": trained.epochs, "loss": trained.loss}
        change = self._change(trained.manifest, {**detail, "stopped": trained.stopped})
        left, _ = self._retained(self.head.revision + 1)
        number = self.job.job.number

        def write(connection: Connection) -> Answer:
            row = self._advance(connection, change, left)
            curves.save(connection, number, trained.curve)
            jobs.drop_manifests(connection, number, (DATA, STATE))
            return render(Finished(trained, self.asked, row.number, number, self.name))

        return write

    def _change(self, manifest: str, detail: dict[str, object]) -> Change:
        return Change(manifest, "train", {"job": str(self.job.job.number), **detail})

    def _advance(self, connection: Connection, change: Change, left: list[int]) -> RevisionRow:
        job = self.job.job
        row = advance(connection, self.name, self.head, change, author=job.author, by_job=job.number)
        if left:
            revisions.forget(connection, self.head.network_id, left)
        return row

    def _retained(self, number: int) -> tuple[list[int], list[int]]:
        """The revisions of this run that go when revision `number` comes, and those that stay with it."""
        mine = [*self.kept, number]
        cut = max(0, len(mine) - self.asked.plan.checkpoints.keep_last)
        return mine[:cut], mine[cut:]


def _changed(job: JobContext) -> Conflict:
    return Conflict(f"The network {job.job.network!r} was changed by others since this training's newest checkpoint.")


async def find_curve(lab: Lab, name: str, job_id: str | None) -> tuple[JobRow, Curve]:
    """How the loss of a training of the network called `name` went so far; None: of its newest one.

    Raises: NotFound for the network, for the job, or where it was never trained.
    """
    head = await find_reference(lab, name)
    if job_id is not None:
        row: JobRow | None = await find_job(lab, job_id)
    else:
        row = await look_up(lab, lambda connection: jobs.find_newest(connection, head.network_id, TRAIN))
    if row is None or (row.kind, row.network_id) != (TRAIN, head.network_id):
        which = "no training" if job_id is None else f"no training {job_id}"
        raise NotFound(f"{name!r} has {which}; `POST .../train` begins one.")
    data = await look_up(lab, lambda connection: curves.find(connection, row.number))
    return row, Curve() if data is None else msgspec.msgpack.decode(data, type=Curve)


async def draw_curve(lab: Lab, name: str, row: JobRow, curve: Curve, media_type: str) -> Encoded:
    """The same as a picture."""
    task = DrawCurve(title=f"{name}, job {row.number}", curve=curve, accept=media_type)
    return expect(await lab.pool.submit(task), Encoded)
