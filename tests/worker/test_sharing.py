"""Who waits for whom: requests of one network that are there, or come in time, and nobody for nothing."""

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from app.messages import Batching, FrameReader, NetworkRef, ReadCatalog, RunForward, Start, Task, frame
from app.settings import Settings
from app.worker.inbox import Inbox, Waiting
from app.worker.sharing import SHARED_BYTES, Sharing

LONG = Batching(8, 300.0)
NONE = Batching(8, 0.0)


def forward(network: str = "a", batching: Batching | None = NONE, body: bytes = b"{}", **more: object) -> RunForward:
    ref = NetworkRef(network, 1, "digest", "float32", "cpu:0", batching)
    return RunForward(ref, body, "application/json", "application/json", **more)


@dataclass
class Line:
    """A worker's inbox and the end that tasks are sent from."""

    ours: socket.socket
    inbox: Inbox
    sharing: Sharing
    sent: int = 0

    def send(self, *tasks: Task) -> None:
        for task in tasks:
            self.sent += 1
            self.ours.sendall(frame(self.sent, task))

    def group(self) -> list[int]:
        """The next task and who shares its run; all of them are answered at once, in no time."""
        first = self.inbox.next()
        assert first is not None
        group = self.sharing.gather(self.inbox, first)
        for one in group[1:]:
            self.inbox.waiting.remove(one)
        self.sharing.ran(first.task, len(group), 0.0001)
        return [one.sequence for one in group]


@pytest.fixture(name="line")
def make_line() -> Iterator[Line]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        line = Line(ours, Inbox(theirs, FrameReader(Start | Task)), Sharing(Settings()))
        for batching in (NONE, LONG):  # how long a run takes is not known before the first
            line.sharing.ran(forward("a", batching), 1, 0.0001)
        yield line


def test_requests_that_are_there_share_a_run(line: Line) -> None:
    line.send(*[forward()] * 5)
    assert line.group() == [1, 2, 3, 4, 5]


def test_no_more_than_the_largest_batch(line: Line) -> None:
    line.send(*[forward()] * 11)
    assert line.group() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert line.group() == [9, 10, 11]


def test_one_network_at_a_time_past_others_in_between(line: Line) -> None:
    line.sharing.ran(forward("b"), 1, 0.0001)
    line.send(forward("a"), forward("b"), forward("a"), ReadCatalog("layers"), forward("b"), forward("a"))
    assert line.group() == [1, 3, 6]
    assert line.group() == [2, 5]
    assert line.group() == [4]


@pytest.mark.parametrize(
    "other",
    [
        forward(batching=None),
        forward(seed=1),
        forward(mode="train"),
        forward(capture=["0"]),
        forward(update_buffers=True),
        forward(revision=7),
        forward("b"),
    ],
)
def test_what_asks_for_something_else_runs_alone(line: Line, other: RunForward) -> None:
    line.send(other, forward(), other, forward())
    assert line.group() == [1]
    assert line.group() == [2, 4]


def test_what_is_large_runs_alone(line: Line) -> None:
    large = forward(body=b" " * (SHARED_BYTES + 1))
    tasks = [large, forward(), large, forward()]
    line.inbox.waiting.extend(Waiting(number, task) for number, task in enumerate(tasks, 1))  # more than a socket holds
    assert line.group() == [1]
    assert line.group() == [2, 4]


def test_a_lone_client_does_not_wait(line: Line) -> None:
    start = time.monotonic()
    for number in range(1, 6):
        line.send(forward(batching=LONG))
        assert line.group() == [number]
    assert time.monotonic() - start < LONG.max_wait_ms / 1e3


def test_where_others_came_last_time_they_are_waited_for_no_longer_than_is_allowed(line: Line) -> None:
    line.send(*[forward(batching=LONG)] * 8)
    assert len(line.group()) == 8
    line.send(forward(batching=LONG))
    start = time.monotonic()
    assert line.group() == [9]
    waited = time.monotonic() - start
    assert waited >= LONG.max_wait_ms / 1e3
    line.send(forward(batching=LONG))
    start = time.monotonic()
    assert line.group() == [10]  # nobody came, so nobody is waited for
    assert time.monotonic() - start < waited


def test_enough_is_half_of_those_that_came_together(line: Line) -> None:
    line.send(*[forward(batching=LONG)] * 8)
    assert len(line.group()) == 8
    line.send(*[forward(batching=LONG)] * 4)
    start = time.monotonic()
    assert line.group() == [9, 10, 11, 12]
    assert time.monotonic() - start < LONG.max_wait_ms / 1e3


def test_nobody_else_is_kept_waiting(line: Line) -> None:
    line.send(*[forward(batching=LONG)] * 8)
    assert len(line.group()) == 8
    line.send(forward(batching=LONG), ReadCatalog("layers"))
    start = time.monotonic()
    assert line.group() == [9]
    assert time.monotonic() - start < LONG.max_wait_ms / 1e3


def test_a_slow_network_runs_in_smaller_batches_so_that_the_deadline_holds(line: Line) -> None:
    share = Settings().deadline_seconds / 4
    line.sharing.ran(forward(), 1, share / 3.5)
    line.send(*[forward()] * 8)
    assert line.group() == [1, 2, 3]


def test_the_first_run_of_a_network_is_alone_since_nobody_knows_how_long_it_takes(line: Line) -> None:
    line.send(*[forward("new")] * 3)
    assert line.group() == [1]
    assert line.group() == [2, 3]


def test_tasks_that_a_worker_died_with_run_one_by_one(line: Line) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        line = Line(ours, Inbox(theirs, FrameReader(Start | Task), careful=2), line.sharing)
        line.send(*[forward()] * 4)
        assert line.group() == [1]
        assert line.group() == [2]
        assert line.group() == [3, 4]


def test_what_ran_alone_or_is_answered_is_not_taken_again(line: Line) -> None:
    line.send(*[forward()] * 4)
    first = line.inbox.next()
    assert isinstance(first, Waiting)
    line.inbox.look()
    line.inbox.waiting[0].alone = True
    assert [one.sequence for one in line.sharing.gather(line.inbox, first)] == [1, 3, 4]


def test_the_end_of_the_socket_is_the_end(line: Line) -> None:
    line.send(forward())
    line.ours.close()
    assert line.group() == [1]
    assert line.inbox.next() is None
