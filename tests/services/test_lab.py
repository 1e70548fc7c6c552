"""Work beside the event loop: whoever leaves waits for nothing, and threads are never more than there may be."""

import asyncio
import threading

import anyio
import pytest

from app.services.lab import in_thread


def test_a_thread_counts_until_it_has_ended_even_if_nobody_waits_for_it():
    async def main():
        limiter, go_on, seen = anyio.CapacityLimiter(1), threading.Event(), []

        def work() -> None:
            seen.append("begun")
            go_on.wait(20)
            seen.append("ended")

        leaving = asyncio.ensure_future(in_thread(work, limiter))
        while not seen:  # noqa: ASYNC110  # a thread tells
            await asyncio.sleep(0.01)
        never = asyncio.ensure_future(in_thread(lambda: seen.append("never"), limiter))
        await asyncio.sleep(0.01)
        for caller in (leaving, never):
            caller.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(caller, 5)
        assert (seen, limiter.borrowed_tokens) == (["begun"], 1)
        go_on.set()
        assert await in_thread(lambda: list(seen), limiter) == ["begun", "ended"]
        assert limiter.borrowed_tokens == 0

    asyncio.run(main())


def test_what_the_work_raises_comes_to_who_waits_for_it():
    with pytest.raises(ZeroDivisionError):
        asyncio.run(in_thread(lambda: 1 // 0))
