"""What a slot does when its worker does what no good worker does. Real processes, and the faults are real."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable

import orjson
import psutil
import pytest

from app.db.migrations import migrate
from app.errors import DeadlineExceeded, LabError, Unavailable
from app.messages import CheckArchitecture, Checked, Release, ShapeSpec, Task
from app.messages.withdrawals import MOST_HELD
from app.pool import slot as slots
from app.pool import spares
from app.pool.local import LocalPool
from app.settings import Limits, Settings

FOREVER = 10**9
SPOILED = """
import sys
if "app.worker.process" in sys.orig_argv:
    from app.messages import Released
    from app.worker.handlers import HANDLERS, Release
    REPLIES = {"text": Released("\\ud800", 0), "number": Released("cpu:0", 2**64), "kind": Released("cpu:0", object())}
    release = HANDLERS[Release]
    HANDLERS[Release] = lambda worker, task: REPLIES[task.networks[0]] if task.networks else release(worker, task)
"""


def spin(steps: int) -> CheckArchitecture:
    """A task that loops `steps` times: about 10 µs each."""
    architecture = {"inputs": ["x"], "forward": [f"for i in range({steps}):", "    x = x + 1", "return x"]}
    shapes = {"": ShapeSpec([1])}
    return CheckArchitecture("default", orjson.dumps(architecture), "/architecture", input_shapes=shapes)


@pytest.fixture
def run(tmp_path):
    """Runs a scenario with a pool of its own."""

    def run(scenario: Callable[[LocalPool], Awaitable[None]], **changes: object) -> None:
        usual = {"spare_workers": 0, "deadline_seconds": 90, "limits": Limits(loop_steps=FOREVER)}
        settings = Settings(data_dir=tmp_path, **{**usual, **changes})
        migrate(settings.resolved_database_url)

        async def main() -> None:
            pool = LocalPool(settings)
            await pool.start()
            try:
                await asyncio.wait_for(scenario(pool), 100)
            finally:
                await pool.stop()

        asyncio.run(main())

    return run


@pytest.fixture
def spoil(tmp_path, monkeypatch):
    """Has all workers run a text when they start."""

    def spoil(text: str) -> None:
        (tmp_path / "sitecustomize.py").write_text(text)
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")

    return spoil


def test_a_reply_that_cannot_be_sent_is_a_failure_and_the_worker_goes_on(run, spoil):
    spoil(SPOILED)

    async def scenario(pool):
        for fault in ("text", "number", "kind"):
            with pytest.raises(LabError) as caught:
                await pool.submit(Release(networks=[fault]))
            assert caught.value.code == "internal-error"
        assert await pool.submit(Release())
        assert pool._slots["cpu:0"].info().restarts == 0

    run(scenario)


@pytest.mark.parametrize("task", [Release(networks=["\ud800"]), Release(networks=[object()])], ids=["text", "kind"])  # type: ignore[list-item]
def test_a_task_that_cannot_be_sent_fails_alone(run, task: Task):
    async def scenario(pool):
        replies = await asyncio.gather(
            pool.submit(Release()), pool.submit(task), *(pool.submit(Release()) for _ in range(20)),
            return_exceptions=True,
        )  # fmt: skip
        assert [isinstance(reply, Exception) for reply in replies] == [False, True, *[False] * 20]
        assert pool._slots["cpu:0"].queue == 0

    run(scenario)


def test_who_waits_behind_a_task_that_is_stopped_is_not_to_blame(run):
    async def scenario(pool):
        await pool.submit(spin(1))
        late = asyncio.ensure_future(pool.submit(spin(200), deadline_seconds=0.5))
        behind = asyncio.ensure_future(pool.submit(spin(20_000)))
        await asyncio.sleep(0)
        time.sleep(1)  # noqa: ASYNC251  # the first reply comes meanwhile, and nobody reads it
        pool._slots["cpu:0"].sweep(time.monotonic())
        with pytest.raises(DeadlineExceeded):
            await late
        assert isinstance(await behind, Checked)
        assert pool._slots["cpu:0"].info().restarts == 1

    run(scenario)


def test_a_worker_that_does_not_end_when_it_is_killed_is_left_behind(run, monkeypatch):
    async def scenario(pool):
        slot = pool._slots["cpu:0"]
        await pool.submit(spin(1))
        process = slot._process._process
        with monkeypatch.context() as driver:  # one that hangs: a process inside it hears no signal
            driver.setattr(process, "kill", lambda: None)
            driver.setattr(process, "poll", lambda: None)
            asked = asyncio.ensure_future(pool.submit(spin(FOREVER), deadline_seconds=0.2))
            with pytest.raises(DeadlineExceeded):
                await asyncio.wait_for(asked, 10)
            assert isinstance(await pool.submit(spin(1)), Checked)
            assert slot.info().pid != process.pid
        process.kill()
        process.wait()

    run(scenario)


def test_what_a_worker_holds_when_the_pool_stops_is_answered_and_the_rest_is_told_so(run):
    async def scenario(pool):
        await pool.submit(spin(1))
        asked = [asyncio.ensure_future(pool.submit(spin(20))) for _ in range(MOST_HELD + 6)]
        await asyncio.sleep(0)
        await pool.stop()
        replies = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(reply) for reply in replies] == [*[Checked] * MOST_HELD, *[Unavailable] * 6]
        for lane in ("requests", "jobs", "training"):
            with pytest.raises(Unavailable, match="stopping"):
                await pool.submit(spin(1), lane=lane)

    run(scenario)


def test_a_worker_that_dies_of_what_it_has_not_read_is_no_surprise_to_who_waits_awake(run, monkeypatch):
    monkeypatch.setattr(slots, "ROOM_TO_WAIT_AWAKE", True)

    async def scenario(pool):
        await pool.submit(spin(1))
        slot = pool._slots["cpu:0"]
        slot._reply_seconds = 0.0
        pid = slot.info().pid
        os.kill(pid, signal.SIGSTOP)
        asked = asyncio.ensure_future(pool.submit(spin(1)))

        async def kill() -> None:
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222  # the loop is to have no turn

        await asyncio.ensure_future(kill())
        assert isinstance(await asked, Checked)
        assert slot.queue == 0

    run(scenario)


def test_a_job_that_comes_while_a_worker_dies_is_not_to_blame(run, monkeypatch):
    async def scenario(pool):
        await pool.submit(spin(1), lane="jobs")
        [slot] = pool._job_slots["cpu:0"]
        process = slot._process
        with monkeypatch.context() as driver:
            driver.setattr(process._process, "poll", lambda: None)  # it takes its time
            os.kill(process.pid, signal.SIGKILL)
            while process.is_there:  # noqa: ASYNC110  # it tells nobody when it is not
                await asyncio.sleep(0.01)
            assert isinstance(await pool.submit(spin(1), lane="jobs"), Checked)

    run(scenario)


def test_two_jobs_at_once_have_a_worker_each(run):
    async def scenario(pool):
        asked = [asyncio.ensure_future(pool.submit(spin(1), lane="jobs")) for _ in range(3)]
        await asyncio.sleep(0)
        assert [slot.queue for slot in pool._job_slots["cpu:0"]] == [2, 1]
        await pool.stop()
        assert all(isinstance(reply, Unavailable) for reply in await asyncio.gather(*asked, return_exceptions=True))
        await asyncio.sleep(0.5)  # those that were about to start
        alive = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
        assert not [child for child in alive if "app.worker.process" in child.cmdline()]

    run(scenario, job_workers=2)


@pytest.mark.parametrize("fault", [OSError, MemoryError])
def test_deadlines_are_kept_while_no_process_can_be_started(run, monkeypatch, fault):
    monkeypatch.setattr(spares, "REFILL_SECONDS", 0.0)

    def fail(*_: object, **__: object) -> None:
        raise fault

    async def scenario(pool):
        await pool.submit(spin(1))
        monkeypatch.setattr(subprocess, "Popen", fail)
        await asyncio.sleep(0.3)
        jobs = [pool.submit(spin(1), lane="jobs", deadline_seconds=0.2) for _ in range(2)]
        replies = await asyncio.gather(pool.submit(spin(FOREVER), deadline_seconds=0.2), *jobs, return_exceptions=True)
        assert all(isinstance(reply, DeadlineExceeded) for reply in replies)
        monkeypatch.undo()

    run(scenario, spare_workers=1)
