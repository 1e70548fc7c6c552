"""A bell that wakes those who wait for something to happen to a job, so that they look at once and not in a while.

It says nothing but "look": who wakes reads the database. Rung in the event loop, by services after they wrote and by
the listener for other processes.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Ear:
    """One who listens. What rings between two waits is not lost."""

    def __init__(self) -> None:
        self.rung = asyncio.Event()

    async def wait(self, timeout_seconds: float) -> None:
        """Returns when the bell has rung since the last wait, or after `timeout_seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self.rung.wait()
        self.rung.clear()


class Bell:
    """Many may listen; none is called."""

    def __init__(self) -> None:
        self._ears: set[Ear] = set()

    def ring(self) -> None:
        for ear in self._ears:
            ear.rung.set()

    @contextmanager
    def listening(self) -> Iterator[Ear]:
        ear = Ear()
        self._ears.add(ear)
        try:
            yield ear
        finally:
            self._ears.discard(ear)
