"""One worker process seen from the pool: starting it, talking to it, noticing that it died.

Frames go over a socket pair; the child answers in order, so the oldest unanswered task is the one that runs. Knows
nothing of what tasks mean, nor of retries: that is the pool's business. Called by `app.pool.local` alone.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Protocol, cast

import msgspec

from app.messages import (
    FrameReader,
    Holding,
    Progress,
    Ready,
    Reply,
    Retiring,
    Shared,
    Start,
    Task,
    Withdrawals,
    frame,
)
from app.messages.withdrawals import SIGNAL

logger = logging.getLogger(__name__)

SOCKET_BUFFER_BYTES = 2**20
RECEIVE_BYTES = 2**16  # at a time, of a reply that is waited for awake
LAST_WORDS_SECONDS = 1.0  # a process that lost its socket may end by itself, and log why
REAPING_SECONDS = 1.0  # a killed process that has not ended by then hangs in a driver, and may for ever


Word = Reply | Ready | Progress | Holding | Shared | Retiring


class Owner(Protocol):
    """Who is told what a process does. All of it is called in the event loop."""

    def worker_ready(self, ready: Ready) -> None: ...

    def worker_holds(self, holding: Holding) -> None: ...

    def worker_told(self, sequence: int, progress: Progress) -> None: ...

    def worker_shared(self, shared: Shared) -> None: ...

    def worker_answered(self, sequence: int, reply: Reply) -> None: ...

    def worker_retires(self, retiring: Retiring) -> None: ...

    def worker_died(self, reason: str) -> None:
        """Called once, when it has gone for whatever cause."""


class WorkerProcess(asyncio.Protocol):
    """A spawned worker and the stream to it: first `spawn`, and when it is known what it is to be, `begin`."""

    def __init__(self) -> None:
        self._owner: Owner | None = None  # before `begin` there is nothing to tell
        self._reader: FrameReader[Word] = FrameReader(Word)
        self._withdrawals: Withdrawals | None = None
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def is_there(self) -> bool:
        return self._transport is not None

    async def spawn(self) -> None:
        """Starts the process, which loads PyTorch and waits. Raises: OSError."""
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
        self._withdrawals, cells = Withdrawals.make()
        try:
            # `-m` of a module, not multiprocessing: the child must not import what the HTTP process has imported.
            self._process = subprocess.Popen(  # noqa: S603, ASYNC220  # our own interpreter and module; spawning takes 1 ms
                [sys.executable, "-m", "app.worker.process", str(theirs.fileno()), str(cells), str(os.getpid())],
                pass_fds=[theirs.fileno(), cells],
                stdin=subprocess.DEVNULL,
            )
        finally:
            theirs.close()
            os.close(cells)
        ours.setblocking(False)
        self._socket = ours.dup()  # the transport closes its own when it likes
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self, sock=ours)

    def begin(self, owner: Owner, start: Start) -> None:
        """Says what it is; it is ready when its owner is told so."""
        self._owner = owner
        self.send(0, start)

    def send(self, sequence: int, message: Task | Start, *, at_once: bool = True) -> None:
        """Puts a message on its way; does nothing when the worker has gone (its owner is told of its death).

        With `at_once` it goes now; else together with others when the loop has nothing else to do.
        """
        if self._transport is None:
            return
        data = frame(sequence, message)
        sent = 0
        if at_once and self._socket is not None and self._transport.get_write_buffer_size() == 0:
            with contextlib.suppress(OSError):
                sent = self._socket.send(data, socket.MSG_DONTWAIT)
        if sent < len(data):
            self._transport.write(data[sent:] if sent else data)

    def wait_awake(self, seconds: float) -> None:
        """Looks for bytes of the worker for `seconds` at most, leaving the loop no turn, and takes what is there.

        For a caller who knows that nothing else runs: to sleep and be woken takes longer than most replies. What it
        leaves, the end of the stream too, comes by way of the loop.
        """
        until = time.monotonic() + seconds
        while self._socket is not None and time.monotonic() < until:
            try:
                data = self._socket.recv(RECEIVE_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
            except OSError:  # it died with bytes unread
                return
            if data:
                self.data_received(data)
            return

    def withdraw(self, sequence: int) -> None:
        """Lets the worker break off or pass over one of the tasks it holds; it answers that one all the same."""
        if self._withdrawals is not None and self._process is not None:
            self._withdrawals.withdraw(sequence)
            self._process.send_signal(SIGNAL)

    def kill(self) -> None:
        """Ends the process at once; its owner is told, even if it does not end."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        if self._transport is not None:
            asyncio.get_running_loop().call_later(REAPING_SECONDS, self._transport.abort)

    def close(self) -> None:
        """Tells the worker to end: it does when it has answered what it holds."""
        if self._transport is not None and self._transport.can_write_eof():
            self._transport.write_eof()

    async def wait(self, timeout_seconds: float) -> None:
        """Waits until the process has ended; kills it after `timeout_seconds`, and does not wait long for that."""
        process = self._process
        if process is None or await _has_ended(process, timeout_seconds):
            return
        process.kill()
        await _has_ended(process, REAPING_SECONDS)

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's do not inherit from asyncio's

    def data_received(self, data: bytes) -> None:
        owner = self._owner
        assert owner is not None, "a worker speaks when it is spoken to"
        try:
            for sequence, message in self._reader.feed(data):
                if isinstance(message, Progress):
                    owner.worker_told(sequence, message)
                elif isinstance(message, Holding):
                    owner.worker_holds(message)
                elif isinstance(message, Shared):
                    owner.worker_shared(message)
                elif isinstance(message, Ready):
                    owner.worker_ready(message)
                elif isinstance(message, Retiring):
                    owner.worker_retires(message)
                else:
                    owner.worker_answered(sequence, message)
        except (msgspec.DecodeError, msgspec.ValidationError):
            logger.exception("worker %s sent bytes that are no reply; killing it", self.pid)
            self.kill()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        self._transport = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        asyncio.ensure_future(self._report_death())  # noqa: RUF006  # the loop runs on; nothing waits for it

    async def _report_death(self) -> None:
        process = self._process
        assert process is not None
        await self.wait(LAST_WORDS_SECONDS)  # a worker without its socket is of no use
        if self._owner is not None:
            self._owner.worker_died(_describe_exit(process.returncode))


async def _has_ended(process: subprocess.Popen[bytes], timeout_seconds: float) -> bool:
    """Waits for it; False when it runs on."""
    until = time.monotonic() + timeout_seconds
    while process.poll() is None:
        if time.monotonic() >= until:
            return False
        await asyncio.sleep(0.02)
    return True


def _describe_exit(status: int | None) -> str:
    if status is None:
        return "it was killed and does not end"
    if status >= 0:
        return f"it ended with exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"it was ended by {name}"
