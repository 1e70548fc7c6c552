"""The tasks that have come to a worker and are not answered yet, in their order, and the socket they come by.

Knows nothing of what tasks mean. Used by `process.py`, and by `sharing.py`, which looks ahead.
"""

import contextlib
import select
import socket
import time
from collections import deque
from dataclasses import dataclass

from app.messages import FrameReader, Reply, Start, Task

RECEIVE_BYTES = 2**20
AWAKE_SECONDS = 0.001  # spent awake before sleeping: waking takes longer than most small networks run


@dataclass(slots=True, eq=False)
class Waiting:
    """One task. `reply` is there before its turn where it shared a run with one ahead; `alone`: it may not."""

    sequence: int
    task: Task
    alone: bool = False
    reply: Reply | None = None


class Inbox:
    """Tasks in the order in which they came. The first `careful` ones run alone."""

    def __init__(self, connection: socket.socket, reader: FrameReader[Start | Task], careful: int = 0) -> None:
        self.waiting: deque[Waiting] = deque()
        self._connection = connection
        self._reader = reader
        self._careful = careful
        # One buffer for ever: memory of this size made anew for each receive costs a system call and page faults.
        self._buffer = memoryview(bytearray(RECEIVE_BYTES))

    def next(self) -> Waiting | None:
        """The next task, once there is one; None when the other end has closed the socket."""
        while not self.waiting:
            received = self._receive()
            if received == 0:
                return None
            self._take(received)
        return self.waiting.popleft()

    def look(self, until: float = 0.0) -> bool:
        """Takes what has come; with nothing there, waits for more until then (monotonic). False: nothing came."""
        while True:
            with contextlib.suppress(BlockingIOError):
                received = self._connection.recv_into(self._buffer, 0, socket.MSG_DONTWAIT)
                self._take(received)
                return received > 0
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._connection], [], [], left)[0]:
                return False

    def _receive(self) -> int:
        """Waits for bytes: awake for a moment, as the next request is often near and waking costs more, then asleep."""
        asleep_at = time.monotonic() + AWAKE_SECONDS
        while time.monotonic() < asleep_at:
            with contextlib.suppress(BlockingIOError):
                return self._connection.recv_into(self._buffer, 0, socket.MSG_DONTWAIT)
        return self._connection.recv_into(self._buffer)

    def _take(self, received: int) -> None:
        for sequence, task in self._reader.feed(self._buffer[:received]):
            assert not isinstance(task, Start)
            self.waiting.append(Waiting(sequence, task, alone=self._careful > 0))
            self._careful -= 1
