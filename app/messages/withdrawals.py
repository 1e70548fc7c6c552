"""Which of the tasks that a worker holds nobody wants any more: a few numbers in memory that both sides see.

A worker reads its socket only between tasks, so word of a withdrawal cannot come that way. The pool writes the task's
sequence into its cell and sends `SIGNAL`; the worker looks at the cell of the task that runs. A signal that comes late
finds another task's number and does nothing. Used by `app.pool` and `app.worker`.
"""

import mmap
import os
import signal

MOST_HELD = 64  # tasks that a worker holds at once; sequences that far apart never meet in one cell
SIGNAL = signal.SIGUSR1

_CELL_BYTES = 8


class Withdrawals:
    """One cell for each task that may be held, holding the sequence of the last one withdrawn there (0: none yet)."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, MOST_HELD * _CELL_BYTES)
        self._cells = memoryview(self._memory).cast("Q")

    @classmethod
    def make(cls) -> tuple["Withdrawals", int]:
        """New cells, and the file descriptor under which another process finds them; the caller closes it."""
        descriptor = os.memfd_create("withdrawals")
        os.ftruncate(descriptor, MOST_HELD * _CELL_BYTES)
        return cls(descriptor), descriptor

    def withdraw(self, sequence: int) -> None:
        self._cells[sequence % MOST_HELD] = sequence

    def holds(self, sequence: int) -> bool:
        return self._cells[sequence % MOST_HELD] == sequence
