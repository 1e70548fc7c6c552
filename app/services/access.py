"""Who is let in: from the key that a request carries to the `Lab` of its workspace and role.

All keys stand in a dictionary that is read again when the database may have changed (`app.db.stamps`), so a request
costs a few microseconds, a new key counts at once, and a revoked one ends at once (on PostgreSQL: within a second). As
soon as one key was made, every request needs one; before that, everybody is nobody and may do everything.
Knows nothing of HTTP; called by `app.api.gate`, in the event loop.
"""

import asyncio
import hmac
import math
import time
from dataclasses import replace

from app.db import keys
from app.db.keys import KeyRow
from app.db.stamps import Stamps
from app.errors import Busy, Unauthorized
from app.services.keys import read_key
from app.services.lab import Caller, Lab, in_thread


class Access:
    """The gate of one process. `lab` is the whole one, which a request without a key gets where none was made."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._stamps = Stamps(lab.database)
        self._stamp: object = None  # of what `_grants` was read at
        self._state = (0, 0)  # of the table then
        self._grants: dict[str, _Grant] = {}
        self._reading: tuple[object, asyncio.Task[None]] | None = None

    async def admit(self, presented: str | None) -> Lab:
        """The caller's lab. `presented` is the key as it was sent, None where none was.

        Raises: Unauthorized; Busy when the key is used too often; Unavailable when the database is away.
        """
        stamp = self._stamps.now()
        if stamp != self._stamp:
            await self._refresh(stamp)
        if not self._grants:
            return self._lab
        grant = self._find(presented)
        grant.take(time.monotonic())
        return grant.lab

    def close(self) -> None:
        self._stamps.close()

    def _find(self, presented: str | None) -> "_Grant":
        if presented is None:
            raise Unauthorized("Send a key: `Authorization: Bearer <key>`. Whoever runs this service gives you one.")
        key = read_key(presented)
        grant = None if key is None else self._grants.get(key.id)
        if key is None or grant is None or not hmac.compare_digest(key.digest, grant.key.digest):
            raise Unauthorized("This key is not one that was given out here.")
        if grant.key.revoked_at is not None:
            raise Unauthorized("This key was revoked.")
        if grant.expires_at < time.time():
            raise Unauthorized("This key has expired.")
        return grant

    async def _refresh(self, stamp: object) -> None:
        """Reads the keys, once for all who ask at a time; never answers with a reading begun before the question."""
        if self._reading is not None and self._reading[0] != stamp:
            await asyncio.shield(self._reading[1])
        if self._reading is None:
            began = self._stamps.now()
            self._reading = (began, asyncio.create_task(self._read(began)))
        await asyncio.shield(self._reading[1])

    async def _read(self, stamp: object) -> None:
        try:
            found = await in_thread(self._read_rows)
            if found is not None:
                self._state, rows = found
                earlier = self._grants
                self._grants = {row.id: self._grant(row, earlier.get(row.id)) for row in rows}
            self._stamp = stamp
        finally:
            self._reading = None

    def _read_rows(self) -> tuple[tuple[int, int], list[KeyRow]] | None:
        """The table's state and rows; None while nothing in it has changed."""
        with self._lab.database.reading() as connection:
            state = keys.count(connection)
            return None if state == self._state else (state, keys.list_all(connection))

    def _grant(self, key: KeyRow, earlier: "_Grant | None") -> "_Grant":
        settings = self._lab.settings
        caller = Caller(
            role=key.role,
            name=key.name or key.id,
            body_bytes=settings.key_body_bytes if key.body_bytes is None else key.body_bytes,
        )
        lab = replace(self._lab, workspace=key.workspace, caller=caller)
        rate = settings.key_requests_per_second if key.requests_per_second is None else key.requests_per_second
        return _Grant(key, lab, rate, earlier.free_at if earlier else 0.0)


class _Grant:
    """What one key opens, and how often: the rate is that of a bucket which holds one second's worth of requests."""

    __slots__ = ("_interval", "_slack", "expires_at", "free_at", "key", "lab")

    def __init__(self, key: KeyRow, lab: Lab, requests_per_second: float | None, free_at: float) -> None:
        self.key = key
        self.lab = lab
        self.expires_at = math.inf if key.expires_at is None else key.expires_at.timestamp()
        self.free_at = free_at  # when the bucket is full again
        self._interval = 1 / requests_per_second if requests_per_second else 0.0
        self._slack = max(0.0, 1.0 - self._interval)

    def take(self, now: float) -> None:
        """Takes one request's place. Raises: Busy."""
        if not self._interval:
            return
        free_at = max(self.free_at, now)
        wait = free_at - now - self._slack
        if wait > 0:
            raise Busy(
                f"This key may send {1 / self._interval:g} requests a second.",
                code="too-many-requests",
                extra={"retry_after_seconds": math.ceil(wait)},
            )
        self.free_at = free_at + self._interval
