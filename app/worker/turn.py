"""The task that runs now: telling how far it is, and breaking it off when nobody wants its reply any more.

The pool withdraws a task by writing its sequence into shared memory and sending a signal. Python runs the signal's
handler between two of its own instructions, so a task ends there; one that is in a long call of PyTorch ends after it.
Made by `process.py`; handlers call `report` and, where they must not be broken off, `uninterrupted`.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from app.messages import Progress, Withdrawals
from app.messages.withdrawals import SIGNAL

AGAIN_SECONDS = 0.01
_IMPORTING = "<frozen importlib._bootstrap>"


class Withdrawn(BaseException):
    """The task that runs was withdrawn. Not an `Exception`, so that no handler takes it for a failure of its own."""


class Turn:
    """The turn of one task after the other. `send(sequence, progress)` puts a message on its way to the pool."""

    def __init__(self, withdrawals: Withdrawals, send: Callable[[int, Progress], None]) -> None:
        self._withdrawals = withdrawals
        self._send = send
        self._sequences: tuple[int, ...] = (0,)  # the task that runs, or those that share a run
        self._open = False  # whether it may be broken off now

    @classmethod
    def alone(cls) -> "Turn":
        """For a worker that no pool listens to: nothing is withdrawn, and progress goes nowhere."""
        withdrawals, descriptor = Withdrawals.make()
        os.close(descriptor)
        return cls(withdrawals, lambda *_: None)

    def listen(self) -> None:
        """Heeds the pool's signal from now on."""
        signal.signal(SIGNAL, self._heed)
        signal.signal(signal.SIGALRM, self._heed)

    def _heed(self, _signal: int, frame: FrameType | None) -> None:
        if self._open and _imports(frame):
            signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)  # half a module would stay in this process for ever
        else:
            self.check()

    def begin(self, *sequences: int) -> bool:
        """False when the task was withdrawn while it waited; else Withdrawn may be raised at any time until `end`.

        Tasks that share a run are withdrawn when all of them are.
        """
        self._sequences = sequences
        self._open = True
        if not self._withdrawn():
            return True
        self._open = False
        return False

    def is_withdrawn(self, sequence: int) -> bool:
        return self._withdrawals.holds(sequence)

    def _withdrawn(self) -> bool:
        return all(map(self._withdrawals.holds, self._sequences))

    def end(self) -> None:
        self._open = False

    def check(self) -> None:
        """Raises: Withdrawn, once, when the task that runs is withdrawn."""
        if self._open and self._withdrawn():
            self._open = False
            raise Withdrawn

    @contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """What runs inside is not broken off half way, but before or after. Raises: Withdrawn."""
        was_open, self._open = self._open, False
        try:
            yield
        finally:
            self._open = was_open
        self.check()

    def report(self, fraction: float | None = None, detail: bytes = b"{}") -> None:
        """Tells whoever waits how far it is: `fraction` from 0 to 1, `detail` a JSON object. Raises: Withdrawn."""
        with self.uninterrupted():  # half a message would spoil all that follow
            self._send(self._sequences[0], Progress(fraction, detail))


def _imports(frame: FrameType | None) -> bool:
    """Whether a module is being imported: PyTorch imports some of its own when they are first needed."""
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTING:
            return True
        frame = frame.f_back
    return False
