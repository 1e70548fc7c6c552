"""One place in a pool of many machines: a local pool of one device, spoken to in bytes.

Lives in a process of its own on the machine that has the device (`ray.py` puts it there), and has its workers beside
it. Knows nothing of how its callers reach it, and may have several: services that share it. What goes in and out is
MessagePack of the same tasks and replies, never a pickle of them.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import cast

import msgspec

from app.errors import LabError
from app.messages import KeepTensors, Lane, Progress, Reply, Task, to_failure
from app.pool.base import Measurement, WorkerInfo
from app.pool.local import LocalPool
from app.settings import SPOOL_PREFIX, Settings

MEMORY_SHARE = 0.8  # of the machine's, for all that sit there
FORGOTTEN_SECONDS = 60.0  # a service that was not heard of for so long has gone

_tasks: msgspec.msgpack.Decoder[Task] = msgspec.msgpack.Decoder(Task)
_words: msgspec.msgpack.Decoder[Reply | Progress] = msgspec.msgpack.Decoder(Reply | Progress)
_infos = msgspec.msgpack.Decoder(list[WorkerInfo])
_measurements = msgspec.msgpack.Decoder(Measurement)
_encode = msgspec.msgpack.Encoder().encode


class Seat:
    """The workers of `device`, which PyTorch calls `place` here. `cpus` of this machine's processors are for them."""

    def __init__(self, device: str, place: str, cpus: float, settings: bytes) -> None:
        self._settings = _share_of_machine(Settings.model_validate_json(settings), device, cpus)
        self._pool = LocalPool(self._settings, places={device: place})
        self._device = device
        self._heard_of: dict[str, float] = {}  # services, and when
        self._starting: asyncio.Task[None] | None = None

    async def attend(self, service: str) -> None:
        """A service begins to use this seat, or still does."""
        self._heard_of[service] = time.monotonic()
        await self._begun()

    async def leave(self, service: str) -> bool:
        """A service has ended. True if it was the last: the workers have ended then, too."""
        self._heard_of.pop(service, None)
        oldest = time.monotonic() - FORGOTTEN_SECONDS
        if any(heard > oldest for heard in self._heard_of.values()):
            return False
        await self._pool.stop()
        return True

    async def submit(self, task: bytes, deadline_seconds: float, lane: Lane, file: bytes | None = None) -> bytes:
        """Runs a task; the reply may be a `Failure`. `file` is what stands at the path that the task names.

        Cancelling withdraws the task.
        """
        with _with_file(_tasks.decode(task), file, self._settings.spool_dir) as whole:
            return _encode(await self._run(whole, deadline_seconds, lane, None))

    async def submit_telling(
        self, task: bytes, deadline_seconds: float, lane: Lane, file: bytes | None = None
    ) -> AsyncIterator[bytes]:
        """As `submit`, but what the task tells while it runs comes before the reply."""
        told: asyncio.Queue[Progress | None] = asyncio.Queue()
        with _with_file(_tasks.decode(task), file, self._settings.spool_dir) as whole:
            running = asyncio.create_task(self._run(whole, deadline_seconds, lane, told))
            running.add_done_callback(lambda _: told.put_nowait(None))
            try:
                while (progress := await told.get()) is not None:
                    yield _encode(progress)
                yield _encode(await running)
            finally:
                running.cancel()

    async def workers(self) -> bytes:
        pool = await self._begun()
        return _encode(await pool.workers())

    async def measure(self) -> bytes:
        measured = await self._pool.measure()
        return _encode(measured[self._device])

    async def _begun(self) -> LocalPool:
        """The pool; whoever asks first has its workers started."""
        if self._starting is None:
            self._starting = asyncio.create_task(self._pool.start())
        await asyncio.shield(self._starting)
        return self._pool

    async def _run(
        self, task: Task, deadline_seconds: float, lane: Lane, told: "asyncio.Queue[Progress | None] | None"
    ) -> Reply:
        try:
            pool = await self._begun()
            return await pool.submit(
                task,
                device=self._device,
                deadline_seconds=deadline_seconds,
                lane=lane,
                on_progress=told.put_nowait if told is not None else None,
            )
        except LabError as error:
            return to_failure(error)


def pack_task(task: Task) -> tuple[bytes, bytes | None]:
    """A task for `Seat.submit`, and the file that it names: another machine does not have it."""
    path = task.path if isinstance(task, KeepTensors) else None
    return _encode(task), None if path is None else Path(path).read_bytes()


def unpack(word: bytes) -> Reply | Progress:
    return _words.decode(word)


def unpack_workers(words: bytes) -> list[WorkerInfo]:
    return _infos.decode(words)


def unpack_measurement(words: bytes) -> Measurement:
    return _measurements.decode(words)


@contextlib.contextmanager
def _with_file(task: Task, content: bytes | None, folder: Path | None) -> Iterator[Task]:
    """The task with the path of a file of this machine in place of another's."""
    if content is None:
        yield task
        return
    with NamedTemporaryFile(dir=folder, prefix=SPOOL_PREFIX) as file:
        file.write(content)
        file.flush()
        yield msgspec.structs.replace(cast("KeepTensors", task), path=file.name)


def _share_of_machine(settings: Settings, device: str, cpus: float) -> Settings:
    """The settings of one seat among those that may be on this machine, each with its part of the memory."""
    changes: dict[str, object] = {"devices": device}
    if device.startswith("cpu"):
        there = os.cpu_count() or 1
        share = min(1.0, cpus / there)
        machine_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        changes["worker_threads"] = settings.worker_threads or max(1, int(min(cpus, there)))
        changes["worker_memory_bytes"] = settings.worker_memory_bytes or int(
            machine_bytes * MEMORY_SHARE * share / settings.workers_per_device
        )
    return settings.model_copy(update=changes)
