"""Worker processes kept ready: they have loaded PyTorch and wait to be told what they are.

Loading takes seconds; with a spare a worker that died has a successor at once, and so has a job its worker. Used by
`slot.py`; filled up by `local.py` when nothing else starts.
"""

import asyncio
import logging
import time

from app.pool.process import WorkerProcess

logger = logging.getLogger(__name__)

REFILL_SECONDS = 2.0  # after one was taken, or could not be started


class Spares:
    """Up to `count` spare processes."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._spares: list[WorkerProcess] = []
        self._quiet_since = time.monotonic()

    async def take(self) -> WorkerProcess:
        """A process that nobody has begun to use: a spare, or a new one. Raises: OSError."""
        self._quiet_since = time.monotonic()
        while self._spares:
            spare = self._spares.pop(0)
            if spare.is_there:
                return spare
        process = WorkerProcess()
        await process.spawn()
        return process

    async def fill(self, now: float) -> None:
        """Starts one where one is missing, a while after the last was taken."""
        if now - self._quiet_since < REFILL_SECONDS:
            return
        self._spares = [spare for spare in self._spares if spare.is_there]
        if len(self._spares) < self._count:
            process = WorkerProcess()
            try:
                await process.spawn()
                self._spares.append(process)
            except OSError:
                logger.exception("could not start a spare process")
                self._quiet_since = now

    async def stop(self) -> None:
        spares, self._spares = self._spares, []
        for spare in spares:
            spare.kill()
        await asyncio.gather(*(spare.wait(0) for spare in spares))
