"""What every worker pool promises, told as tests; one subclass per implementation."""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import numpy as np
import orjson
import pytest

from app.db.migrations import migrate
from app.errors import Busy, Conflict, DeadlineExceeded, Unavailable, Unprocessable
from app.messages import CheckArchitecture, Checked, KeepTensors, Kept, Progress, Release, Released, ShapeSpec
from app.pool import spares
from app.pool.base import WorkerPool
from app.pool.local import LocalPool
from app.settings import Limits, Settings

SMALL = orjson.dumps(["Linear(20, 256)", "ReLU()", "Linear(256, 10)"])


def check(architecture: bytes = SMALL, **more: object) -> CheckArchitecture:
    return CheckArchitecture(workspace="default", architecture=architecture, pointer="/architecture", **more)


def spin(steps: int) -> CheckArchitecture:
    """A task that loops `steps` times: about 10 µs each."""
    architecture = {"inputs": ["x"], "forward": [f"for i in range({steps}):", "    x = x + 1", "return x"]}
    return check(orjson.dumps(architecture), input_shapes={"": ShapeSpec([1])})


FOREVER = 10**9
POISON = """
import sys
if "app.worker.process" in sys.orig_argv:
    import torch
    from app.messages import Release
    from app.worker.handlers import HANDLERS
    release = HANDLERS[Release]
    def poisoned(worker, task):
        if task.networks == ["poison"]:
            raise torch.AcceleratorError("CUDA error: device-side assert triggered")
        return release(worker, task)
    HANDLERS[Release] = poisoned
"""


class WorkerPoolContract:
    """Subclasses say how a pool is made. Every test starts one of its own."""

    def make_pool(self, settings: Settings) -> WorkerPool:
        raise AssertionError("say how the pool is made")

    def run(self, tmp_path, scenario: Callable[[WorkerPool], Awaitable[None]], **changes: object) -> None:
        settings = Settings(data_dir=tmp_path, limits=Limits(loop_steps=FOREVER), **{"spare_workers": 0, **changes})
        migrate(settings.resolved_database_url)

        @asynccontextmanager
        async def running() -> AsyncIterator[WorkerPool]:
            pool = self.make_pool(settings)
            await pool.start()
            try:
                yield pool
            finally:
                await pool.stop()

        async def main() -> None:
            async with running() as pool:
                await asyncio.wait_for(scenario(pool), 60)

        asyncio.run(main())

    def test_a_task_is_answered_with_the_reply_it_names(self, tmp_path):
        async def scenario(pool):
            reply = await pool.submit(check())
            assert isinstance(reply, Checked)
            assert reply.parameter_count == 20 * 256 + 256 + 256 * 10 + 10

        self.run(tmp_path, scenario)

    def test_the_error_of_a_task_is_raised_as_the_error_it_was(self, tmp_path):
        async def scenario(pool):
            with pytest.raises(Unprocessable) as caught:
                await pool.submit(check(orjson.dumps("Linaer(1, 2)")))
            assert caught.value.code == "unknown-layer"
            assert caught.value.places[0].pointer == "/architecture"

        self.run(tmp_path, scenario)

    def test_each_device_has_a_worker_and_a_task_runs_where_it_is_sent(self, tmp_path):
        async def scenario(pool):
            assert pool.devices == ["cpu:0", "cpu:1"]
            for device in pool.devices:
                released = await pool.submit(Release(), device=device)
                assert isinstance(released, Released)
                assert released.device == device
            assert pool.ready
            pids = [worker.pid for worker in pool.workers()]
            assert len(set(pids)) == 2
            assert os.getpid() not in pids

        self.run(tmp_path, scenario, devices="cpu:0,cpu:1")

    def test_a_device_that_is_not_there_is_a_conflict_that_lists_those_present(self, tmp_path):
        async def scenario(pool):
            with pytest.raises(Conflict, match="cpu:0") as caught:
                await pool.submit(Release(), device="cpu:7")
            assert caught.value.code == "absent-device"

        self.run(tmp_path, scenario)

    def test_answers_belong_to_their_tasks_when_many_are_under_way(self, tmp_path):
        async def scenario(pool):
            sizes = range(1, 101)
            replies = await asyncio.gather(*(pool.submit(check(orjson.dumps(f"Linear({n}, 1)"))) for n in sizes))
            assert [reply.parameter_count for reply in replies] == [n + 1 for n in sizes]

        self.run(tmp_path, scenario)

    def test_a_worker_killed_at_work_is_replaced_and_its_task_is_tried_again(self, tmp_path):
        async def scenario(pool):
            await pool.submit(check())
            [before] = pool.workers()
            at_work = asyncio.ensure_future(pool.submit(spin(30_000)))
            behind = asyncio.ensure_future(pool.submit(check()))
            await asyncio.sleep(0.1)
            os.kill(before.pid, signal.SIGKILL)
            assert (await at_work).output_shapes["output"].shape == [1]
            assert (await behind).parameter_count > 0
            [after] = pool.workers()
            assert after.pid != before.pid
            assert after.restarts == 1

        self.run(tmp_path, scenario)

    def test_a_task_that_two_workers_died_on_fails_with_the_cause_and_its_neighbour_does_not(self, tmp_path):
        async def scenario(pool):
            await pool.submit(check())
            deadly = asyncio.ensure_future(pool.submit(spin(FOREVER)))
            neighbour = asyncio.ensure_future(pool.submit(check()))
            for _ in range(2):
                await wait_until(lambda: pool.ready)
                await asyncio.sleep(0.2)
                os.kill(pool.workers()[0].pid, signal.SIGKILL)
                await wait_until(lambda: not pool.ready or deadly.done())
            with pytest.raises(Unavailable) as caught:
                await deadly
            assert caught.value.code == "worker-died"
            assert "SIGKILL" in caught.value.detail
            assert (await neighbour).parameter_count > 0

        self.run(tmp_path, scenario)

    def test_a_task_past_its_deadline_is_stopped_and_the_next_one_is_served(self, tmp_path):
        async def scenario(pool):
            await pool.submit(check())
            started = time.monotonic()
            with pytest.raises(DeadlineExceeded):
                await pool.submit(spin(FOREVER), deadline_seconds=0.5)
            assert time.monotonic() - started < 3
            assert (await pool.submit(check())).parameter_count > 0

        self.run(tmp_path, scenario)

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

    def test_waiting_tasks_that_nobody_waits_for_any_more_are_not_run(self, tmp_path):
        async def scenario(pool):
            await pool.submit(check())
            given_up = [asyncio.ensure_future(pool.submit(spin(500))) for _ in range(200)]
            await asyncio.sleep(0)
            before = pool.workers()[0].tasks_done
            for task in given_up:
                task.cancel()
            assert (await pool.submit(check())).parameter_count > 0
            assert pool.workers()[0].tasks_done < before + 100  # those the worker held already, and ours
            assert pool.workers()[0].queue == 0

        self.run(tmp_path, scenario)

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

    def test_a_running_task_that_nobody_waits_for_any_more_is_broken_off_and_its_neighbours_are_not(self, tmp_path):
        async def scenario(pool):
            await pool.submit(check())
            [before] = pool.workers()
            for _ in range(5):
                running = asyncio.ensure_future(pool.submit(spin(FOREVER)))
                behind = [asyncio.ensure_future(pool.submit(spin(50))) for _ in range(3)]
                await asyncio.sleep(0.1)
                running.cancel()
                for neighbour in behind:
                    assert (await neighbour).output_shapes["output"].shape == [1]
            [after] = pool.workers()
            assert (after.pid, after.restarts) == (before.pid, 0)
            assert after.tasks_done == before.tasks_done + 15
            assert after.queue == 0

        self.run(tmp_path, scenario)

    def test_a_withdrawal_that_comes_at_any_moment_never_harms_the_next_task(self, tmp_path):
        async def scenario(pool):
            await pool.submit(check())
            chance = random.Random(0)
            for _ in range(60):
                withdrawn = asyncio.ensure_future(pool.submit(spin(chance.randrange(1, 200))))
                behind = asyncio.ensure_future(pool.submit(spin(20)))
                await asyncio.sleep(chance.random() * 0.008)
                withdrawn.cancel()
                assert (await behind).output_shapes["output"].shape == [1]
            assert pool.workers()[0].restarts == 0

        self.run(tmp_path, scenario)

    def test_a_withdrawn_task_that_goes_on_is_stopped_at_its_deadline(self, tmp_path):
        async def scenario(pool):
            await pool.submit(check(), deadline_seconds=30)
            pid = pool.workers()[0].pid
            running = asyncio.ensure_future(pool.submit(spin(FOREVER), deadline_seconds=60))
            await asyncio.sleep(0.1)
            os.kill(pid, signal.SIGSTOP)
            running.cancel()
            assert (await pool.submit(check(), deadline_seconds=30)).parameter_count > 0
            assert pool.workers()[0].pid != pid

        self.run(tmp_path, scenario, deadline_seconds=1)

    def test_what_a_task_tells_while_it_runs_comes_before_its_reply(self, tmp_path):
        file = tmp_path / "three.npz"
        np.savez(file, **{name: np.arange(4) for name in "abc"})

        async def scenario(pool):
            heard: list[Progress] = []
            reply = await pool.submit(KeepTensors("npz", path=str(file)), on_progress=heard.append)
            assert isinstance(reply, Kept)
            assert [orjson.loads(progress.detail) for progress in heard] == [{"tensors": n} for n in (1, 2, 3)]
            assert isinstance(await pool.submit(KeepTensors("npz", path=str(file))), Kept)

        self.run(tmp_path, scenario)

    def test_a_listener_that_fails_harms_nobody(self, tmp_path):
        file = tmp_path / "one.npz"
        np.savez(file, a=np.arange(4))

        async def scenario(pool):
            asyncio.get_running_loop().set_exception_handler(lambda *_: None)
            reply = await pool.submit(KeepTensors("npz", path=str(file)), on_progress=lambda _: 1 / 0)
            assert isinstance(reply, Kept)
            assert pool.workers()[0].restarts == 0

        self.run(tmp_path, scenario)

    def test_a_job_has_a_worker_of_its_own_and_no_request_waits_for_it(self, tmp_path):
        async def scenario(pool):
            await pool.submit(check())
            job = asyncio.ensure_future(pool.submit(spin(FOREVER), lane="jobs", device="cpu:0"))
            await wait_until(lambda: [worker.state for worker in pool.workers()] == ["ready", "ready"])
            assert [worker.lane for worker in pool.workers()] == ["requests", "jobs"]
            assert [worker.device for worker in pool.workers()] == ["cpu:0", "cpu:0"]
            for _ in range(10):
                assert (await pool.submit(check(), deadline_seconds=5)).parameter_count > 0
            assert not job.done()
            job.cancel()
            assert (await pool.submit(check(), lane="jobs")).parameter_count > 0
            await wait_until(lambda: len(pool.workers()) == 1)  # it ends when there was no job for a while
            assert (await pool.submit(check(), lane="jobs")).parameter_count > 0

        self.run(tmp_path, scenario, job_idle_seconds=1)

    def test_a_job_whose_worker_died_is_not_tried_again_by_the_pool(self, tmp_path):
        async def scenario(pool):
            job = asyncio.ensure_future(pool.submit(spin(FOREVER), lane="jobs"))
            behind = asyncio.ensure_future(pool.submit(check(), lane="jobs"))
            await wait_until(lambda: pool.workers()[-1].state == "ready" and len(pool.workers()) == 2)
            await asyncio.sleep(0.2)
            os.kill(pool.workers()[1].pid, signal.SIGKILL)
            with pytest.raises(Unavailable) as caught:
                await job
            assert caught.value.code == "worker-died"
            assert (await behind).parameter_count > 0

        self.run(tmp_path, scenario)

    def test_a_worker_whose_device_failed_is_replaced_and_the_tasks_behind_are_not_to_blame(
        self, tmp_path, monkeypatch
    ):
        (tmp_path / "sitecustomize.py").write_text(POISON)
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")

        async def scenario(pool):
            for lane in ("requests", "jobs"):
                await pool.submit(check(), lane=lane)
                before = pool.workers()[-1]
                poison = asyncio.ensure_future(pool.submit(Release(networks=["poison"]), lane=lane))
                behind = [asyncio.ensure_future(pool.submit(check(), lane=lane)) for _ in range(3)]
                with pytest.raises(Unavailable) as caught:
                    await poison
                assert caught.value.code == "device-failed"
                assert "device-side assert" in caught.value.detail
                for neighbour in behind:
                    assert (await neighbour).parameter_count > 0
                after = pool.workers()[-1]
                assert after.pid != before.pid
                assert after.restarts == 1

        self.run(tmp_path, scenario)

    def test_nothing_hangs_when_the_pool_stops(self, tmp_path):
        async def scenario(pool):
            await pool.submit(check())
            left_behind = asyncio.ensure_future(pool.submit(spin(FOREVER)))
            await asyncio.sleep(0.1)
            await pool.stop()
            with pytest.raises(Unavailable):
                await left_behind

        self.run(tmp_path, scenario, drain_seconds=0.2)


async def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        await asyncio.sleep(0.02)


class TestLocalPool(WorkerPoolContract):
    def make_pool(self, settings: Settings) -> WorkerPool:
        return LocalPool(settings)

    def test_a_spare_stands_in_at_once_for_a_worker_that_died(self, tmp_path, monkeypatch):
        monkeypatch.setattr(spares, "REFILL_SECONDS", 0.05)

        async def scenario(pool):
            await pool.submit(check())
            for _ in range(2):
                await wait_until(lambda: [spare.is_there for spare in pool._spares._spares] == [True])
                spare = pool._spares._spares[0].pid
                os.kill(pool.workers()[0].pid, signal.SIGKILL)
                assert (await pool.submit(check())).parameter_count > 0
                assert pool.workers()[0].pid == spare

        self.run(tmp_path, scenario, spare_workers=1)

    def test_a_spare_that_died_itself_is_passed_over(self, tmp_path, monkeypatch):
        monkeypatch.setattr(spares, "REFILL_SECONDS", 0.05)

        async def scenario(pool):
            await pool.submit(check())
            await wait_until(lambda: [spare.is_there for spare in pool._spares._spares] == [True])
            os.kill(pool._spares._spares[0].pid, signal.SIGKILL)
            await wait_until(lambda: not pool._spares._spares[0].is_there)
            os.kill(pool.workers()[0].pid, signal.SIGKILL)
            assert (await pool.submit(check())).parameter_count > 0

        self.run(tmp_path, scenario, spare_workers=1)
