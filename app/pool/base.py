"""The pool as its callers see it: hand over a task, get its reply or a `LabError`.

Implementations: `local.py` (spawned processes on this machine), `ray.py` (a cluster of machines). Called by
`app.services` alone. Every implementation passes the contract tests in `tests/contracts/`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from app.errors import Conflict
from app.messages import Lane, Progress, Reply, Resident, Task

ReplyT = TypeVar("ReplyT")

WorkerState = Literal["starting", "ready", "dead"]


@dataclass(frozen=True)
class WorkerInfo:
    """One worker, as the pool sees it from outside."""

    name: str  # "worker-0", "worker-0-jobs-0"
    device: str  # "cpu:0"; never changes
    lane: Lane
    state: WorkerState
    pid: int | None
    queue: int  # tasks waiting or running
    restarts: int  # how often it was replaced
    tasks_done: int
    shared_runs: int = 0  # how often several requests went through a network together
    tasks_shared: int = 0  # how many of `tasks_done` did
    residents: list[Resident] = field(default_factory=list)  # what it keeps on its device between calls
    loads: int = 0  # how often something came there
    evictions: int = 0  # how often something left to make room
    budget_bytes: int | None = None  # of those at most; None before it is ready
    device_bytes: int | None = None  # what it has taken of a GPU's memory; None on a CPU
    place: str = "cpu"  # what PyTorch calls the device where the worker is


@dataclass(frozen=True)
class Measurement:
    """A device as its machine sees it, for all that runs there; None where nobody measures it. Memory in bytes."""

    model: str | None = None
    total_bytes: int | None = None
    used_bytes: int | None = None
    utilization: float | None = None  # share of time that it was busy lately, 0 to 1
    temperature_celsius: int | None = None
    power_watts: float | None = None
    worker_bytes: int | None = None  # what the workers of the device have taken of that memory


class WorkerPool(ABC):
    """Workers that own one device each, and beside them workers for jobs, which share the device.

    A worker for jobs is started when there is a job and ended when there was none for a while. A worker that dies is
    replaced. The task it was running is tried once more on its successor; a task that two workers died on fails with
    `Unavailable` (code `worker-died`), a job's at the first death: who keeps jobs counts their attempts. Tasks that
    waited behind it are not affected.
    """

    @abstractmethod
    async def start(self) -> None:
        """Starts the workers and returns at once; `ready` tells when one answers."""

    @abstractmethod
    async def stop(self) -> None:
        """Lets running tasks finish for a while, then ends the workers."""

    @abstractmethod
    async def submit(
        self,
        task: Task,
        *,
        device: str | None = None,
        deadline_seconds: float | None = None,
        lane: Lane = "requests",
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Reply:
        """Runs `task` on a worker of `device` (None: the least busy one) and returns its reply.

        The reply's type is the one that the task's docstring names. In the lane "jobs" it never stands in the way of
        requests, and in "training" of neither. What the task tells while it runs is given to `on_progress`, in the
        event loop and before the reply.
        Cancelling the awaiting coroutine withdraws the task: it is not begun any more, or broken off between two
        instructions of Python; one in a long call of PyTorch goes on to its end or its deadline.

        Raises: the `LabError` of the task; `DeadlineExceeded` when it ran or waited for more than
        `deadline_seconds` (None: the setting); `Busy` when too many tasks wait; `Conflict` for a device that the
        pool does not have; `Unavailable` when the workers it was given to died.
        """

    @abstractmethod
    async def workers(self) -> list[WorkerInfo]:
        """Tells how each worker is, in the order of their devices."""

    @abstractmethod
    async def measure(self) -> dict[str, Measurement]:
        """Measures each device, whatever its workers are doing."""

    @property
    @abstractmethod
    def devices(self) -> list[str]:
        """Canonical names of the devices ("cpu:0"); the first is the default."""

    @property
    @abstractmethod
    def ready(self) -> bool:
        """True while at least one worker answers."""


def expect(reply: object, kind: type[ReplyT]) -> ReplyT:
    """Narrows a reply to the type that its task is answered with."""
    if not isinstance(reply, kind):
        raise TypeError(f"a worker answered with {type(reply).__name__} where {kind.__name__} was expected")
    return reply


def absent_device(device: str | None, present: Collection[str]) -> Conflict:
    """What is told of a device that a network or a tensor is on, and that this pool does not have."""
    names = ", ".join(present)
    message = f"There is no device {device} here (any more); present: {names}. Move the network to one of them."
    return Conflict(message, code="absent-device", extra={"devices": list(present)})
