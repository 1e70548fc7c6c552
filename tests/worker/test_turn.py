"""Breaking a task off, seen from inside the worker."""

import contextlib
import importlib
import itertools
import os
import signal
import sys
import time

import pytest

from app.db.engine import Database
from app.db.sqlite import Pen
from app.messages.withdrawals import SIGNAL, Withdrawals
from app.worker.turn import Turn, Withdrawn


@pytest.fixture
def signals():
    """The handlers of this process as they were, once the test is over."""
    before = {number: signal.getsignal(number) for number in (SIGNAL, signal.SIGALRM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_task_that_imports_a_module_is_broken_off_when_the_module_is_whole(signals, tmp_path, monkeypatch):
    (tmp_path / "half_a_module.py").write_text(f"import os\nos.kill(os.getpid(), {int(SIGNAL)})\nwhole = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    withdrawals, descriptor = Withdrawals.make()
    os.close(descriptor)
    turn = Turn(withdrawals, lambda *_: None)
    turn.listen()
    turn.begin(1)
    withdrawals.withdraw(1)
    with pytest.raises(Withdrawn):
        _import_and_go_on("half_a_module")
    assert sys.modules["half_a_module"].whole


def test_a_task_that_is_broken_off_as_it_begins_to_write_keeps_no_other_from_writing(signals, tmp_path):
    """The signal comes at one instruction after the other."""
    withdrawals, descriptor = Withdrawals.make()
    os.close(descriptor)
    turn = Turn(withdrawals, lambda *_: None)
    turn.listen()
    database = Database(f"sqlite:///{tmp_path}/a.sqlite", may_create=True, writing=turn.uninterrupted)
    with database.transaction():
        pass
    for sequence in range(1, 80):
        turn.begin(sequence)
        withdrawals.withdraw(sequence)
        with contextlib.suppress(Withdrawn), _signal_at(sequence), database.transaction():
            pass
        turn.end()
        assert not database._pen._lock.locked(), sequence
    database.close()


@contextlib.contextmanager
def _signal_at(place):
    """Sends the signal at the `place`-th instruction of whoever takes the pen."""
    left = itertools.count(place, -1)

    def trace(frame, event, _argument):
        if frame.f_code is not Pen.held.__wrapped__.__code__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and next(left) == 1:
            os.kill(os.getpid(), SIGNAL)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def _import_and_go_on(name):
    importlib.import_module(name)
    time.sleep(10)
