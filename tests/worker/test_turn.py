"""Breaking a task off, seen from inside the worker."""

import importlib
import os
import signal
import sys
import time

import pytest

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


def _import_and_go_on(name):
    importlib.import_module(name)
    time.sleep(10)
