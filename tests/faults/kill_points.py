"""Where a service or a worker of the forge dies: at a named point of a write transaction, once, when a test says so.

The order lies in a file that the process takes away before it dies, so that its successor lives. Points, in the order
in which a transaction passes them:

    before      nothing was asked of the database yet
    written     all statements are done, and none of it is committed
    committing  while the database commits: a timer ends the process somewhere inside
    torn        SQLite: half of the commit's bytes are in the write-ahead log and the rest never comes
    sent        PostgreSQL: COMMIT is on its way, and nobody will hear the answer
    committed   it is durable, and nobody was told
"""

import json
import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

ARMED = "MODEL_LAB_TEST_ARMED"  # the variable that names the file
COMMIT_SECONDS = (0.0001, 0.003)  # most commits take about as long
role = "service"


def arm(file: Path, point: str, *, role: str = "service", skip: int = 0, seconds: float = 0.0) -> None:
    """Lets the next process of `role` die at `point`, of its write transaction after the next `skip` ones."""
    ready = file.with_suffix(".new")
    ready.write_text(json.dumps({"point": point, "role": role, "skip": skip, "seconds": seconds}))
    ready.rename(file)


def install() -> None:
    """Wraps every write transaction of this process. Called by the forge before the service begins."""
    from app.db.engine import Database

    for number in (signal.SIGALRM, signal.SIGXFSZ):  # Python has the second ignored
        signal.signal(number, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    original = Database.transaction

    @contextmanager
    def transaction(self: Database) -> Iterator[sa.Connection]:
        point, seconds = _take()
        if point == "before":
            _die()
        with original(self) as connection:
            yield connection
            if point == "written":
                _die()
            if point == "committing":
                signal.setitimer(signal.ITIMER_REAL, seconds)
            if point == "torn":
                _tear(connection)
            if point == "sent":
                _send_commit(connection)
        if point:
            _die()

    Database.transaction = transaction  # type: ignore[method-assign]


def _take() -> tuple[str, float]:
    file = os.environ.get(ARMED)
    if file is None:
        return "", 0.0
    try:
        order = json.loads(Path(file).read_text())
    except FileNotFoundError:
        return "", 0.0
    if order["role"] != role:
        return "", 0.0
    if order["skip"]:
        arm(Path(file), **{**order, "skip": order["skip"] - 1})
        return "", 0.0
    Path(file).unlink()
    return order["point"], order["seconds"]


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
