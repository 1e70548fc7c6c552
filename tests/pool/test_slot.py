"""What a slot does when its worker does what no good worker does. Real processes, and the faults are real."""

import asyncio
import os
from collections.abc import Awaitable, Callable

import orjson
import pytest

from app.db.migrations import migrate
from app.errors import LabError
from app.messages import CheckArchitecture, Release, ShapeSpec, Task
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
        settings = Settings(data_dir=tmp_path, limits=Limits(loop_steps=FOREVER), **{"spare_workers": 0, **changes})
        migrate(settings.resolved_database_url)

        async def main() -> None:
            pool = LocalPool(settings)
            await pool.start()
            try:
                await asyncio.wait_for(scenario(pool), 60)
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
