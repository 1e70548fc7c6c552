"""The worker process: takes tasks from a socket one after the other and answers each.

Started by `app.pool` as `python -m app.worker.process SOCKET_FD WITHDRAWALS_FD PARENT_PID`. It owns one device; what
runs in it can be slow, take memory or crash without touching the HTTP process. Knows nothing of HTTP, of other workers
or of retries.
"""

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
from app.messages import (
    Failure,
    FrameReader,
    Lane,
    Ready,
    Reply,
    Retiring,
    RunForward,
    Shared,
    Start,
    Task,
    Withdrawals,
    frame,
)
from app.settings import Settings
from app.worker.context import Worker
from app.worker.failures import DEVICE_FAILED, describe
from app.worker.handlers import answer
from app.worker.inbox import RECEIVE_BYTES, Inbox, Waiting
from app.worker.memory import address_space
from app.worker.shared_forward import DeviceFailed, run_shared
from app.worker.sharing import Sharing
from app.worker.turn import Turn, Withdrawn

logger = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
JOB_NICENESS = 5  # where processors are short, requests go before jobs
WITHDRAWN = Failure(
    kind="Unavailable", code="unavailable", detail="Nobody waits for it any more.", places=[], extra=b"{}"
)
UNFORESEEN = Failure(
    kind="LabError",
    code="internal-error",
    detail="Something went wrong here that is not your fault; the service's log has the details.",
    places=[],
    extra=b"{}",
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
        worker, careful = _start(connection, reader, turn)
        gc.collect()
        gc.freeze()  # what is loaded now stays: later collections need not walk all of PyTorch
        connection.sendall(frame(0, Ready(pid=os.getpid(), budget_bytes=worker.residency.budget_bytes)))
        _serve(connection, Inbox(connection, reader, careful), worker)


def _start(connection: socket.socket, reader: FrameReader[Start | Task], turn: Turn) -> tuple[Worker, int]:
    """The worker that the first message describes, and how many of its first tasks share no run."""
    while data := connection.recv(RECEIVE_BYTES):
        for _, message in reader.feed(data):
            assert isinstance(message, Start), "the first message says what this worker is"
            settings = Settings.model_validate_json(message.settings)
            _prepare_torch(message.device, message.lane, settings)
            _limit_memory(message.place, settings)
            database = Database(settings.resolved_database_url, writing=turn.uninterrupted)
            # A job that dies is not tried again here, so none may die of another one.
            careful = message.careful if message.lane == "requests" else sys.maxsize
            return Worker.make(message.device, settings, database, turn, message.place), careful
    sys.exit(0)


def _serve(connection: socket.socket, inbox: Inbox, worker: Worker) -> None:
    """Answers tasks in their order, and those that shared a run with the first at once with it."""
    sharing = Sharing(worker.settings)
    context = contextvars.copy_context()
    while (first := inbox.next()) is not None:
        frames: list[bytes] = []
        if first.reply is None:
            group = sharing.gather(inbox, first)
            began = time.monotonic()
            try:
                context.run(_answer, worker, group)
            except Withdrawn:
                context = contextvars.copy_context()  # the task may have ended before it put its own back
                for one in group:
                    one.reply = WITHDRAWN if worker.turn.is_withdrawn(one.sequence) else one.reply
                _clean_up(worker)
            except DeviceFailed as error:
                connection.sendall(frame(0, Retiring(reason=str(error))))  # they run alone on the next worker
                return
            sharing.ran(first.task, len(group), time.monotonic() - began)
            frames += _news(worker, group)
        done = [first]
        while inbox.waiting and inbox.waiting[0].reply is not None:
            done.append(inbox.waiting.popleft())
        frames += [_framed(worker, one.sequence, one.reply) for one in done if one.reply is not None]
        _send(connection, frames)  # at once: the pool must know what runs now
        if isinstance(first.reply, Failure) and first.reply.code == DEVICE_FAILED:
            connection.sendall(frame(0, Retiring(reason=first.reply.detail)))
            return


def _news(worker: Worker, group: list[Waiting]) -> list[bytes]:
    """What the pool should know of a run before its replies."""
    frames = [frame(0, worker.residency.changes())] if worker.residency.changed else []
    answered = sum(one.reply is not None for one in group)
    if answered > 1:
        frames.append(frame(0, Shared(requests=answered)))
    return frames


def _answer(worker: Worker, group: list[Waiting]) -> None:
    """Runs the tasks of `group` together, and the first alone where that does not do.

    Raises: Withdrawn, DeviceFailed.
    """
    first = group[0]
    if len(group) > 1:
        try:
            if worker.turn.begin(*(one.sequence for one in group)):
                replies = run_shared(worker, [one.task for one in group if isinstance(one.task, RunForward)])
                for one, reply in zip(group, replies, strict=True):
                    one.reply = reply
        except DeviceFailed:
            raise
        except Exception:
            logger.exception("requests that shared a run failed in a way nobody foresaw; they run alone")
        finally:
            for one in group:
                one.alone = True  # whoever has no reply yet
            worker.turn.end()
    if first.reply is None:
        first.reply = _answer_alone(worker, first.sequence, first.task)


def _answer_alone(worker: Worker, sequence: int, task: Task) -> Reply:
    """Runs a task. Raises: Withdrawn."""
    try:
        return answer(worker, task) if worker.turn.begin(sequence) else WITHDRAWN
    except Exception:
        logger.exception("a %s failed in a way nobody foresaw", type(task).__name__)
        return UNFORESEEN
    finally:
        worker.turn.end()


def _send(connection: socket.socket, frames: list[bytes]) -> None:
    """Sends small frames together; to join large ones would take their memory twice."""
    if sum(map(len, frames)) <= RECEIVE_BYTES:
        frames = [b"".join(frames)]
    for data in frames:
        connection.sendall(data)


def _framed(worker: Worker, sequence: int, reply: Reply) -> bytes:
    """A reply for the stream; a failure in place of one that cannot be written."""
    try:
        return frame(sequence, reply)
    except MemoryError as error:
        return frame(sequence, describe(worker, error))
    except Exception:
        logger.exception("a %s cannot be sent", type(reply).__name__)
        return frame(sequence, UNFORESEEN)


def _clean_up(worker: Worker) -> None:
    """Puts right what a task that was broken off may have left: between any two instructions, so nothing is certain."""
    worker.residency.mend()
    torch.set_grad_enabled(True)
    torch.seed()


def _prepare_torch(device: str, lane: Lane, settings: Settings) -> None:
    if lane != "requests":
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
