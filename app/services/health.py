"""Whether the service is ready for work: migrations current, a database that answers, a live worker."""

import asyncio
from functools import partial

import anyio.to_thread

from app.db.migrations import is_current
from app.errors import LabError, Unavailable
from app.services.lab import Lab

PATIENCE_SECONDS = 3.0


async def check_readiness(lab: Lab) -> dict[str, str]:
    """Tells what was looked at, each "ok". Raises: Unavailable with all of them when one is not."""
    if lab.stopping.is_set():
        raise Unavailable("The service is stopping.", extra={"retry_after_seconds": 5})
    checks = {"database": await _check_database(lab), "workers": "ok" if lab.pool.ready else "no worker answers yet"}
    wrong = [f"{part}: {words}" for part, words in checks.items() if words != "ok"]
    if wrong:
        raise Unavailable("; ".join(wrong) + ".", extra={"checks": checks, "retry_after_seconds": 1})
    return checks


async def _check_database(lab: Lab) -> str:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            look = partial(is_current, lab.database)
            current = await anyio.to_thread.run_sync(look, abandon_on_cancel=True)  # it changes nothing
    except TimeoutError:
        return "it does not answer in time"
    except LabError as error:
        return error.detail.rstrip(".")
    return "ok" if current else "its tables are of another version; run `model-lab migrate`"
