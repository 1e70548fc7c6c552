"""The runner, with kinds of jobs that the tests make up: what is run again, what is not, what a stop leaves behind."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import msgspec
import pytest

from app.db import job_events, jobs, leases, revisions
from app.db.engine import Connection, Database
from app.db.heads import HeadReader
from app.db.jobs import JobRow, NewJob
from app.db.leases import LeaseLost
from app.errors import Busy, LabError, NotFound, StorageFull, Unavailable, Unprocessable
from app.messages import Encoded, Failure, Progress, ReadCatalog
from app.services import job_context
from app.services.idempotency import Answer, Write
from app.services.job_bytes import INLINE_BYTES, read_bytes
from app.services.job_context import JobContext
from app.services.job_runner import JobRunner
from app.services.jobs import JobFilter, cancel_job, delete_job, find_job, find_result, follow_job, list_jobs
from app.services.lab import Lab
from app.services.writes import HeadMoved
from app.settings import Settings
from tests.api.fake_pool import FakePool
from tests.db.rows import OTHER_MANIFEST, add_network, next_revision

QUICK = {"job_poll_seconds": 0.05, "job_lease_seconds": 30.0}
PATIENCE_SECONDS = 20.0
TASK, REPLY = ReadCatalog("layers"), Encoded("application/json", b"[]")


class Laboratory:
    """A database with a runner whose kinds are functions of the tests."""

    def __init__(self, database: Database, heads: HeadReader, **settings: object) -> None:
        self.database = database
        self.pool = FakePool({})
        self.lab = Lab(
            settings=Settings(**{**QUICK, **settings}),  # type: ignore[arg-type]
            database=database,
            heads=heads,
            pool=self.pool,
            workspace="main",
        )

    @asynccontextmanager
    async def running(self, drain_seconds: float = 5.0, **kinds: object) -> AsyncIterator[JobRunner]:
        runner = JobRunner(self.lab, kinds)  # type: ignore[arg-type]
        await runner.start()
        try:
            yield runner
        finally:
            await runner.stop(drain_seconds)

    def add(self, kind: str, **changes: object) -> int:
        with self.database.transaction() as connection:
            number = jobs.insert(connection, NewJob("main", kind, b"", **changes)).number  # type: ignore[arg-type]
        self.lab.bell.ring()
        return number

    def find(self, number: int) -> JobRow:
        with self.database.reading() as connection:
            row = jobs.find(connection, "main", number)
        assert row is not None
        return row

    async def wait_for(self, number: int, *wanted: str) -> JobRow:
        return await eventually(lambda: found if (found := self.find(number)).state in wanted else None)

    async def ended(self, number: int) -> JobRow:
        return await self.wait_for(number, "succeeded", "failed", "cancelled")

    def events(self, number: int) -> list[dict[str, object]]:
        with self.database.reading() as connection:
            return [event.data for event in job_events.list_after(connection, number, 0)]

    def states(self, number: int) -> list[object]:
        return [data["state"] for data in self.events(number) if "state" in data]

    def cancel(self, number: int) -> None:
        with self.database.transaction() as connection:
            jobs.cancel(connection, "main", number)
        self.lab.bell.ring()

    def notes(self) -> list[str]:
        """What attempts have written into the database: jobs of the kind "note" that nobody runs."""
        with self.database.reading() as connection:
            return [row.network or "" for row in jobs.list_page(connection, "main", kind="note")][::-1]


async def eventually(look: Callable[[], object]) -> object:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (found := look()):  # noqa: ASYNC110  # a row tells nobody that it changed
            await asyncio.sleep(0.01)
    return found


def note(connection: Connection, text: str) -> None:
    jobs.insert(connection, NewJob("main", "note", b"", network=text))


def answer(body: bytes = b"done") -> Answer:
    return Answer(200, [["content-type", "text/plain"]], body)


def writing(text: str) -> Write:
    def write(connection: Connection) -> Answer:
        note(connection, text)
        return answer(text.encode())

    return write


class Attempts:
    """A kind whose attempts do one thing after the other: raise an error, or succeed."""

    def __init__(self, *outcomes: Exception | str) -> None:
        self.outcomes = list(outcomes)

    async def __call__(self, job: JobContext) -> Write:
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return writing(outcome)


async def forever(job: JobContext) -> Write:
    await asyncio.Event().wait()
    raise AssertionError("it has no end")


@pytest.fixture
def laboratory(database):
    heads = HeadReader(database)
    yield Laboratory(database, heads)
    heads.close()


DIED = Unavailable("The worker was killed.", code="worker-died")


def test_the_result_and_the_end_of_a_job_are_one_transaction(laboratory):
    async def broken(job: JobContext) -> Write:
        def write(connection: Connection) -> Answer:
            note(connection, "must not be")
            raise Unprocessable("it does not fit", code="shape-mismatch")

        return write

    async def scenario() -> None:
        async with laboratory.running(good=Attempts("one"), broken=broken):
            good, bad = laboratory.add("good"), laboratory.add("broken")
            assert (await laboratory.ended(good)).state == "succeeded"
            row = await laboratory.ended(bad)
            assert (row.state, row.attempts) == ("failed", 1)
            assert msgspec.json.decode(row.failure, type=Failure).code == "shape-mismatch"
        assert laboratory.notes() == ["one"]

    asyncio.run(scenario())


@pytest.mark.parametrize("error", [Unprocessable("wrong"), LabError("odd"), RuntimeError("a slip of ours")])
def test_an_error_of_the_job_is_told_and_not_tried_again(laboratory, error):
    async def scenario() -> None:
        async with laboratory.running(kind=Attempts(error, "never")):
            row = await laboratory.ended(laboratory.add("kind"))
            assert (row.state, row.attempts, row.deaths) == ("failed", 1, 0)
            failure = msgspec.json.decode(row.failure, type=Failure)
            assert "a slip of ours" not in failure.detail
        assert laboratory.notes() == []

    asyncio.run(scenario())


def test_one_death_of_a_worker_is_tried_again_and_two_are_the_end(laboratory):
    async def scenario() -> None:
        async with laboratory.running(once=Attempts(DIED, "made it"), twice=Attempts(DIED, DIED, "never")):
            once, twice = laboratory.add("once"), laboratory.add("twice")
            assert (await laboratory.ended(once)).state == "succeeded"
            row = await laboratory.ended(twice)
        assert (row.state, row.attempts, row.deaths) == ("failed", 2, 2)
        failure = msgspec.json.decode(row.failure, type=Failure)
        assert failure.code == "worker-died"
        assert "The worker was killed." in failure.detail
        assert laboratory.states(once) == ["queued", "running", "queued", "running", "succeeded"]
        assert laboratory.states(twice) == ["queued", "running", "queued", "running", "failed"]
        assert laboratory.notes() == ["made it"]

    asyncio.run(scenario())


def test_what_is_away_for_a_moment_does_not_count_as_an_attempt(laboratory):
    async def scenario() -> None:
        async with laboratory.running(kind=Attempts(Unavailable("no worker yet"), Busy("full"), "made it")):
            row = await laboratory.ended(laboratory.add("kind"))
        assert (row.state, row.attempts, row.deaths) == ("succeeded", 1, 0)

    asyncio.run(scenario())


def test_an_attempt_whose_head_moved_is_made_again_on_the_new_head(laboratory):
    seen: list[int] = []

    async def kind(job: JobContext) -> Write:
        head = await job.network()
        seen.append(head.revision)

        def write(connection: Connection) -> Answer:
            if head.revision < 3:
                raise HeadMoved("another was quicker")
            note(connection, f"on {head.revision}")
            return answer()

        with laboratory.database.transaction() as connection:
            revisions.advance_head(connection, network.id, head.revision, next_revision(network, head.revision + 1))
        return write

    with laboratory.database.transaction() as connection:
        network = add_network(connection)

    async def scenario() -> None:
        async with laboratory.running(kind=kind):
            row = await laboratory.ended(laboratory.add("kind", network_id=network.id, network="net"))
        assert (row.state, row.attempts) == ("succeeded", 1)
        assert seen == [1, 2, 3]
        assert laboratory.notes() == ["on 3"]

    asyncio.run(scenario())


def test_what_runs_is_looked_at_in_the_event_loop_alone(laboratory):
    class OfTheLoop(dict):
        """What runs; it changes in the event loop, so another thread may not walk through it."""

        def values(self):
            assert threading.current_thread() is threading.main_thread()
            return super().values()

    async def scenario() -> None:
        async with laboratory.running(kind=Attempts("on")) as runner:
            runner._running = OfTheLoop(runner._running)
            assert (await laboratory.ended(laboratory.add("kind"))).state == "succeeded"

    asyncio.run(scenario())


def test_no_other_job_waits_for_a_training_and_trainings_wait_for_one_another(laboratory):
    over = asyncio.Event()

    async def train(job: JobContext) -> Write:
        await over.wait()
        return writing("trained")

    async def quick(job: JobContext) -> Write:
        return writing("done")

    async def scenario() -> None:
        async with laboratory.running(train=train, quick=quick):
            trainings = [laboratory.add("train") for _ in range(len(laboratory.pool.devices) + 1)]
            await laboratory.wait_for(trainings[0], "running")
            assert (await laboratory.ended(laboratory.add("quick"))).state == "succeeded"
            assert laboratory.find(trainings[-1]).state == "queued"
            over.set()
            assert (await laboratory.ended(trainings[-1])).state == "succeeded"

    asyncio.run(scenario())


def test_cancelling_ends_a_running_attempt_and_a_waiting_job_never_begins(laboratory):
    reached: list[str] = []

    async def stubborn(job: JobContext) -> Write:
        try:
            await asyncio.Event().wait()
        finally:
            reached.append("cancelled")
        raise AssertionError

    async def scenario() -> None:
        async with laboratory.running(stubborn=stubborn, kind=Attempts("next")):
            running, waiting = laboratory.add("stubborn"), laboratory.add("stubborn")
            await laboratory.wait_for(running, "running")
            laboratory.cancel(waiting)
            laboratory.cancel(running)
            await eventually(lambda: reached)
            assert (await laboratory.ended(laboratory.add("kind"))).state == "succeeded"
        assert reached == ["cancelled"]
        assert laboratory.states(waiting) == ["queued", "cancelled"]
        assert laboratory.states(running) == ["queued", "running", "cancelled"]

    asyncio.run(scenario())


def test_a_cancelled_attempt_that_comes_to_its_end_all_the_same_leaves_nothing(laboratory):
    async def kind(job: JobContext) -> Write:
        with laboratory.database.transaction() as connection:
            jobs.cancel(connection, "main", job.job.number)
        return writing("must not be")

    async def scenario() -> None:
        async with laboratory.running(kind=kind):
            row = await laboratory.ended(laboratory.add("kind"))
            assert row.state == "cancelled"
        assert laboratory.notes() == []

    asyncio.run(scenario())


def test_a_stop_lets_jobs_end_that_can_and_puts_the_others_back_unharmed(laboratory):
    may_end = asyncio.Event()

    async def patient(job: JobContext) -> Write:
        await may_end.wait()
        return writing("ended in time")

    async def scenario() -> None:
        async with laboratory.running(drain_seconds=0.5, patient=patient, forever=forever) as runner:
            quick = laboratory.add("patient")
            await laboratory.wait_for(quick, "running")
            asyncio.get_running_loop().call_later(0.1, may_end.set)
            waiting = laboratory.add("patient")
            await runner.stop(5.0)
            assert laboratory.find(quick).state == "succeeded"
            assert (laboratory.find(waiting).state, laboratory.find(waiting).attempts) == ("queued", 0)
        laboratory.lab.stopping.clear()
        async with laboratory.running(drain_seconds=0.1, patient=patient, forever=forever):
            await laboratory.ended(waiting)
            endless = laboratory.add("forever")
            await laboratory.wait_for(endless, "running")
        row = laboratory.find(endless)
        assert (row.state, row.attempts, row.deaths) == ("queued", 0, 0)
        assert laboratory.events(endless)[-1]["reason"] == "the service stopped"

    asyncio.run(scenario())


def test_a_job_whose_service_died_is_run_by_another_and_the_dead_one_can_do_nothing(laboratory):
    async def kind(job: JobContext) -> Write:
        with pytest.raises(LeaseLost), laboratory.database.transaction() as connection:
            leases.finish(connection, dead.lease)
        return writing("once")

    with laboratory.database.transaction() as connection:
        jobs.insert(connection, NewJob("main", "kind", b""))
        dead = leases.claim(connection, kinds=["kind"], lease_seconds=0.3)
    assert dead is not None

    async def scenario() -> None:
        async with laboratory.running(kind=kind):
            row = await laboratory.ended(dead.job.number)
        assert (row.state, row.attempts, row.deaths) == ("succeeded", 2, 1)
        assert laboratory.notes() == ["once"]

    laboratory.lab = Laboratory(laboratory.database, laboratory.lab.heads, job_lease_seconds=0.3).lab
    asyncio.run(scenario())


def test_a_lease_is_renewed_for_as_long_as_the_job_runs(laboratory):
    async def slow(job: JobContext) -> Write:
        await asyncio.sleep(1.5)
        return writing("once")

    laboratory.lab = Laboratory(laboratory.database, laboratory.lab.heads, job_lease_seconds=0.5).lab

    async def scenario() -> None:
        async with laboratory.running(slow=slow):
            row = await laboratory.ended(laboratory.add("slow"))
        assert (row.state, row.attempts, row.deaths) == ("succeeded", 1, 0)

    asyncio.run(scenario())


def test_two_runners_on_one_database_run_each_job_once(laboratory):
    async def kind(job: JobContext) -> Write:
        await asyncio.sleep(0.01)
        return writing(str(job.job.number))

    other = Laboratory(laboratory.database, laboratory.lab.heads)

    async def scenario() -> None:
        numbers = [laboratory.add("kind") for _ in range(20)]
        async with laboratory.running(kind=kind), other.running(kind=kind):
            for number in numbers:
                assert (await laboratory.ended(number)).attempts == 1
        assert sorted(laboratory.notes()) == sorted(map(str, numbers))

    asyncio.run(scenario())


def test_a_checkpoint_is_kept_at_once_and_the_next_attempt_goes_on_from_it(laboratory):
    resumed: list[tuple[bytes | None, dict[str, str]]] = []

    async def training(job: JobContext) -> Write:
        resumed.append((job.resume, await job.manifests()))
        epoch = int(job.resume or b"0") + 1
        if epoch < 5:
            await job.checkpoint(
                lambda connection: note(connection, f"epoch {epoch}"),
                note=str(epoch).encode(),
                manifests={"optimizer": OTHER_MANIFEST},
            )
            raise DIED
        return writing("trained")

    with laboratory.database.transaction() as connection:
        add_network(connection)

    async def scenario() -> None:
        async with laboratory.running(training=training):
            row = await laboratory.ended(laboratory.add("training"))
        assert (row.state, row.attempts) == ("succeeded", 5)
        assert laboratory.notes() == ["epoch 1", "epoch 2", "epoch 3", "epoch 4", "trained"]
        kept = {"optimizer": OTHER_MANIFEST}
        assert resumed == [(None, {}), *((str(epoch).encode(), kept) for epoch in (1, 2, 3, 4))]

    asyncio.run(scenario())


def test_of_progress_told_in_quick_succession_the_newest_is_written_and_the_last_one_always(laboratory, monkeypatch):
    monkeypatch.setattr(job_context, "PROGRESS_SECONDS", 0.1)

    async def kind(job: JobContext) -> Write:
        for step in range(1000):
            job.progress(step / 1000, step=step)
            if step % 100 == 0:
                await asyncio.sleep(0.03)
        return writing("done")

    async def scenario() -> None:
        async with laboratory.running(kind=kind):
            number = laboratory.add("kind")
            row = await laboratory.ended(number)
        assert row.progress == {"fraction": 0.999, "step": 999}
        steps = [data["step"] for data in laboratory.events(number) if "step" in data]
        assert steps == sorted(steps)
        assert steps[-1] == 999
        assert 2 <= len(steps) <= 20

    asyncio.run(scenario())


def test_messages_of_a_task_come_one_after_the_other_and_before_its_reply(laboratory):
    heard: list[float | None] = []

    class Telling(FakePool):
        async def submit(self, task, *, device=None, deadline_seconds=None, lane="requests", on_progress=None):
            assert lane == "jobs"
            for step in range(5):
                on_progress(Progress(fraction=step / 5, detail=b'{"step":%d}' % step))
            return await super().submit(task, device=device)

    async def hearing(job: JobContext) -> Write:
        async def hear(progress: Progress) -> None:
            await asyncio.sleep(0.01)
            heard.append(progress.fraction)

        assert await job.submit(TASK, on_progress=hear) == REPLY
        heard.append(None)
        return writing("done")

    async def telling(job: JobContext) -> Write:
        await job.submit(TASK)
        return writing("done")

    async def failing(job: JobContext) -> Write:
        async def fail(progress: Progress) -> None:
            raise Unprocessable("not so")

        await job.submit(TASK, on_progress=fail)
        raise AssertionError

    pool = Telling({ReadCatalog: REPLY})
    laboratory.lab = Lab(
        settings=laboratory.lab.settings,
        database=laboratory.database,
        heads=laboratory.lab.heads,
        pool=pool,
    )

    async def scenario() -> None:
        async with laboratory.running(hearing=hearing, telling=telling, failing=failing):
            assert (await laboratory.ended(laboratory.add("hearing"))).state == "succeeded"
            assert (await laboratory.ended(laboratory.add("telling"))).progress == {"fraction": 0.8, "step": 4}
            assert (await laboratory.ended(laboratory.add("failing"))).state == "failed"
        assert heard == [0.0, 0.2, 0.4, 0.6, 0.8, None]

    asyncio.run(scenario())


def test_a_large_answer_is_in_the_store_and_a_small_one_in_the_row(laboratory):
    large = bytes(range(256)) * (INLINE_BYTES // 256 + 1)

    async def kind(job: JobContext) -> Write:
        kept = await job.keep(answer(await job.body() or large))
        return lambda _: kept

    async def scenario() -> None:
        async with laboratory.running(kind=kind):
            small, big = laboratory.add("kind", body=b"small"), laboratory.add("kind")
            await laboratory.ended(small)
            await laboratory.ended(big)
        with laboratory.database.reading() as connection:
            assert jobs.read_result(connection, small) == b"small"
            assert jobs.read_result(connection, big) is None
            manifest = jobs.find_manifests(connection, big)["result"]
        assert await read_bytes(laboratory.lab, manifest) == large

    asyncio.run(scenario())


def test_a_database_that_is_away_at_the_end_costs_neither_an_attempt_nor_the_work(laboratory):
    worked: list[int] = []
    away = [Unavailable("the database does not answer"), Busy("it has too much to do")]

    async def kind(job: JobContext) -> Write:
        worked.append(job.job.attempts)

        def write(connection: Connection) -> Answer:
            note(connection, "once")
            if away:
                raise away.pop()
            return answer()

        return write

    async def scenario() -> None:
        async with laboratory.running(kind=kind):
            row = await laboratory.ended(laboratory.add("kind"))
        assert (row.state, row.attempts, row.deaths) == ("succeeded", 1, 0)
        assert worked == [1]
        assert laboratory.notes() == ["once"]

    asyncio.run(scenario())


class LosesAnswers:
    """A database that does what it is told but cannot say so, for as long as there are errors."""

    def __init__(self, database: Database, *errors: LabError) -> None:
        self._database, self._errors = database, list(errors)

    def __getattr__(self, name: str) -> object:
        return getattr(self._database, name)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with self._database.transaction() as connection:
            yield connection
        if self._errors:
            raise self._errors.pop()


@pytest.mark.parametrize("is_committed", [False, True])
def test_a_database_that_is_away_at_a_checkpoint_costs_no_work_and_it_is_kept_once(laboratory, is_committed):
    attempts: list[int] = []
    away = [Unavailable("the database does not answer"), Busy("it has too much to do")]

    def write(connection: Connection) -> None:
        note(connection, "checkpoint")
        if not is_committed and away:
            raise away.pop()

    async def kind(job: JobContext) -> Write:
        attempts.append(job.job.attempts)
        if is_committed:
            job.lab = replace(job.lab, database=LosesAnswers(job.lab.database, *away))  # type: ignore[arg-type]
        await job.checkpoint(write, note=b"1")
        return writing("end")

    async def scenario() -> None:
        async with laboratory.running(kind=kind):
            assert (await laboratory.ended(laboratory.add("kind"))).state == "succeeded"
        assert attempts == [1]
        assert laboratory.notes() == ["checkpoint", "end"]

    asyncio.run(scenario())


@pytest.mark.parametrize("error", [Unavailable("away"), Busy("at work"), StorageFull("full")])
def test_what_is_only_shown_is_lost_with_a_database_that_is_away_or_full_and_the_work_goes_on(laboratory, error):
    def write(connection: Connection) -> None:
        raise error

    async def kind(job: JobContext) -> Write:
        await job.record(write)
        return writing("end")

    async def scenario() -> None:
        async with laboratory.running(kind=kind):
            row = await laboratory.ended(laboratory.add("kind"))
        assert (row.state, row.attempts) == ("succeeded", 1)

    asyncio.run(scenario())


def test_a_follower_hears_that_there_is_nothing_to_hear_and_what_comes_at_once(laboratory):
    may_end = asyncio.Event()

    async def kind(job: JobContext) -> Write:
        await may_end.wait()
        return writing("done")

    async def scenario() -> None:
        laboratory.lab = Laboratory(laboratory.database, laboratory.lab.heads, job_poll_seconds=60.0).lab
        async with laboratory.running(kind=kind):
            row = laboratory.find(laboratory.add("kind"))
            heard: list[object] = []
            async with asyncio.timeout(PATIENCE_SECONDS):
                async for event in follow_job(laboratory.lab, row, 0, idle_seconds=0.2):
                    heard.append(event and event.data["state"])
                    if heard.count(None) == 2:
                        may_end.set()
        assert [state for state in heard if state] == ["queued", "running", "succeeded"]
        assert heard.count(None) >= 2

    asyncio.run(scenario())


def test_a_job_of_another_workspace_does_not_exist(laboratory):
    number = str(laboratory.add("kind"))
    stranger = replace(laboratory.lab, workspace="other")

    async def scenario() -> None:
        for ask in (find_job, cancel_job, delete_job, find_result):
            with pytest.raises(NotFound):
                await ask(stranger, number)
        assert await list_jobs(stranger, JobFilter(), before=None, limit=10) == []
        assert (await cancel_job(laboratory.lab, number)).state == "cancelled"

    asyncio.run(scenario())


@pytest.mark.parametrize("broken", ["claim", "heartbeat", "reap"])
def test_the_runner_goes_on_after_a_statement_that_fails_in_a_way_nobody_foresaw(laboratory, monkeypatch, broken):
    works = getattr(leases, broken)
    failures = [RuntimeError("a slip of ours")]

    def fail_once(*arguments: object, **named: object) -> object:
        if failures:
            raise failures.pop()
        return works(*arguments, **named)

    monkeypatch.setattr(leases, broken, fail_once)
    laboratory.lab = Laboratory(laboratory.database, laboratory.lab.heads, job_lease_seconds=0.6).lab

    async def slow(job: JobContext) -> Write:
        await asyncio.sleep(1.2)
        return writing("once")

    async def scenario() -> None:
        async with laboratory.running(slow=slow):
            row = await laboratory.ended(laboratory.add("slow"))
        assert (row.state, row.attempts) == ("succeeded", 1)
        assert not failures

    asyncio.run(scenario())
