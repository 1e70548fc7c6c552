"""The pool of this machine keeps the contract of worker pools, and has spares."""

import asyncio
import os
import signal

import pytest

from app.errors import Unavailable
from app.messages import Release
from app.pool import spares
from app.pool.base import WorkerPool
from app.pool.local import LocalPool
from app.settings import Settings
from tests.contracts.worker_pool import WorkerPoolContract, check, wait_until

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


class TestLocalPool(WorkerPoolContract):
    def make_pool(self, settings: Settings) -> WorkerPool:
        return LocalPool(settings)

    def test_a_worker_whose_device_failed_is_replaced_and_the_tasks_behind_are_not_to_blame(
        self, tmp_path, monkeypatch
    ):
        (tmp_path / "sitecustomize.py").write_text(POISON)
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")

        async def scenario(pool):
            for lane in ("requests", "jobs", "training"):
                await pool.submit(check(), lane=lane)
                before = (await pool.workers())[-1]
                poison = asyncio.ensure_future(pool.submit(Release(networks=["poison"]), lane=lane))
                behind = [asyncio.ensure_future(pool.submit(check(), lane=lane)) for _ in range(3)]
                with pytest.raises(Unavailable) as caught:
                    await poison
                assert caught.value.code == "device-failed"
                assert "device-side assert" in caught.value.detail
                for neighbour in behind:
                    assert (await neighbour).parameter_count > 0
                after = (await pool.workers())[-1]
                assert after.pid != before.pid
                assert after.restarts == 1

        self.run(tmp_path, scenario)

    def test_a_spare_stands_in_at_once_for_a_worker_that_died(self, tmp_path, monkeypatch):
        monkeypatch.setattr(spares, "REFILL_SECONDS", 0.05)

        async def scenario(pool):
            await pool.submit(check())
            for _ in range(2):
                await wait_until(lambda: [spare.is_there for spare in pool._spares._spares] == [True])
                spare = pool._spares._spares[0].pid
                os.kill((await pool.workers())[0].pid, signal.SIGKILL)
                assert (await pool.submit(check())).parameter_count > 0
                assert (await pool.workers())[0].pid == spare

        self.run(tmp_path, scenario, spare_workers=1)

    def test_a_spare_that_died_itself_is_passed_over(self, tmp_path, monkeypatch):
        monkeypatch.setattr(spares, "REFILL_SECONDS", 0.05)

        async def scenario(pool):
            await pool.submit(check())
            await wait_until(lambda: [spare.is_there for spare in pool._spares._spares] == [True])
            os.kill(pool._spares._spares[0].pid, signal.SIGKILL)
            await wait_until(lambda: not pool._spares._spares[0].is_there)
            os.kill((await pool.workers())[0].pid, signal.SIGKILL)
            assert (await pool.submit(check())).parameter_count > 0

        self.run(tmp_path, scenario, spare_workers=1)
