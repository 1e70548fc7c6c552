"""The pool: what a call through it costs beside the same call without it, and what moving and evicting take.

The call is `Release` of nothing, which a worker answers at once: what is left is the way there and back. "Direct" calls
the worker's own handler in this process. A move takes a network from one CPU slot to another, and the first forward
there; an eviction is a forward of a network for which another one has to leave. What a small request notices of a long
job, and how many jobs are done in a second, `jobs` measures.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from app.db.engine import Database
from app.db.migrations import migrate
from app.messages import Release
from app.pool.local import LocalPool
from app.settings import Settings
from benchmarks import service

CALLS = 1_000
AT_ONCE = 32
MIB = 2**20
SIZES_MIB = (4, 64)
REPEATS = 5


def measure() -> list[str]:
    """Returns the lines of a Markdown section."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), spare_workers=0, devices="cpu:0")
        migrate(settings.resolved_database_url)
        direct = _direct_seconds(settings)
        alone, together = asyncio.run(_pool_seconds(settings))
    lines = [
        "## The pool",
        "",
        "| a call that does nothing | µs | direct calls |",
        "|---|---|---|",
        f"| direct | {direct * 1e6:.1f} | 1 |",
        f"| through the pool, one after the other | {alone * 1e6:.0f} | {alone / direct:.0f} |",
        f"| through the pool, {AT_ONCE} at once, each | {together * 1e6:.0f} | {together / direct:.0f} |",
        "",
        "| network | move, ms | forward after it, ms | forward where it is, ms | forward that evicts, ms |",
        "|---|---|---|---|---|",
    ]
    return [*lines, *(_moves(mebibytes) for mebibytes in SIZES_MIB), ""]


def _direct_seconds(settings: Settings) -> float:
    from app.worker.context import Worker
    from app.worker.handlers import answer

    worker = Worker.make("cpu:0", settings, Database(settings.resolved_database_url))
    start = time.perf_counter()
    for _ in range(CALLS):
        answer(worker, Release())
    seconds = (time.perf_counter() - start) / CALLS
    worker.database.close()
    return seconds


async def _pool_seconds(settings: Settings) -> tuple[float, float]:
    pool = LocalPool(settings)
    await pool.start()
    try:
        await pool.submit(Release(), deadline_seconds=180)
        alone = await _each(lambda: pool.submit(Release()), CALLS)

        async def many() -> None:
            await asyncio.gather(*(pool.submit(Release()) for _ in range(AT_ONCE)))

        return alone, await _each(many, CALLS // AT_ONCE) / AT_ONCE
    finally:
        await pool.stop()


async def _each(call: Callable[[], Awaitable[object]], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        await call()
    return (time.perf_counter() - start) / count


def _moves(mebibytes: int) -> str:
    """A row for networks of so many MiB, of which a device keeps one and a half."""
    env = {"MODEL_LAB_DEVICES": "cpu:0,cpu:1", "MODEL_LAB_RESIDENT_BYTES": str(mebibytes * MIB * 3 // 2)}
    with service.model_lab(env) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
        for name in ("a", "b"):
            body = {"name": name, "architecture": f"Linear(256, {mebibytes * MIB // 1024}, bias=False)"}
            client.post("/v1/networks", json=body).raise_for_status()
        moves, after, there, evicting = [], [], [], []
        for number in range(REPEATS):
            device = {"device": f"cpu:{1 - number % 2}"}
            moves.append(_seconds(lambda: client.put("/v1/networks/a/device", json=device)))  # noqa: B023
            after.append(_seconds(lambda: _forward(client, "a")))
            there.append(_seconds(lambda: _forward(client, "a")))
        client.put("/v1/networks/a/device", json={"device": "cpu:0"}).raise_for_status()
        for _ in range(REPEATS):
            evicting += [_seconds(lambda: _forward(client, "a")), _seconds(lambda: _forward(client, "b"))]
    figures = (f"{statistics.median(taken) * 1e3:.1f}" for taken in (moves, after, there, evicting))
    return f"| {mebibytes} MiB | {' | '.join(figures)} |"


def _forward(client: httpx.Client, name: str) -> httpx.Response:
    """One row in, binary out: the reply is a 256th of the network."""
    return client.post(f"/v1/networks/{name}/forward?format=npy", json={"inputs": [[0.1] * 256]})


def _seconds(call: Callable[[], httpx.Response]) -> float:
    start = time.perf_counter()
    call().raise_for_status()
    return time.perf_counter() - start
