"""Creating something once, however often the request is sent: the answer is kept in the mutation's own transaction.

A service gives two steps: `prepare`, slow and without effect, which returns `write`, short and inside one
transaction. With a key, a second request is answered with the first one's answer; while the first still runs, it is
told so. Knows nothing of HTTP but that an answer has a status, headers and bytes.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn

import anyio.to_thread

from app.db import idempotency
from app.db.clock import read_clock
from app.db.engine import Connection, Database
from app.db.idempotency import AnswerRow, NewAnswer
from app.errors import Conflict, LabError, Unprocessable
from app.services.lab import Lab, in_thread

KEPT = timedelta(days=7)  # how long a retry gets the first answer, at least
FORGETS_EVERY_SECONDS = 3600.0
FORGOTTEN_AT_ONCE = 1_000  # in one transaction: others wait no longer than it takes to delete them

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What a client was or will be told. `headers` are pairs of name and value."""

    status: int
    headers: list[list[str]]
    body: bytes


@dataclass(frozen=True)
class Retry:
    """A request that may have been sent before: its key, and a digest of its method, path, query and body."""

    key: str
    request_digest: str


Write = Callable[[Connection], Answer]


class _CameSecond(Exception):
    """Another process kept an answer under this key first; this transaction is rolled back."""


async def answer_once(lab: Lab, retry: Retry | None, prepare: Callable[[], Awaitable[Write]]) -> Answer:
    """Runs `prepare` and then what it returned, once for each key.

    Raises: Unprocessable `idempotency-key-reused` for a key that another request has; Conflict `in-flight` while
    the first one runs; whatever the two steps raise (nothing is kept then, and the key stays free).
    """
    if retry is None:
        write = await prepare()
        return await in_thread(lambda: _commit(lab, write))
    with _in_flight(lab, retry):
        earlier = await find_earlier(lab, retry)
        if earlier is not None:
            return earlier
        try:
            write = await prepare()
            return await in_thread(lambda: _commit(lab, write, retry))
        except (LabError, _CameSecond):
            # On another replica the first request may have ended between our look and our write.
            earlier = await find_earlier(lab, retry)
            if earlier is None:
                raise
            return earlier


async def find_earlier(lab: Lab, retry: Retry) -> Answer | None:
    """What the first request with this key was answered, if it was. Raises: Unprocessable `idempotency-key-reused`."""
    return await in_thread(lambda: _find(lab, retry))


@contextmanager
def _in_flight(lab: Lab, retry: Retry) -> Iterator[None]:
    mark = (lab.workspace, retry.key)
    if mark in lab.in_flight:
        raise Conflict("The first request with this Idempotency-Key is still running.", code="in-flight")
    lab.in_flight.add(mark)
    try:
        yield
    finally:
        lab.in_flight.discard(mark)


def _find(lab: Lab, retry: Retry) -> Answer | None:
    with lab.database.reading() as connection:
        row = idempotency.find(connection, lab.workspace, retry.key)
    return None if row is None else _judge(row, retry)


def _judge(row: AnswerRow, retry: Retry) -> Answer:
    if row.request_digest != retry.request_digest:
        raise Unprocessable(
            "This Idempotency-Key was sent before with another request; take a new key for a new request.",
            code="idempotency-key-reused",
        )
    return Answer(row.status, row.headers, row.body)


def _commit(lab: Lab, write: Write, retry: Retry | None = None) -> Answer:
    with lab.database.transaction() as connection:
        answer = write(connection)
        if retry is not None:
            kept = NewAnswer(
                workspace=lab.workspace,
                key=retry.key,
                request_digest=retry.request_digest,
                status=answer.status,
                headers=answer.headers,
                body=answer.body,
            )
            if not idempotency.insert(connection, kept):
                raise _CameSecond
    return answer


def forget_old_answers(database: Database) -> int:
    """Forgets the answers that no client asks for again, a few at a time; returns how many."""
    forgotten = 0
    while True:
        with database.transaction() as connection:
            gone = idempotency.delete_older(connection, KEPT, read_clock(connection), limit=FORGOTTEN_AT_ONCE)
        forgotten += gone
        if gone < FORGOTTEN_AT_ONCE:
            return forgotten


async def keep_forgetting(database: Database, *, every_seconds: float = FORGETS_EVERY_SECONDS) -> NoReturn:
    """Forgets old answers now and then, as long as the service runs. A database that is away is asked again later."""
    while True:
        try:
            await anyio.to_thread.run_sync(forget_old_answers, database)
        except LabError as error:
            logger.warning("old answers stay for now", extra={"reason": error.detail})
        await asyncio.sleep(every_seconds)
