"""The worker process: takes tasks from a socket one after the other and answers each.

Started by `app.pool` as `python -m app.worker.process FD PARENT_PID`. It owns one device; what runs in it can be
slow, take memory or crash without touching the HTTP process. Knows nothing of HTTP, of other workers or of retries.
"""

import contextlib
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
from app.messages import Failure, FrameReader, Ready, Reply, Start, Task, frame
from app.settings import Settings
from app.worker.context import Worker
from app.worker.handlers import answer

logger = logging.getLogger(__name__)

RECEIVE_BYTES = 2**20
AWAKE_SECONDS = 0.0005  # spent awake before sleeping: waking takes longer than most small networks run
PR_SET_PDEATHSIG = 1
MEMORY_SHARE = 0.6  # of the machine's memory, for all CPU workers together


def main() -> None:
    """Serves the socket whose file descriptor is the first argument until the other end closes it."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which then ends its workers
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _die_with(parent_pid=int(sys.argv[2]))
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        reader: FrameReader[Start | Task] = FrameReader(Start | Task)
        worker = _start(connection, reader)
        gc.collect()
        gc.freeze()  # what is loaded now stays: later collections need not walk all of PyTorch
        connection.sendall(frame(0, Ready(pid=os.getpid())))
        _serve(connection, reader, worker)


def _start(connection: socket.socket, reader: FrameReader[Start | Task]) -> Worker:
    while data := connection.recv(RECEIVE_BYTES):
        for _, message in reader.feed(data):
            assert isinstance(message, Start), "the first message says what this worker is"
            settings = Settings.model_validate_json(message.settings)
            _prepare_torch(message.device, settings)
            _limit_memory(message.device, settings)
            return Worker.make(message.device, settings, Database(settings.resolved_database_url))
    sys.exit(0)


def _serve(connection: socket.socket, reader: FrameReader[Start | Task], worker: Worker) -> None:
    # One buffer for ever: memory of this size made anew for each receive would cost a system call and page faults.
    buffer = memoryview(bytearray(RECEIVE_BYTES))
    while received := _receive(connection, buffer):
        for sequence, task in reader.feed(buffer[:received]):
            assert not isinstance(task, Start)
            connection.sendall(frame(sequence, _answer(worker, task)))  # at once: the pool must know what runs now


def _receive(connection: socket.socket, buffer: memoryview) -> int:
    """Waits for bytes: awake for a moment, as the next request is often near and waking costs more, then asleep."""
    asleep_at = time.monotonic() + AWAKE_SECONDS
    while time.monotonic() < asleep_at:
        with contextlib.suppress(BlockingIOError):
            return connection.recv_into(buffer, 0, socket.MSG_DONTWAIT)
    return connection.recv_into(buffer)


def _answer(worker: Worker, task: Task) -> Reply:
    try:
        return answer(worker, task)
    except Exception:
        logger.exception("a %s failed in a way nobody foresaw", type(task).__name__)
        return Failure(
            kind="LabError",
            code="internal-error",
            detail="Something went wrong here that is not your fault; the service's log has the details.",
            places=[],
            extra=b"{}",
        )


def _prepare_torch(device: str, settings: Settings) -> None:
    slots = len((settings.devices or device).split(","))
    torch.set_num_threads(settings.worker_threads or max(1, (os.cpu_count() or 1) // slots))
    torch.set_num_interop_threads(1)
    torch.seed()  # PyTorch starts every process from one fixed seed; a replaced worker must not repeat itself


def _limit_memory(device: str, settings: Settings) -> None:
    """Lets an allocation too large fail in this process instead of filling the machine (CPU workers alone)."""
    if not device.startswith("cpu"):
        return  # CUDA reserves more address space than any sensible limit
    machine_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    slots = len((settings.devices or device).split(","))
    allowed = settings.worker_memory_bytes or int(machine_bytes * MEMORY_SHARE / slots)
    with open("/proc/self/statm") as statm:  # noqa: PTH123  # /proc is not a path of ours
        used = int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + allowed, resource.RLIM_INFINITY))


def _die_with(parent_pid: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it went before we could ask
        sys.exit(0)


if __name__ == "__main__":
    main()
