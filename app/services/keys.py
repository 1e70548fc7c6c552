"""Keys as an operator handles them: making one, listing them, ending one. And how a key is written.

`lab_` + id + `_` + secret: the id finds the key's row, the secret (32 random bytes) proves that it was given out. Only
the secret's SHA-256 is kept, so a key is shown once, when it is made; a hash that is slow on purpose would add nothing
to 256 random bits. Called by the command line and the route of keys; `app.services.access` reads what callers present.
"""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

from app.db import keys
from app.db.engine import Database
from app.db.keys import KeyRow, NewKey, Role
from app.errors import Conflict, NotFound
from app.services.lab import DEFAULT_WORKSPACE, Lab, in_thread, require

PREFIX = "lab_"
SECRET_BYTES = 32
ID_BYTES = 6


@dataclass(frozen=True)
class KeyRequest:
    """A key that an operator wants. Rate and size of None are the settings'."""

    role: Role
    workspace: str = DEFAULT_WORKSPACE
    name: str | None = None
    lifetime: timedelta | None = None
    requests_per_second: float | None = None
    body_bytes: int | None = None


@dataclass(frozen=True)
class Presented:
    """A key as a caller shows it: which one it claims to be, and the digest of what should prove it."""

    id: str
    digest: bytes


def draw_key(request: KeyRequest) -> tuple[str, NewKey]:
    """Draws a key: as its holder is to send it, which nobody can find out again, and as it is to be kept."""
    key_id, secret = secrets.token_hex(ID_BYTES), secrets.token_urlsafe(SECRET_BYTES)
    new = NewKey(
        id=key_id,
        digest=digest_of(secret),
        workspace=request.workspace,
        role=request.role,
        name=request.name,
        requests_per_second=request.requests_per_second,
        body_bytes=request.body_bytes,
    )
    return f"{PREFIX}{key_id}_{secret}", new


def keep_key(database: Database, key: NewKey, lifetime: timedelta | None, *, only_first: bool = False) -> KeyRow:
    """Makes a key hold from now on. Raises: Conflict when it was to be the first one ever and is not."""
    with database.transaction() as connection:
        if only_first:
            keys.lock(connection)
            if keys.count(connection)[0]:
                raise Conflict("There is a key already.")
        return keys.insert(connection, key, lifetime)


def list_keys(database: Database) -> list[KeyRow]:
    """Every key that was ever made, oldest first."""
    with database.reading() as connection:
        return keys.list_all(connection)


async def list_workspace_keys(lab: Lab) -> list[KeyRow]:
    """The keys of the caller's workspace, oldest first. Raises: Forbidden for all but administrators."""
    require(lab, "admin")
    rows = await in_thread(lambda: list_keys(lab.database))
    return [row for row in rows if row.workspace == lab.workspace]


def revoke_key(database: Database, key_id: str) -> KeyRow:
    """Ends a key, for good. Raises: NotFound."""
    with database.transaction() as connection:
        row = keys.revoke(connection, key_id)
    if row is None:
        raise NotFound(f"There is no key {key_id[:40]!r}.")
    return row


def any_made(database: Database) -> bool:
    """Tells whether a key was ever made: from then on, every request needs one."""
    with database.reading() as connection:
        return keys.count(connection)[0] > 0


def read_key(text: str) -> Presented | None:
    """Takes a key apart; None for a text that is no key."""
    key_id, _, secret = text.removeprefix(PREFIX).partition("_")
    if not (text.startswith(PREFIX) and key_id and secret and text.isascii()):
        return None
    return Presented(key_id, digest_of(secret))


def digest_of(secret: str) -> bytes:
    return sha256(secret.encode()).digest()
