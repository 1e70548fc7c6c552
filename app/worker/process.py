"""The worker process: takes tasks from a socket one after the other and answers each.

Started by `app.pool` as `python -m app.worker.process SOCKET_FD WITHDRAWALS_FD PARENT_PID`. It owns one device; what
runs in it can be slow, take memory or crash without touching the HTTP process. Knows nothing of HTTP, of other workers
or of retries.
"""

import contextlib
import contextvars
import ctypes
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time

import torch

from app.db.engine import Database
from app.messages import Failure, FrameReader, Lane, Ready, Reply, Retiring, Start, Task, Withdrawals, frame
from app.settings import Settings
from app.worker.context import Worker
from app.worker.failures import DEVICE_FAILED
from app.worker.handlers import answer
from app.worker.memory import address_space
from app.worker.turn import Turn, Withdrawn

logger = logging.getLogger(__name__)

RECEIVE_BYTES = 2**20
AWAKE_SECONDS = 0.001  # spent awake before sleeping: waking takes longer than most small networks run
PR_SET_PDEATHSIG = 1
JOB_NICENESS = 5  # where processors are short, requests go before jobs
WITHDRAWN = Failure(
    kind="Unavailable", code="unavailable", detail="Nobody waits for it any more.", places=[], extra=b"{}"
)


def main() -> None:
    """Serves the socket whose file descriptor is the first argument until the other end closes it."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which then ends its workers
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _die_with(parent_pid=int(sys.argv[3]))
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        reader: FrameReader[Start | Task] = FrameReader(Start | Task)
        turn = Turn(Withdrawals(int(sys.argv[2])), lambda *message: connection.sendall(frame(*message)))
        turn.listen()
        worker = _start(connection, reader, turn)
        gc.collect()
        gc.freeze()  # what is loaded now stays: later collections need not walk all of PyTorch
        connection.sendall(frame(0, Ready(pid=os.getpid(), budget_bytes=worker.residency.budget_bytes)))
        _serve(connection, reader, worker)


def _start(connection: socket.socket, reader: FrameReader[Start | Task], turn: Turn) -> Worker:
    while data := connection.recv(RECEIVE_BYTES):
        for _, message in reader.feed(data):
            assert isinstance(message, Start), "the first message says what this worker is"
            settings = Settings.model_validate_json(message.settings)
            _prepare_torch(message.device, message.lane, settings)
            _limit_memory(message.place, settings)
            database = Database(settings.resolved_database_url)
            return Worker.make(message.device, settings, database, turn, message.place)
    sys.exit(0)


def _serve(connection: socket.socket, reader: FrameReader[Start | Task], worker: Worker) -> None:
    # One buffer for ever: memory of this size made anew for each receive would cost a system call and page faults.
    buffer = memoryview(bytearray(RECEIVE_BYTES))
    context = contextvars.copy_context()
    while received := _receive(connection, buffer):
        for sequence, task in reader.feed(buffer[:received]):
            assert not isinstance(task, Start)
            try:
                reply = context.run(_answer, worker, sequence, task)
            except Withdrawn:
                context = contextvars.copy_context()  # the task may have ended before it put its own back
                reply = WITHDRAWN
                _clean_up(worker)
            if worker.residency.changed:
                connection.sendall(frame(0, worker.residency.changes()))
            connection.sendall(frame(sequence, reply))  # at once: the pool must know what runs now
            if isinstance(reply, Failure) and reply.code == DEVICE_FAILED:
                connection.sendall(frame(0, Retiring(reason=reply.detail)))
                return


def _receive(connection: socket.socket, buffer: memoryview) -> int:
    """Waits for bytes: awake for a moment, as the next request is often near and waking costs more, then asleep."""
    asleep_at = time.monotonic() + AWAKE_SECONDS
    while time.monotonic() < asleep_at:
        with contextlib.suppress(BlockingIOError):
            return connection.recv_into(buffer, 0, socket.MSG_DONTWAIT)
    return connection.recv_into(buffer)


def _answer(worker: Worker, sequence: int, task: Task) -> Reply:
    """Runs a task. Raises: Withdrawn."""
    try:
        return answer(worker, task) if worker.turn.begin(sequence) else WITHDRAWN
    except Exception:
        logger.exception("a %s failed in a way nobody foresaw", type(task).__name__)
        return Failure(
            kind="LabError",
            code="internal-error",
            detail="Something went wrong here that is not your fault; the service's log has the details.",
            places=[],
            extra=b"{}",
        )
    finally:
        worker.turn.end()


def _clean_up(worker: Worker) -> None:
    """Puts right what a task that was broken off may have left: between any two instructions, so nothing is certain."""
    worker.residency.drop_latest()
    torch.set_grad_enabled(True)
    torch.seed()


def _prepare_torch(device: str, lane: Lane, settings: Settings) -> None:
    if lane == "jobs":
        os.nice(JOB_NICENESS)
    slots = len((settings.devices or device).split(","))
    torch.set_num_threads(settings.worker_threads or max(1, (os.cpu_count() or 1) // slots))
    torch.set_num_interop_threads(1)
    torch.seed()  # PyTorch starts every process from one fixed seed; a replaced worker must not repeat itself


def _limit_memory(place: str, settings: Settings) -> None:
    """Lets an allocation too large fail in this process instead of filling the machine (CPU workers alone)."""
    if not place.startswith("cpu"):
        return  # CUDA reserves more address space than any sensible limit
    with open("/proc/self/statm") as statm:  # noqa: PTH123  # /proc is not a path of ours
        used = int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + address_space(settings), resource.RLIM_INFINITY))


def _die_with(parent_pid: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it went before we could ask
        sys.exit(0)


if __name__ == "__main__":
    main()
