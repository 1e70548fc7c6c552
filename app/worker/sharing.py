"""Which requests share a run: those of one network that are there together, or come within the time it allows.

A request waits for others only where others came the last time, and only while nothing else is to be done. Called by
`process.py`; what the requests hold is read by `shared_forward.py`.
"""

import time
from collections import OrderedDict
from dataclasses import dataclass

from app.messages import RunForward, Task
from app.settings import Settings
from app.worker.inbox import Inbox, Waiting

REMEMBERED = 1024  # networks
SHARED_BYTES = 256 * 1024  # of a body: larger ones gain nothing, and would keep the others waiting
DEADLINE_SHARE = 0.25  # of the deadline that a shared run may take, going by the last one


@dataclass(slots=True)
class _Habit:
    """What is known of one network's requests from the last run: how many were waited for, how long each took."""

    enough: int = 1
    seconds: float | None = None


class Sharing:
    """Decides who runs with whom."""

    def __init__(self, settings: Settings) -> None:
        self._most_seconds = settings.deadline_seconds * DEADLINE_SHARE
        self._habits: OrderedDict[str, _Habit] = OrderedDict()  # by network, least recently used first

    def gather(self, inbox: Inbox, first: Waiting) -> list[Waiting]:
        """The requests that may share a run with `first`, itself the first of them; they stay in the inbox."""
        if first.alone or not _may_share(first.task):
            return [first]
        assert isinstance(first.task, RunForward)
        batching = first.task.network.batching
        assert batching is not None
        habit = self._habit(first.task.network.network_id)
        most = batching.max_size
        if habit.seconds is None:
            return [first]
        if habit.seconds > 0:
            most = min(most, max(1, int(self._most_seconds / habit.seconds)))
        until = time.monotonic() + batching.max_wait_ms / 1e3
        inbox.look()
        while True:
            group = [first, *(one for one in inbox.waiting if _goes_with(first.task, one))][:most]
            others = len(inbox.waiting) + 1 - len(group)
            if len(group) >= min(most, habit.enough) or others or not inbox.look(until):
                # Half of them: while these run the others may come, and the service has something to do meanwhile.
                habit.enough = -(-len(group) // 2)
                return group

    def ran(self, task: Task, count: int, seconds: float) -> None:
        """Takes note of how long `count` requests of a network took together."""
        if isinstance(task, RunForward) and task.network.batching is not None:
            self._habit(task.network.network_id).seconds = seconds / count

    def _habit(self, network_id: str) -> _Habit:
        habit = self._habits.setdefault(network_id, _Habit())
        self._habits.move_to_end(network_id)
        if len(self._habits) > REMEMBERED:
            self._habits.popitem(last=False)
        return habit


def _may_share(task: Task) -> bool:
    """Whether a request asks for nothing but outputs in mode eval, as far as can be told without reading its body."""
    return (
        isinstance(task, RunForward)
        and task.network.batching is not None
        and task.mode == "eval"
        and task.seed is None
        and not task.capture
        and not task.update_buffers
        and task.revision in (None, task.network.revision)
        and len(task.body) <= SHARED_BYTES
    )


def _goes_with(first: RunForward, one: Waiting) -> bool:
    return (
        one.reply is None
        and not one.alone
        and isinstance(one.task, RunForward)
        and one.task.network == first.network
        and _may_share(one.task)
    )
