"""Tensors that live on a device: making, finding, copying, combining and deleting them.

A tensor is a row that points at a manifest in the store and names a device; its device's worker keeps it in memory
between calls. It never changes, so its tag is the manifest's digest.
"""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

import orjson

from app.db import placed_tensors
from app.db.engine import Connection
from app.db.placed_tensors import NewPlacedTensor, PlacedTensorRow
from app.errors import Conflict, NotFound, Stale
from app.messages import Elsewhere, Encoded, LoadTensor, MakeTensor, ReadTensor, Reply, TensorMade, TensorRef
from app.pool.base import expect
from app.services.idempotency import Answer, Retry, Write, answer_once
from app.services.lab import Lab, in_thread, look_up, require
from app.services.naming import check_name, is_name, made_up_name
from app.services.placement import choose_device, release

TAG_DIGITS = 32
MOST_TRIES = 3  # while tensors are deleted and made anew elsewhere
Render = Callable[[PlacedTensorRow], Answer]


@dataclass(frozen=True)
class TensorRequest:
    """A tensor that somebody wants. `body` is unread: a file, or JSON that holds values or an expression."""

    body: bytes
    content_type: str
    name: str | None
    device: str | None = None  # None: with the tensors that it is made of, else the default one
    fallback: bool = False


@dataclass(frozen=True)
class CopyRequest:
    """A tensor that is to be on another device, under `name` (None: one is made up)."""

    device: str
    name: str | None
    fallback: bool = False


def tag_of(row: PlacedTensorRow) -> str:
    """What `ETag` holds: it tells one content from another."""
    return row.manifest[:TAG_DIGITS]


async def create_tensor(lab: Lab, request: TensorRequest, retry: Retry | None, render: Render) -> Answer:
    """Makes a tensor on a device and keeps it under a name.

    Raises: Forbidden; Conflict `name-taken`, `device-mismatch`; Malformed, UnsupportedMedia; Unprocessable.
    """
    require(lab, "write")
    tensor_id = str(uuid.uuid4())

    async def prepare() -> tuple[NewPlacedTensor, Render]:
        name = made_up_name() if request.name is None else check_name(request.name)
        device = None
        if request.device is not None:
            device = await choose_device(lab, request.device, fallback=request.fallback, pointer="/device")
        await _check_free(lab, name)
        task = MakeTensor(lab.workspace, request.body, request.content_type, device, tensor_id)
        made = expect(await _submit(lab, task), TensorMade)
        new = NewPlacedTensor(
            tensor_id, lab.workspace, name, made.manifest, made.device, made.dtype, made.shape, made.byte_count
        )
        return new, render

    return await _insert(lab, retry, prepare)


async def evaluate(lab: Lab, document: Mapping[str, object], media_type: str) -> Encoded:
    """The value of an expression over tensors, which is kept nowhere.

    Raises: Conflict `device-mismatch`; Unprocessable for the expression.
    """
    task = MakeTensor(lab.workspace, orjson.dumps(document), "application/json", accept=media_type)
    return expect(await _submit(lab, task), Encoded)


async def copy_tensor(
    lab: Lab, name: str, request: CopyRequest, retry: Retry | None, render: Render, render_same: Render
) -> Answer:
    """Copies a tensor to a device. Where it is there already nothing is made, and `render_same` tells of itself.

    Raises: NotFound; Conflict `name-taken`; Unprocessable `unknown-device`, `bad-name`, `limit-exceeded`.
    """
    tensor_id = str(uuid.uuid4())

    async def prepare() -> tuple[NewPlacedTensor | PlacedTensorRow, Render]:
        row = await find_tensor(lab, name)
        device = await choose_device(lab, request.device, fallback=request.fallback, pointer="/device")
        if device == row.device:
            return row, render_same
        new_name = made_up_name() if request.name is None else check_name(request.name)
        await _check_free(lab, new_name)
        await lab.pool.submit(LoadTensor(TensorRef(tensor_id, row.manifest)), device=device)
        new = NewPlacedTensor(
            tensor_id, lab.workspace, new_name, row.manifest, device, row.dtype, row.shape, row.byte_count
        )
        return new, render

    return await _insert(lab, retry, prepare)


async def _insert(
    lab: Lab, retry: Retry | None, prepare: Callable[[], Awaitable[tuple[NewPlacedTensor | PlacedTensorRow, Render]]]
) -> Answer:
    """Answers with what `prepare` gives: a row as it is, or a tensor that becomes a row. What was loaded for one that
    did not become one is let go."""
    made: NewPlacedTensor | None = None

    async def write_later() -> Write:
        nonlocal made
        tensor, render = await prepare()
        if isinstance(tensor, PlacedTensorRow):
            return lambda _: render(tensor)
        made = tensor

        def write(connection: Connection) -> Answer:
            return render(placed_tensors.insert(connection, tensor))

        return write

    try:
        return await answer_once(lab, retry, write_later)
    except BaseException:
        if made is not None:
            release(lab, made.device, tensor_ids=[made.id])
        raise


async def _submit(lab: Lab, task: MakeTensor) -> Reply:
    """Runs the task where its tensors are, which the first worker that is asked can tell."""
    device = task.device or lab.pool.devices[0]
    for _ in range(MOST_TRIES):
        reply = await lab.pool.submit(task, device=device)
        if not isinstance(reply, Elsewhere):
            return reply
        device = reply.device
    raise Conflict("The tensors of the expression go from device to device meanwhile; try again.")


async def _check_free(lab: Lab, name: str) -> None:
    """Tells early that a name is taken; whether it still is free is decided when the tensor is written."""
    if await look_up(lab, partial(placed_tensors.find, workspace=lab.workspace, name=name)) is not None:
        raise placed_tensors.name_taken(name)


async def find_tensor(lab: Lab, name: str) -> PlacedTensorRow:
    """Finds a tensor by its name. Raises: NotFound."""
    row = None
    if is_name(name):
        row = await look_up(lab, partial(placed_tensors.find, workspace=lab.workspace, name=name))
    if row is None:
        raise _no_tensor(name)
    return row


async def read_tensor(lab: Lab, name: str, index: str | None, media_type: str) -> tuple[PlacedTensorRow, Encoded]:
    """Reads a tensor, or the part of it that `index` selects. Raises: NotFound; Unprocessable `bad-index`."""
    row = await find_tensor(lab, name)
    task = ReadTensor(row.manifest, row.name, row.device, index, media_type)
    there = row.device if row.device in lab.pool.devices else None
    return row, expect(await lab.pool.submit(task, device=there), Encoded)


async def list_tensors(lab: Lab, *, after: str | None, limit: int) -> list[PlacedTensorRow]:
    """Lists up to `limit` tensors in the order of their names, those after the name `after`."""
    return await look_up(lab, partial(placed_tensors.list_page, workspace=lab.workspace, after=after, limit=limit))


async def delete_tensor(lab: Lab, name: str, if_match: frozenset[str] | None) -> None:
    """Deletes a tensor and frees its memory. Raises: NotFound, Stale."""

    def delete() -> PlacedTensorRow:
        with lab.database.transaction() as connection:
            row = placed_tensors.delete(connection, lab.workspace, name) if is_name(name) else None
            if row is None:
                raise _no_tensor(name)
            if if_match is not None and tag_of(row) not in if_match:
                raise Stale(f'The tensor {name!r} is at "{tag_of(row)}", which If-Match does not name.')
            return row

    gone = await in_thread(delete)
    release(lab, gone.device, tensor_ids=[gone.id])


def _no_tensor(name: str) -> NotFound:
    shown = name if len(name) <= 128 else name[:128] + "…"
    return NotFound(f"There is no tensor {shown!r}.")
