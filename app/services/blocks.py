"""The library of named blocks. A network keeps its own copy of what it used, so no change here changes a network."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

from app.db import blocks
from app.db.blocks import BlockRow
from app.db.engine import Connection
from app.errors import Conflict, NotFound, Place, Stale, Unprocessable
from app.messages import BlockChecked, CheckBlock
from app.pool.base import expect
from app.services.architectures import encode_architecture
from app.services.idempotency import Answer, Retry, Write, answer_once
from app.services.lab import Lab, in_thread, look_up
from app.services.naming import is_name
from app.services.writes import check_there

PAGE = 500
POINTER = "/definition"


@dataclass(frozen=True)
class Replaced:
    """A block after a PUT; `created` tells whether it was new."""

    row: BlockRow
    created: bool


def tag_of(row: BlockRow) -> str:
    """What If-Match compares: a block has no revisions, so it is a digest of its definition."""
    return sha256(row.definition).hexdigest()[:32]


async def create_block(
    lab: Lab, name: str, definition: object, retry: Retry | None, render: Callable[[BlockRow], Answer]
) -> Answer:
    """Registers a block. Raises: Conflict `name-taken`; Unprocessable for the name or the definition."""

    async def prepare() -> Write:
        text, uses = await _check(lab, name, definition)

        def write(connection: Connection) -> Answer:
            blocks.lock_library(connection, lab.workspace)
            _check_uses(lab, connection, name, uses)
            return render(blocks.insert(connection, lab.workspace, name, text, uses))

        return write

    return await answer_once(lab, retry, prepare)


async def replace_block(
    lab: Lab, name: str, definition: object, if_match: frozenset[str] | None, *, if_there: bool = False
) -> Replaced:
    """Puts a definition in place of the one there is, or registers it, unless it must be there already.

    Raises: Stale, Unprocessable.
    """
    text, uses = await _check(lab, name, definition)

    def write() -> Replaced:
        with lab.database.transaction() as connection:
            blocks.lock_library(connection, lab.workspace)
            row = blocks.find(connection, lab.workspace, name)
            check_there(row, name, if_there=if_there)
            _check_match(name, row, if_match)
            _check_uses(lab, connection, name, uses)
            if row is None:
                return Replaced(blocks.insert(connection, lab.workspace, name, text, uses), created=True)
            if row.definition == text:
                return Replaced(row, created=False)
            return Replaced(blocks.update(connection, lab.workspace, name, text, uses) or row, created=False)

    return await in_thread(write)


async def find_block(lab: Lab, name: str) -> BlockRow:
    """Finds a block by its name. Raises: NotFound."""
    row = await look_up(lab, partial(blocks.find, workspace=lab.workspace, name=name)) if is_name(name) else None
    if row is None:
        raise _no_block(name)
    return row


async def list_blocks(lab: Lab, *, after: str | None, limit: int) -> list[BlockRow]:
    """Lists up to `limit` blocks in the order of their names, those after the name `after`."""
    return await look_up(lab, partial(blocks.list_page, workspace=lab.workspace, after=after, limit=limit))


async def delete_block(lab: Lab, name: str, if_match: frozenset[str] | None) -> None:
    """Takes a block out of the library. Raises: NotFound, Stale, Conflict while other blocks use it."""
    await in_thread(partial(_delete, lab, name, if_match))


def _delete(lab: Lab, name: str, if_match: frozenset[str] | None) -> None:
    with lab.database.transaction() as connection:
        blocks.lock_library(connection, lab.workspace)
        row = blocks.find(connection, lab.workspace, name) if is_name(name) else None
        if row is None:
            raise _no_block(name)
        _check_match(name, row, if_match)
        users = _users_of(lab, connection, name)
        if users:
            raise Conflict(
                f"{name!r} is used by the block{'s' if len(users) > 1 else ''} {', '.join(users[:10])}; "
                "change or delete those first.",
                code="in-use",
                extra={"used_by": users[:100]},
            )
        blocks.delete(connection, lab.workspace, name)


async def _check(lab: Lab, name: str, definition: object) -> tuple[bytes, list[str]]:
    text = encode_architecture(definition, lab.settings.limits.architecture_bytes, POINTER)
    task = CheckBlock(workspace=lab.workspace, name=name, definition=text, pointer=POINTER)
    return text, expect(await lab.pool.submit(task), BlockChecked).uses


def _check_uses(lab: Lab, connection: Connection, name: str, uses: list[str]) -> None:
    """What a worker found a moment ago must still hold: the blocks are there, and none leads back to this one."""
    open_names, seen = list(uses), set[str]()
    while open_names:
        used = open_names.pop()
        if used == name:
            message = f"{name!r} would use itself."
            raise Unprocessable(message, code="cycle", places=[Place(POINTER, message)])
        if used in seen:
            continue
        seen.add(used)
        row = blocks.find(connection, lab.workspace, used)
        if row is None:
            message = f"There is no block {used!r} any more."
            raise Unprocessable(message, code="unknown-layer", places=[Place(POINTER, message)])
        open_names.extend(row.uses)


def _users_of(lab: Lab, connection: Connection, name: str) -> list[str]:
    users: list[str] = []
    after: str | None = None
    while page := blocks.list_page(connection, lab.workspace, after=after, limit=PAGE):
        users.extend(row.name for row in page if name in row.uses)
        after = page[-1].name
    return users


def _check_match(name: str, row: BlockRow | None, if_match: frozenset[str] | None) -> None:
    if if_match is None or (row is not None and tag_of(row) in if_match):
        return
    words = "is not there" if row is None else "is not the one that If-Match names"
    raise Stale(f"The block {name!r} {words}.")


def _no_block(name: str) -> NotFound:
    shown = name if len(name) <= 128 else name[:128] + "…"
    return NotFound(f"There is no block {shown!r}.")
