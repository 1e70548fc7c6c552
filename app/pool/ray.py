"""The pool on many machines: seats as named actors of a Ray cluster, shared by all services of one name.

The only file that knows Ray. Ray finds a machine for each seat, brings a seat back when its process or its machine
died, and carries tasks and replies; what a seat is, `seat.py` knows. Ray must ask for its token: whoever reaches a
cluster without one may run anything there. Wired by `app.main`, called by `app.services` through `WorkerPool`.
"""

import asyncio
import hashlib
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import ray
from ray.exceptions import ActorDiedError, RayError

from app.errors import DeadlineExceeded, Unavailable
from app.messages import Failure, KeepTensors, Lane, Progress, Reply, Task, from_failure
from app.pool.base import Measurement, WorkerInfo, WorkerPool, absent_device
from app.pool.devices import chosen_devices
from app.pool.seat import Seat, pack_task, unpack, unpack_measurement, unpack_workers
from app.settings import Settings

logger = logging.getLogger(__name__)

WATCH_SECONDS = 1.0  # how often seats are looked at, and told that this service is there
AWAY_SECONDS = 0.1  # the same, of one that is away or starting
PATIENCE_SECONDS = 5.0  # for an answer that needs no work
ABSENCE_SECONDS = 20.0  # a task waits so long for a seat that is away: a machine may be gone for good
GRACE_SECONDS = 10.0  # beyond a task's deadline, which its seat watches over
CALLS_AT_ONCE = 10_000  # of one seat; its queue is bounded by itself
CLUSTER_LOST = 75  # the exit status then: sysexits.h calls it a failure that may be over soon
DEATHS_PER_TASK: dict[Lane, int] = {
    "requests": 2,
    "jobs": 1,
    "training": 1,
}  # of seats; after so many it is not tried again


@dataclass
class _Remote:
    """One device of the pool, and how its seat is reached. `workers` are as they were when last heard of."""

    device: str
    handle: Any  # of the actor; Ray makes its methods up
    workers: list[WorkerInfo]
    in_flight: int = 0  # of this service
    deaths: int = 0  # that this service saw
    there: asyncio.Event = field(default_factory=asyncio.Event)  # it answered, and has not died since
    heard_at: float = field(default_factory=time.monotonic)


class RayPool(WorkerPool):
    """Seats on a Ray cluster, one for each device, with workers as a `LocalPool` has them.

    Devices are numbered over the whole cluster. Without `MODEL_LAB_DEVICES`: every GPU that
    there is at the start, or a CPU slot for each machine that lends processors.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._service = uuid.uuid4().hex
        self._remotes: dict[str, _Remote] = {}
        self._cpus = 1  # of a CPU seat
        self._watchers: list[asyncio.Task[None]] = []
        self._joined = False  # by this pool; a process has one connection to a cluster

    async def start(self) -> None:
        """Joins the cluster. Raises: Unavailable where there is none, or where it asks for no token."""
        await asyncio.to_thread(self._join)
        self._watchers = [asyncio.create_task(self._watch(remote)) for remote in self._remotes.values()]
        self._watchers.append(asyncio.create_task(self._watch_cluster()))

    async def stop(self) -> None:
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher.cancel()
        if watchers:
            await asyncio.gather(*(self._leave(remote) for remote in self._remotes.values()))
        if self._joined:
            await asyncio.to_thread(ray.shutdown)
            self._joined = False

    async def submit(
        self,
        task: Task,
        *,
        device: str | None = None,
        deadline_seconds: float | None = None,
        lane: Lane = "requests",
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Reply:
        remote = self._least_busy() if device is None else self._remotes.get(device)
        if remote is None:
            raise absent_device(device, self._remotes)
        seconds = deadline_seconds or self._settings.deadline_seconds
        packed, file = await asyncio.to_thread(pack_task, task) if _names_file(task) else pack_task(task)
        for deaths in range(1, DEATHS_PER_TASK[lane] + 1):
            await _until_there(remote, seconds)
            try:
                async with asyncio.timeout(seconds + GRACE_SECONDS):
                    reply = await self._ask(remote, packed, file, seconds, lane, on_progress)
                break
            except TimeoutError:
                raise DeadlineExceeded(f"Waited {seconds + GRACE_SECONDS:g} s for {remote.device}.") from None
            except RayError as error:  # its process or its machine died, or the reply was lost with its machine
                self._went_away(remote, error)
                if deaths == DEATHS_PER_TASK[lane]:
                    raise _died(remote.device, deaths) from None
        if isinstance(reply, Failure):
            raise from_failure(reply)
        return reply

    async def workers(self) -> list[WorkerInfo]:
        await asyncio.gather(*(self._look_at(remote) for remote in self._remotes.values()))
        return [worker for remote in self._remotes.values() for worker in remote.workers]

    async def measure(self) -> dict[str, Measurement]:
        found = await asyncio.gather(*(_measured(remote) for remote in self._remotes.values()))
        return {remote.device: measured for remote, measured in zip(self._remotes.values(), found, strict=True)}

    @property
    def devices(self) -> list[str]:
        return list(self._remotes)

    @property
    def ready(self) -> bool:
        return any(
            worker.state == "ready" and worker.lane == "requests"
            for remote in self._remotes.values()
            for worker in remote.workers
        )

    # --- seats ---

    def _join(self) -> None:
        if os.environ.get("RAY_AUTH_MODE") != "token":  # Ray's own variable, which it reads itself
            raise Unavailable(
                "MODEL_LAB_POOL=ray needs a cluster that asks for a token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN "
                "or RAY_AUTH_TOKEN_PATH, here and on every node."
            )
        if not ray.is_initialized():
            self._connect()
        if self._settings.resolved_database_url.startswith("sqlite") and len(_nodes()) > 1:
            raise Unavailable(
                "An SQLite file is on one machine, and this cluster has several: name a PostgreSQL in "
                "MODEL_LAB_DATABASE_URL."
            )
        devices = _devices_of_cluster(self._settings.devices)
        self._cpus = max(1, int(ray.cluster_resources().get("CPU", 1)) // len(devices))
        for device in devices:
            self._remotes[device] = _Remote(device, self._make(device), [_not_there(device)])

    def _connect(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
        address = self._settings.ray_address
        try:
            _knock_at(address)
            ray.init(
                address=address,
                logging_level=logging.WARNING,
                configure_logging=False,
                log_to_driver=False,
                include_dashboard=False if address == "local" else None,
            )
        except (OSError, RuntimeError, ValueError) as error:
            words = str(error).partition("\n")[0]
            raise Unavailable(f"No Ray cluster at {address!r} (MODEL_LAB_RAY_ADDRESS): {words}") from error
        self._joined = True

    def _make(self, device: str) -> Any:
        """The seat of a device: the one that is there under its name, else a new one that Ray finds a machine for."""
        on_gpu = device.startswith("cuda:")
        cpus = 0 if on_gpu else self._cpus
        options = {
            "name": f"seat of {device} for {_digest(self._settings.resolved_database_url)}",
            "namespace": self._settings.ray_namespace,
            "get_if_exists": True,
            "lifetime": "detached",
            "max_restarts": -1,
            "max_task_retries": 0,
            "max_concurrency": CALLS_AT_ONCE,
            "num_cpus": 0 if on_gpu else max(0.5, self._cpus // 2),  # half of its share: a second one has room
            "num_gpus": 1 if on_gpu else 0,
            "scheduling_strategy": "SPREAD",
        }
        # Ray shows a seat its one GPU alone, which PyTorch calls cuda:0 there.
        arguments = (device, "cuda:0" if on_gpu else "cpu", cpus, self._settings_of_seats())
        return ray.remote(Seat).options(**options).remote(*arguments)

    def _settings_of_seats(self) -> bytes:
        there = {"database_url": self._settings.resolved_database_url, "pool": "local"}
        return self._settings.model_copy(update=there).model_dump_json().encode()

    async def _ask(
        self,
        remote: _Remote,
        task: bytes,
        file: bytes | None,
        deadline_seconds: float,
        lane: Lane,
        on_progress: Callable[[Progress], None] | None,
    ) -> Reply:
        remote.in_flight += 1
        try:
            if on_progress is None:
                call = remote.handle.submit.remote(task, deadline_seconds, lane, file)
                try:
                    word = unpack(await call)
                except asyncio.CancelledError:
                    ray.cancel(call)
                    raise
                assert not isinstance(word, Progress), "only those who listen are told"
                return word
            return await _listen(remote, task, file, deadline_seconds, lane, on_progress)
        finally:
            remote.in_flight -= 1

    def _went_away(self, remote: _Remote, error: RayError) -> None:
        if remote.there.is_set():
            remote.there.clear()
            remote.deaths += 1
            remote.workers = [replace(worker, state="dead") for worker in remote.workers]
            logger.warning("the seat of %s went away: %s", remote.device, str(error).partition("\n")[0])

    async def _watch(self, remote: _Remote) -> None:
        while True:
            await self._attend(remote)
            await self._look_at(remote)
            await asyncio.sleep(WATCH_SECONDS if remote.workers[0].state == "ready" else AWAY_SECONDS)

    async def _watch_cluster(self) -> None:
        """Ends the process when its cluster has gone: it cannot join another, for Ray binds it to a node of the first.

        Whoever watches over services starts it anew, beside the next cluster. What was acknowledged is in the database.
        """
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            silent = time.monotonic() - max(remote.heard_at for remote in self._remotes.values())
            if silent > self._settings.ray_lost_seconds and not await _is_member():
                logger.critical("the cluster has gone, and this service ends, so that it can be started beside another")
                logging.shutdown()
                os._exit(CLUSTER_LOST)  # an orderly end would ask the cluster first, and wait for ever

    async def _attend(self, remote: _Remote) -> None:
        """Ray brings a seat back whose process or machine died; one that was ended on purpose is made anew."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await remote.handle.attend.remote(self._service)
            remote.there.set()
            remote.heard_at = time.monotonic()
        except ActorDiedError as error:
            self._went_away(remote, error)
            with suppress(RayError, ValueError):
                remote.handle = await asyncio.to_thread(self._make, remote.device)
        except RayError as error:
            self._went_away(remote, error)
        except TimeoutError:
            logger.warning("the seat of %s says nothing", remote.device)

    async def _look_at(self, remote: _Remote) -> None:
        words = await _answer(remote.handle.workers)
        if words is not None:
            remote.workers = unpack_workers(words)
        else:
            remote.workers = [replace(worker, state="dead") for worker in remote.workers]

    async def _leave(self, remote: _Remote) -> None:
        try:
            async with asyncio.timeout(self._settings.drain_seconds + GRACE_SECONDS):
                if await remote.handle.leave.remote(self._service):
                    ray.kill(remote.handle)
        except (RayError, TimeoutError):
            logger.warning("the seat of %s did not say good-bye", remote.device)

    def _least_busy(self) -> _Remote:
        def load(remote: _Remote) -> tuple[bool, int]:
            first = remote.workers[0]
            return first.state != "ready", max(remote.in_flight, first.queue)

        return min(self._remotes.values(), key=load)


async def _is_member() -> bool:
    """Whether the cluster answers, and this process's node is one of its."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            nodes = await asyncio.to_thread(_nodes)
        own = ray.get_runtime_context().get_node_id()
    except Exception:  # noqa: BLE001  # Ray has many ways to say that nobody is there
        return False
    return any(node["NodeID"] == own for node in nodes)


async def _until_there(remote: _Remote, seconds: float) -> None:
    """Raises: Unavailable where the seat has not come back after a while."""
    try:
        async with asyncio.timeout(min(seconds, ABSENCE_SECONDS)):
            await remote.there.wait()
    except TimeoutError:
        message = f"The seat of {remote.device} is away: its machine died, or the cluster has no room for it."
        raise Unavailable(message, extra={"retry_after_seconds": 5}) from None


async def _listen(
    remote: _Remote,
    task: bytes,
    file: bytes | None,
    deadline_seconds: float,
    lane: Lane,
    on_progress: Callable[[Progress], None],
) -> Reply:
    words = remote.handle.submit_telling.remote(task, deadline_seconds, lane, file)
    try:
        async for word in words:
            told = unpack(await word)
            if not isinstance(told, Progress):
                return told
            asyncio.get_running_loop().call_soon(on_progress, told)  # its failures are its own
    except asyncio.CancelledError:
        ray.cancel(words)
        raise
    raise Unavailable(f"The seat of {remote.device} ended in the middle of its answer.")


async def _measured(remote: _Remote) -> Measurement:
    words = await _answer(remote.handle.measure)
    return Measurement() if words is None else unpack_measurement(words)


async def _answer(method: Any) -> bytes | None:
    """What a seat says of itself; None where it does not answer soon."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            words: bytes = await method.remote()
    except (RayError, TimeoutError):
        return None
    return words


def _knock_at(address: str) -> None:
    """Raises: OSError where nobody listens; Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), PATIENCE_SECONDS).close()


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _names_file(task: Task) -> bool:
    return isinstance(task, KeepTensors) and task.path is not None


def _died(device: str, deaths: int) -> Unavailable:
    again = ", and so did its successor" if deaths > 1 else ""
    message = f"The seat of {device} died while it ran this request{again}."
    return Unavailable(message, code="worker-died", extra={"retry_after_seconds": 5})


def _not_there(device: str) -> WorkerInfo:
    """What is known of a seat's worker before it was heard of."""
    return WorkerInfo("worker", device, "requests", "starting", None, 0, 0, 0)


def _devices_of_cluster(setting: str | None) -> list[str]:
    """The devices that the setting names; without it every GPU, or a CPU slot for each machine."""
    if setting is not None:
        return chosen_devices(setting)
    gpus = int(ray.cluster_resources().get("GPU", 0))
    with_cpus = sum(1 for node in _nodes() if node["Resources"].get("CPU"))
    return [f"cuda:{number}" for number in range(gpus)] or [f"cpu:{number}" for number in range(max(1, with_cpus))]


def _nodes() -> list[dict[str, Any]]:
    """The machines that are there."""
    return [node for node in ray.nodes() if node["Alive"]]
