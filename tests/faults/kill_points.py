"""Where a service or a worker of the forge dies, or waits: at a named point of a write transaction, once, when a test
says so.

The order lies in a file that the process takes away before it dies, so that its successor lives. Points, in the order
in which a transaction passes them:

    before      nothing was asked of the database yet
    written     all statements are done, and none of it is committed
    committing  while the database commits: a timer ends the process somewhere inside
    torn        SQLite: half of the commit's bytes are in the write-ahead log and the rest never comes
    sent        PostgreSQL: COMMIT is on its way, and nobody will hear the answer
    committed   it is durable, and nobody was told

Roles: `service` (in a request), `runner` (the service too, where it runs jobs), `worker`. Of a process that waits,
others of its threads go on; a test that does something meanwhile uses `paused`.
"""

import json
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from tests.faults.conditions import eventually

ResultT = TypeVar("ResultT")

ARMED = "MODEL_LAB_TEST_ARMED"  # the variable that names the file
role = "service"  # of this process


def arm(
    file: Path, point: str, *, role: str = "service", skip: int = 0, seconds: float = 0.0, dies: bool = True
) -> None:
    """Lets the next process of `role` die at `point`, of its write transaction after the next `skip` ones."""
    ready = file.with_suffix(".new")
    ready.write_text(json.dumps({"point": point, "role": role, "skip": skip, "seconds": seconds, "dies": dies}))
    ready.rename(file)


@contextmanager
def paused(file: Path, point: str, request: Callable[[], ResultT], **where: Any) -> Iterator[Future[ResultT]]:
    """Sends a request that comes as far as `point`, and goes on from there when the block has ended."""
    waiting, go = file.with_suffix(".waiting"), file.with_suffix(".go")
    waiting.unlink(missing_ok=True)
    go.unlink(missing_ok=True)
    arm(file, point, dies=False, **where)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(request)
        try:
            eventually(lambda: waiting.exists() or running.done(), f"it has come to {point}")
            yield running
        finally:
            go.touch()


def install() -> None:
    """Wraps every write transaction of this process. Called by the forge before the service begins."""
    from app.db.engine import Database

    for number in (signal.SIGALRM, signal.SIGXFSZ):  # Python has the second ignored
        signal.signal(number, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    original = Database.transaction

    @contextmanager
    def transaction(self: Database, **options: bool) -> Iterator[sa.Connection]:
        order = _take()
        point = order["point"]
        if point == "before":
            _reach(order)
        with original(self, **options) as connection:
            yield connection
            if point == "written":
                _reach(order)
            if point == "committing":
                signal.setitimer(signal.ITIMER_REAL, order["seconds"])
            if point == "torn":
                _tear(connection)
            if point == "sent":
                _send_commit(connection)
        if point not in ("", "before", "written") or order["dies"]:
            _reach(order)

    Database.transaction = transaction  # type: ignore[method-assign]


def _take() -> dict[str, Any]:
    nothing = {"point": "", "dies": False}
    file = Path(os.environ.get(ARMED, "/nowhere"))
    try:
        order: dict[str, Any] = json.loads(file.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return nothing
    if order["role"] != _role():
        return nothing
    if order["skip"]:
        arm(file, **{**order, "skip": order["skip"] - 1})
        return nothing
    file.unlink()
    return order


def _role() -> str:
    from app.observability.logs import request_id_of

    return "runner" if role == "service" and request_id_of.get() is None else role


def _reach(order: dict[str, Any]) -> None:
    if order["dies"]:
        _die()
    file = Path(os.environ[ARMED])
    file.with_suffix(".waiting").touch()
    while not file.with_suffix(".go").exists():
        time.sleep(0.005)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def _tear(connection: sa.Connection) -> None:
    """Ends the process inside the write that brings the log past half a page more than it holds now."""
    log = Path(f"{connection.engine.url.database}-wal")
    limit = log.stat().st_size + 16 * 1024
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def _send_commit(connection: sa.Connection) -> None:
    driver: Any = connection.connection.driver_connection
    driver.pgconn.send_query(b"COMMIT")
    while driver.pgconn.flush():
        time.sleep(0.001)
    _die()
