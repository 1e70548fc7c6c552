"""Services that start in a fraction of a second: forked from one process that has imported everything already.

A service that is started anew reads Python and PyTorch from the disk for seconds, and tests that kill hundreds have
not the time. What is forked is the same: `model-lab serve` with its own workers, on the same database, in processes
of their own that `kill -9` ends like any other. What differs: modules are in memory already, and test-side switches
(`tests/faults/switches.py`) and kill points (`kill_points.py`) can be put in before the service begins.

Run as `python -m tests.faults.forge FD` by the fixture `forge`, which speaks JSON lines with it over a socket.
"""

import contextlib
import ctypes
import fcntl
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.service import CALM, Service, next_log, wait_until_ready

START_SECONDS = 60.0
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
OUT_OF_THE_WAY = 200  # a number that no file here has


# --- the tests' side ---


class ForkedProcess:
    """A service's process as `subprocess.Popen` would show it; its parent is the forge."""

    def __init__(self, forge: "Forge", pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._forge = forge
        self._handle = os.pidfd_open(pid)

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._handle], [], [], 0)[0]:
            self.returncode = self._forge.ask({"reap": self.pid})
            os.close(self._handle)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None and not select.select([self._handle], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("model-lab serve", timeout or 0)
        status = self.poll()
        assert status is not None
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@dataclass
class Forge:
    """The process that services are forked from, and the line to it."""

    process: subprocess.Popen[bytes]
    line: socket.socket

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._answers = self.line.makefile("r")

    def ask(self, order: Mapping[str, object]) -> int:
        with self._lock:
            self.line.sendall(json.dumps(order).encode() + b"\n")
            return int(self._answers.readline())

    @contextmanager
    def start(
        self, folder: Path, *arguments: str, env: Mapping[str, str] | None = None, switches: Iterable[str] = ()
    ) -> Iterator[Service]:
        """Starts a service as `start_service` does, without the protections that `switches` names."""
        folder.mkdir(parents=True, exist_ok=True)
        log = next_log(folder)
        log.touch()
        words = ["model-lab", "serve", "--port", "0", "--data-dir", str(folder / "data"), *arguments]
        order = {"start": words, "env": {**CALM, **(env or {})}, "log": str(log), "switches": list(switches)}
        process: Any = ForkedProcess(self, self.ask(order))
        service = Service("", process, log)
        try:
            service = Service(wait_until_ready(process, log, pause=0.02), process, log)
            yield service
        finally:
            service.stop()


@contextmanager
def running_forge() -> Iterator[Forge]:
    """Starts a forge; whatever it forked ends with it."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "tests.faults.forge", str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env={**os.environ, **CALM})
    theirs.close()
    ours.settimeout(START_SECONDS)
    try:
        yield Forge(process, ours)
    finally:
        ours.close()
        process.kill()
        process.wait()


# --- the forge's side ---


def main() -> None:
    """Imports all that a service and its workers import, then forks what the other end asks for."""
    import app.cli
    import app.worker.process  # noqa: F401

    line = socket.socket(fileno=int(sys.argv[1]))
    die_with_parent()
    gc.collect()
    gc.freeze()
    for text in line.makefile("r"):
        order = json.loads(text)
        if "reap" in order:
            answer = os.waitstatus_to_exitcode(os.waitpid(order["reap"], 0)[1])
        else:
            answer = fork(lambda order=order: serve(order), closing=[line])
        line.sendall(f"{answer}\n".encode())


def serve(order: Mapping[str, Any]) -> None:
    """Is the service: the rest of this process is what `model-lab serve` does."""
    import app.cli
    import app.pool.process
    from tests.faults import kill_points, switches

    die_with_parent()
    os.environ.update(order["env"])
    with Path(order["log"]).open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    kill_points.install()
    for name in order["switches"]:
        switches.SWITCHES[name]()
    source = WorkerSource()
    app.pool.process.subprocess = source.as_subprocess_module()  # type: ignore[assignment]  # the part of it that is used
    sys.argv = list(order["start"])
    app.cli.main()


class WorkerSource:
    """Forks workers for one service: a process made before the service opened anything, so that they hold none of it.

    A worker's parent ends at once, and the system then gives the worker to the service, as if it had spawned it.
    """

    def __init__(self) -> None:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        self._line, theirs = socket.socketpair()
        service = os.getpid()
        self._pid = fork(lambda: self._work(theirs, service), closing=[self._line])
        theirs.close()

    def as_subprocess_module(self) -> object:
        source = self

        class ForkedWorker(subprocess.Popen[bytes]):
            def __init__(self, arguments: list[str], *, pass_fds: Iterable[int] = (), **options: Any) -> None:
                self._handed_on = list(pass_fds)
                super().__init__(arguments, pass_fds=self._handed_on, **options)

            def _execute_child(self, arguments: list[str], *_: object) -> None:
                assert arguments[1:3] == ["-m", "app.worker.process"]
                self.pid = source.fork_worker(arguments[2:], self._handed_on)
                self._child_created = True

        class Module:
            Popen = ForkedWorker
            DEVNULL = subprocess.DEVNULL

        return Module

    def fork_worker(self, arguments: list[str], handed_on: list[int]) -> int:
        order = json.dumps({"arguments": arguments, "numbers": handed_on}).encode()
        socket.send_fds(self._line, [order], handed_on)
        return int(self._line.recv(100))

    def _work(self, line: socket.socket, service: int) -> None:
        die_with_parent()
        while True:
            text, handed_on, _, _ = socket.recv_fds(line, 10_000, 8)
            if not text:
                return
            order = json.loads(text)
            report, reported = os.pipe()
            between = fork(lambda: self._fork_between(order, handed_on, service, reported), closing=[line])  # noqa: B023
            os.waitpid(between, 0)
            os.close(reported)
            pid = os.read(report, 100)
            for number in (report, *handed_on):
                os.close(number)
            line.sendall(pid)

    def _fork_between(self, order: Any, handed_on: list[int], service: int, reported: int) -> None:
        fork(lambda: self._be_worker(order, handed_on, service, reported))

    def _be_worker(self, order: Any, handed_on: list[int], service: int, reported: int) -> None:
        import app.worker.process
        from tests.faults import kill_points

        while os.getppid() != service:
            time.sleep(0.001)
        os.write(reported, str(os.getpid()).encode())
        os.close(reported)
        away = [fcntl.fcntl(number, fcntl.F_DUPFD, OUT_OF_THE_WAY) for number in handed_on]
        for number, wanted in zip(away, order["numbers"], strict=True):
            os.dup2(number, wanted)
            os.close(number)
        kill_points.role = "worker"
        sys.argv = list(order["arguments"])
        app.worker.process.main()


def fork(run: Callable[[], None], *, closing: Iterable[socket.socket] = ()) -> int:
    """Forks a process that does `run` and ends; gives its id."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        for one in closing:
            one.close()
        run()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001  # the process ends here, and says why
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
