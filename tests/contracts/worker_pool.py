"""What every worker pool promises, told as tests. Each implementation has a file beside this one, with a subclass."""

import asyncio
import inspect
import os
import random
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from app.db.migrations import migrate
from app.errors import Busy, Conflict, DeadlineExceeded, Unavailable, Unprocessable
from app.messages import CheckArchitecture, Checked, KeepTensors, Kept, Lane, Progress, Release, Released, ShapeSpec
from app.pool.base import WorkerPool
from app.settings import Limits, Settings

SMALL = orjson.dumps(["Linear(20, 256)", "ReLU()", "Linear(256, 10)"])


def check(architecture: bytes = SMALL, **more: object) -> CheckArchitecture:
    return CheckArchitecture(workspace="default", architecture=architecture, pointer="/architecture", **more)


def spin(steps: int) -> CheckArchitecture:
    """A task that loops `steps` times: about 10 µs each."""
    architecture = {"inputs": ["x"], "forward": [f"for i in range({steps}):", "    x = x + 1", "return x"]}
    return check(orjson.dumps(architecture), input_shapes={"": ShapeSpec([1])})


FOREVER = 10**9
PATIENCE_SECONDS = 120
Scenario = Callable[[WorkerPool], Awaitable[None]]
Run = Callable[[Scenario], None]


@contextmanager
def running(make_pool: Callable[[Settings], WorkerPool], folder: Path, **changes: object) -> Iterator[Run]:
    """A started pool in an event loop of its own thread; what is yielded runs a scenario there."""
    settings = Settings(data_dir=folder, limits=Limits(loop_steps=FOREVER), **{"spare_workers": 0, **changes})
    migrate(settings.resolved_database_url)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def within(work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, PATIENCE_SECONDS), loop).result()

    pool = make_pool(settings)
    try:
        within(pool.start())
        try:
            yield lambda scenario: within(scenario(pool))
        finally:
            within(pool.stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class WorkerPoolContract:
    """Subclasses say how a pool is made. Most tests share one pool; those that need another kind start their own."""

    def make_pool(self, settings: Settings) -> WorkerPool:
        raise AssertionError("say how the pool is made")

    @pytest.fixture(scope="class")
    @classmethod
    def shared(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
        """Runs a scenario with a pool of one worker that the tests of a class share."""
        with running(cls().make_pool, tmp_path_factory.mktemp("pool"), deadline_seconds=40) as run:
            yield run

    def run(self, tmp_path: Path, scenario: Scenario, **changes: object) -> None:
        """Runs a scenario with a pool of its own."""
        with running(self.make_pool, tmp_path, **changes) as run:
            run(scenario)

    def test_a_task_is_answered_with_the_reply_it_names(self, shared):
        async def scenario(pool):
            reply = await pool.submit(check())
            assert isinstance(reply, Checked)
            assert reply.parameter_count == 20 * 256 + 256 + 256 * 10 + 10

        shared(scenario)

    def test_the_error_of_a_task_is_raised_as_the_error_it_was(self, shared):
        async def scenario(pool):
            with pytest.raises(Unprocessable) as caught:
                await pool.submit(check(orjson.dumps("Linaer(1, 2)")))
            assert caught.value.code == "unknown-layer"
            assert caught.value.places[0].pointer == "/architecture"

        shared(scenario)

    def test_each_device_has_a_worker_and_a_task_runs_where_it_is_sent(self, tmp_path):
        async def scenario(pool):
            assert pool.devices == ["cpu:0", "cpu:1"]
            for device in pool.devices:
                released = await pool.submit(Release(), device=device)
                assert isinstance(released, Released)
                assert released.device == device
            await wait_until(lambda: pool.ready)
            pids = [worker.pid for worker in await pool.workers()]
            assert len(set(pids)) == 2
            assert os.getpid() not in pids

        self.run(tmp_path, scenario, devices="cpu:0,cpu:1")

    def test_a_device_that_is_not_there_is_a_conflict_that_lists_those_present(self, shared):
        async def scenario(pool):
            with pytest.raises(Conflict, match="cpu:0") as caught:
                await pool.submit(Release(), device="cpu:7")
            assert caught.value.code == "absent-device"

        shared(scenario)

    def test_answers_belong_to_their_tasks_when_many_are_under_way(self, shared):
        async def scenario(pool):
            sizes = range(1, 101)
            replies = await asyncio.gather(*(pool.submit(check(orjson.dumps(f"Linear({n}, 1)"))) for n in sizes))
            assert [reply.parameter_count for reply in replies] == [n + 1 for n in sizes]

        shared(scenario)

    def test_a_worker_killed_at_work_is_replaced_and_its_task_is_tried_again(self, shared):
        async def scenario(pool):
            await pool.submit(check())
            before = (await pool.workers())[0]
            at_work = asyncio.ensure_future(pool.submit(spin(30_000)))
            behind = asyncio.ensure_future(pool.submit(check()))
            await asyncio.sleep(0.1)
            os.kill(before.pid, signal.SIGKILL)
            assert (await at_work).output_shapes["output"].shape == [1]
            assert (await behind).parameter_count > 0
            after = (await pool.workers())[0]
            assert after.pid != before.pid
            assert after.restarts == before.restarts + 1

        shared(scenario)

    def test_a_task_that_two_workers_died_on_fails_with_the_cause_and_its_neighbour_does_not(self, shared):
        async def scenario(pool):
            await pool.submit(check())
            deadly = asyncio.ensure_future(pool.submit(spin(FOREVER)))
            neighbour = asyncio.ensure_future(pool.submit(check()))
            killed: set[int] = set()
            for _ in range(2):
                killed.add(pid := await ready_pid(pool, other_than=killed))
                await asyncio.sleep(0.2)
                os.kill(pid, signal.SIGKILL)
            with pytest.raises(Unavailable) as caught:
                await deadly
            assert caught.value.code == "worker-died"
            assert "SIGKILL" in caught.value.detail
            assert (await neighbour).parameter_count > 0

        shared(scenario)

    def test_a_task_past_its_deadline_is_stopped_and_the_next_one_is_served(self, shared):
        async def scenario(pool):
            await pool.submit(check())
            started = time.monotonic()
            with pytest.raises(DeadlineExceeded):
                await pool.submit(spin(FOREVER), deadline_seconds=0.5)
            assert time.monotonic() - started < 15
            assert (await pool.submit(check())).parameter_count > 0

        shared(scenario)

    def test_a_finished_task_is_answered_before_the_next_one_ends(self, tmp_path):
        async def scenario(pool):
            await pool.submit(check())
            ahead = [asyncio.ensure_future(pool.submit(task)) for task in (spin(1_000), check())]
            behind = asyncio.ensure_future(pool.submit(spin(FOREVER)))
            for quick in ahead:
                assert (await quick).parameter_count >= 0
            assert not behind.done()
            await pool.stop()
            with pytest.raises(Unavailable):
                await behind

        self.run(tmp_path, scenario, drain_seconds=0.2, deadline_seconds=60)

    def test_waiting_tasks_that_nobody_waits_for_any_more_are_not_run(self, shared):
        async def scenario(pool):
            await pool.submit(check())
            given_up = [asyncio.ensure_future(pool.submit(spin(500))) for _ in range(200)]
            await asyncio.sleep(0)
            before = (await pool.workers())[0].tasks_done
            for task in given_up:
                task.cancel()
            assert (await pool.submit(check())).parameter_count > 0
            assert (await pool.workers())[0].tasks_done < before + 100  # those the worker held already, and ours
            assert (await pool.workers())[0].queue == 0

        shared(scenario)

    def test_too_many_waiting_tasks_are_refused_at_once(self, tmp_path):
        async def scenario(pool):
            await pool.submit(check())
            waiting = [asyncio.ensure_future(pool.submit(spin(3_000))) for _ in range(4)]
            await asyncio.sleep(0)
            with pytest.raises(Busy) as caught:
                await pool.submit(check())
            assert caught.value.extra["retry_after_seconds"] > 0
            await asyncio.gather(*waiting)
            await pool.submit(check())

        self.run(tmp_path, scenario, queue_length=4)

    def test_a_running_task_that_nobody_waits_for_any_more_is_broken_off_and_its_neighbours_are_not(self, shared):
        async def scenario(pool):
            await pool.submit(check())
            before = (await pool.workers())[0]
            for _ in range(5):
                running = asyncio.ensure_future(pool.submit(spin(FOREVER)))
                behind = [asyncio.ensure_future(pool.submit(spin(50))) for _ in range(3)]
                await asyncio.sleep(0.1)
                running.cancel()
                for neighbour in behind:
                    assert (await neighbour).output_shapes["output"].shape == [1]
            after = (await pool.workers())[0]
            assert (after.pid, after.restarts) == (before.pid, before.restarts)
            assert after.tasks_done == before.tasks_done + 15
            assert after.queue == 0

        shared(scenario)

    def test_a_withdrawal_that_comes_at_any_moment_never_harms_the_next_task(self, shared):
        async def scenario(pool):
            await pool.submit(check())
            pid = (await pool.workers())[0].pid
            chance = random.Random(0)
            for _ in range(60):
                withdrawn = asyncio.ensure_future(pool.submit(spin(chance.randrange(1, 200))))
                behind = asyncio.ensure_future(pool.submit(spin(20)))
                await asyncio.sleep(chance.random() * 0.008)
                withdrawn.cancel()
                assert (await behind).output_shapes["output"].shape == [1]
            assert (await pool.workers())[0].pid == pid

        shared(scenario)

    def test_a_withdrawn_task_that_goes_on_is_stopped_at_its_deadline(self, tmp_path):
        async def scenario(pool):
            await pool.submit(check(), deadline_seconds=30)
            pid = (await pool.workers())[0].pid
            running = asyncio.ensure_future(pool.submit(spin(FOREVER), deadline_seconds=60))
            await asyncio.sleep(0.1)
            os.kill(pid, signal.SIGSTOP)
            running.cancel()
            assert (await pool.submit(check(), deadline_seconds=30)).parameter_count > 0
            assert (await pool.workers())[0].pid != pid

        self.run(tmp_path, scenario, deadline_seconds=1)

    def test_what_a_task_tells_while_it_runs_comes_before_its_reply(self, shared, tmp_path):
        file = tmp_path / "three.npz"
        np.savez(file, **{name: np.arange(4) for name in "abc"})

        async def scenario(pool):
            heard: list[Progress] = []
            reply = await pool.submit(KeepTensors("npz", path=str(file)), on_progress=heard.append)
            assert isinstance(reply, Kept)
            assert [orjson.loads(progress.detail) for progress in heard] == [{"tensors": n} for n in (1, 2, 3)]
            assert isinstance(await pool.submit(KeepTensors("npz", path=str(file))), Kept)

        shared(scenario)

    def test_a_listener_that_fails_harms_nobody(self, shared, tmp_path):
        file = tmp_path / "one.npz"
        np.savez(file, a=np.arange(4))

        async def scenario(pool):
            asyncio.get_running_loop().set_exception_handler(lambda *_: None)
            await pool.submit(check())
            pid = (await pool.workers())[0].pid
            reply = await pool.submit(KeepTensors("npz", path=str(file)), on_progress=lambda _: 1 / 0)
            assert isinstance(reply, Kept)
            assert (await pool.workers())[0].pid == pid

        shared(scenario)

    def test_a_job_has_a_worker_of_its_own_and_no_request_waits_for_it(self, tmp_path):
        async def scenario(pool):
            await pool.submit(check())
            job = asyncio.ensure_future(pool.submit(spin(FOREVER), lane="jobs", device="cpu:0"))
            await ready_pid(pool, lane="jobs")
            workers = await pool.workers()
            assert [worker.lane for worker in workers] == ["requests", "jobs"]
            assert [worker.device for worker in workers] == ["cpu:0", "cpu:0"]
            for _ in range(10):
                assert (await pool.submit(check(), deadline_seconds=5)).parameter_count > 0
            assert not job.done()
            job.cancel()
            assert (await pool.submit(check(), lane="jobs")).parameter_count > 0
            await wait_until(lambda: alone(pool))  # it ends when there was no job for a while
            assert (await pool.submit(check(), lane="jobs")).parameter_count > 0

        self.run(tmp_path, scenario, job_idle_seconds=1)

    def test_no_other_job_waits_for_a_training(self, shared):
        async def scenario(pool):
            training = asyncio.ensure_future(pool.submit(spin(FOREVER), lane="training", device="cpu:0"))
            await ready_pid(pool, lane="training")
            for lane in ("requests", "jobs"):
                assert (await pool.submit(check(), lane=lane, device="cpu:0")).parameter_count > 0
            assert not training.done()
            training.cancel()

        shared(scenario)

    def test_a_job_whose_worker_died_is_not_tried_again_by_the_pool(self, shared):
        async def scenario(pool):
            job = asyncio.ensure_future(pool.submit(spin(FOREVER), lane="jobs"))
            behind = asyncio.ensure_future(pool.submit(check(), lane="jobs"))
            pid = await ready_pid(pool, lane="jobs")
            await asyncio.sleep(0.2)
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(Unavailable) as caught:
                await job
            assert caught.value.code == "worker-died"
            assert (await behind).parameter_count > 0

        shared(scenario)

    def test_nothing_hangs_when_the_pool_stops(self, tmp_path):
        async def scenario(pool):
            await pool.submit(check())
            left_behind = asyncio.ensure_future(pool.submit(spin(FOREVER)))
            await asyncio.sleep(0.1)
            await pool.stop()
            with pytest.raises(Unavailable):
                await left_behind

        self.run(tmp_path, scenario, drain_seconds=0.2)


async def ready_pid(pool: WorkerPool, *, lane: Lane = "requests", other_than: Collection[int] = ()) -> int:
    """The process of the first worker of a lane, as soon as it answers and is none of `other_than`."""
    found: list[int] = []

    async def is_there() -> bool:
        workers = [worker for worker in await pool.workers() if worker.lane == lane and worker.state == "ready"]
        found.extend(worker.pid for worker in workers[:1] if worker.pid is not None and worker.pid not in other_than)
        return bool(found)

    await wait_until(is_there)
    return found[0]


async def alone(pool: WorkerPool) -> bool:
    return len(await pool.workers()) == 1


async def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    """`condition` may give what has to be awaited."""
    deadline = time.monotonic() + seconds
    while True:
        held = condition()
        if await held if inspect.isawaitable(held) else held:
            return
        assert time.monotonic() < deadline, "waited too long"
        await asyncio.sleep(0.05)
