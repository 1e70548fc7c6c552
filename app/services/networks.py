"""Networks as things with a name: making, finding, listing, renaming and deleting them.

Making one is slow and happens in a worker, which keeps the tensors; the network itself comes to be in one short
transaction at the end. Everything read here is a row; no tensor is touched.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from secrets import randbits
from typing import Any

import msgspec

from app.db import networks, revisions
from app.db.engine import Connection
from app.db.networks import NetworkRow, NetworkSummary, NewNetwork
from app.db.revisions import NewRevision
from app.errors import Conflict, NotFound, Stale
from app.messages import Batching, BuildNetwork, Built, ProveRowWise, RowWise
from app.pool.base import expect
from app.services.architectures import check_dtype, encode_architecture
from app.services.idempotency import Answer, Retry, Write, answer_once
from app.services.in_training import check_not_in_training
from app.services.lab import Lab, ask_heads, in_thread, look_up
from app.services.naming import check_name, is_name, made_up_name
from app.services.placement import choose_device, release

SEED_BITS = 53  # seeds that are drawn here survive readers that keep numbers as doubles


@dataclass(frozen=True)
class Initialization:
    """Rules of initialisation as JSON was read, a seed of their own (None: the generator goes on after the first
    values), and where the rules stand in the request."""

    rules: object
    seed: int | None
    pointer: str


@dataclass(frozen=True)
class NetworkRequest:
    """A network that somebody wants. `architecture` is JSON as it was read."""

    architecture: object
    name: str | None
    seed: int | None
    device: str | None
    dtype: str
    labels: Mapping[str, str]
    fallback: bool = False
    init: Initialization | None = None


@dataclass(frozen=True)
class Retention:
    """How many revisions are kept besides those with a tag; None: all."""

    keep_last: int | None


@dataclass(frozen=True)
class BatchingChange:
    """How requests may share a run from now on; None: not at all."""

    batching: Batching | None


@dataclass(frozen=True)
class CloneRequest:
    """A network that is to begin as another one is at one of its revisions (None: the newest)."""

    name: str | None
    revision: int | None
    device: str | None
    labels: Mapping[str, str] | None
    fallback: bool = False
    if_match: frozenset[str] | None = None


async def create_network(
    lab: Lab, request: NetworkRequest, retry: Retry | None, render: Callable[[NetworkRow], Answer]
) -> Answer:
    """Makes a network and its revision 1; `render` writes the answer that is kept for a retry.

    Raises: Conflict `name-taken`; Unprocessable for the name, the device, the dtype or the architecture.
    """
    return await answer_once(lab, retry, lambda: _prepare(lab, request, render))


async def _prepare(lab: Lab, request: NetworkRequest, render: Callable[[NetworkRow], Answer]) -> Write:
    name = made_up_name() if request.name is None else check_name(request.name)
    device = await choose_device(lab, request.device, fallback=request.fallback, pointer="/device")
    dtype = check_dtype(request.dtype)
    original = encode_architecture(request.architecture, lab.settings.limits.architecture_bytes)
    seed = randbits(SEED_BITS) if request.seed is None else request.seed
    await _check_free(lab, name)
    network_id = str(uuid.uuid4())
    task = BuildNetwork(
        workspace=lab.workspace,
        architecture=original,
        pointer="/architecture",
        dtype=dtype,
        seed=seed,
        network_id=network_id,
    )
    if request.init is not None:
        init = request.init
        rules = encode_architecture(init.rules, lab.settings.limits.architecture_bytes, init.pointer)
        task = msgspec.structs.replace(task, rules=rules, rules_seed=init.seed, rules_pointer=init.pointer)
    built = expect(await lab.pool.submit(task, device=device), Built)
    network = NewNetwork(
        id=network_id,
        workspace=lab.workspace,
        name=name,
        original=original,
        resolved=built.resolved,
        dtype=dtype,
        device=device,
        seed=seed,
        labels=dict(request.labels),
        inputs=built.inputs,
        parameter_count=built.parameter_count,
        parameter_bytes=built.parameter_bytes,
        layout=built.layout,
    )
    detail = {} if request.init is None else {"init": True}

    def write(connection: Connection) -> Answer:
        row = networks.insert(connection, network)
        revisions.insert(
            connection, NewRevision(network.id, 1, built.manifest, "create", lab.caller.name, detail=detail)
        )
        return render(row)

    return write


async def clone_network(
    lab: Lab, name: str, request: CloneRequest, retry: Retry | None, render: Callable[[NetworkRow], Answer]
) -> Answer:
    """Makes a network that shares all tensors with another one's revision; none is copied.

    Raises: NotFound for the network or the revision; Stale; Conflict `name-taken`; Unprocessable.
    """

    async def prepare() -> Write:
        new_name = made_up_name() if request.name is None else check_name(request.name)
        device = None
        if request.device is not None:
            device = await choose_device(lab, request.device, fallback=request.fallback, pointer="/device")
        await _check_free(lab, new_name)
        return partial(_clone, lab, name, new_name, device, request, render)

    return await answer_once(lab, retry, prepare)


def _clone(
    lab: Lab,
    name: str,
    new_name: str,
    device: str | None,
    request: CloneRequest,
    render: Callable[[NetworkRow], Answer],
    connection: Connection,
) -> Answer:
    source = locked(lab, connection, name, request.if_match)
    number = source.head_revision if request.revision is None else request.revision
    revision = revisions.find(connection, source.id, number)
    if revision is None:
        raise no_revision(name, number, source.head_revision)
    same = {field: getattr(source, field) for field in NewNetwork.__dataclass_fields__}
    changes = {
        "id": str(uuid.uuid4()),
        "name": new_name,
        "device": device or source.device,
        "labels": dict(source.labels if request.labels is None else request.labels),
        "head_revision": 1,
        "keep_last": None,
        "batch_size": None,
        "batch_wait_ms": None,
    }
    row = networks.insert(connection, NewNetwork(**{**same, **changes}))
    detail = {"from": name, "revision": number}
    first = NewRevision(
        row.id, 1, revision.manifest, "clone", lab.caller.name, detail=detail, requires_grad=revision.requires_grad
    )
    revisions.insert(connection, first)
    return render(row)


async def _check_free(lab: Lab, name: str) -> None:
    """Tells early that a name is taken; whether it still is free is decided when the network is written."""
    if await ask_heads(lab, lambda heads: heads.find(lab.workspace, name)) is not None:
        raise networks.name_taken(name)


def no_network(name: str) -> NotFound:
    shown = name if len(name) <= 128 else name[:128] + "…"
    return NotFound(f"There is no network {shown!r}.")


def no_revision(name: str, revision: int, head: int) -> NotFound:
    if 0 < revision < head:
        return NotFound(f"{name!r} keeps no revision {revision} any more; its newest is {head}.")
    return NotFound(f"{name!r} has no revision {revision}; its newest is {head}.")


async def find_network(lab: Lab, name: str) -> NetworkRow:
    """Finds a network by its name. Raises: NotFound."""
    row = await look_up(lab, partial(networks.find, workspace=lab.workspace, name=name)) if is_name(name) else None
    if row is None:
        raise no_network(name)
    return row


async def list_networks(lab: Lab, *, after: str | None, limit: int) -> list[NetworkSummary]:
    """Lists up to `limit` networks in the order of their names, those after the name `after`."""
    return await look_up(lab, partial(networks.list_page, workspace=lab.workspace, after=after, limit=limit))


async def change_network(
    lab: Lab,
    name: str,
    *,
    new_name: str | None,
    labels: Mapping[str, str] | None,
    retention: Retention | None = None,
    batching: BatchingChange | None = None,
    if_match: frozenset[str] | None,
) -> NetworkRow:
    """Renames a network, replaces its labels, or says how many revisions it keeps and how requests share runs.

    Raises: NotFound, Stale, Conflict `name-taken`; Unprocessable `not-row-wise` for a network that may not batch.
    """
    changes: dict[str, Any] = {}
    proven: str | None = None
    if new_name is not None and new_name != name:
        changes["name"] = check_name(new_name)
    if labels is not None:
        changes["labels"] = dict(labels)
    if retention is not None:
        changes["keep_last"] = retention.keep_last
    if batching is not None:
        wanted = batching.batching
        if wanted is not None:
            proven = (await find_network(lab, name)).id
            expect(await lab.pool.submit(ProveRowWise(proven)), RowWise)
        changes["batch_size"] = None if wanted is None else wanted.max_size
        changes["batch_wait_ms"] = None if wanted is None else wanted.max_wait_ms
    return await in_thread(partial(change_row, lab, name, changes, if_match, network_id=proven))


def change_row(
    lab: Lab,
    name: str,
    changes: Mapping[str, Any],
    if_match: frozenset[str] | None,
    *,
    network_id: str | None = None,
) -> NetworkRow:
    """Changes a network's row in a transaction of its own, if it is still `network_id` that has the name.

    Raises: NotFound; Stale; Conflict, also `name-taken`.
    """
    with lab.database.transaction() as connection:
        row = locked(lab, connection, name, if_match)
        if network_id not in (None, row.id):
            message = f"Another network was given the name {name!r} meanwhile."
            raise Conflict(message) if if_match is None else Stale(message)
        changed = {field: value for field, value in changes.items() if getattr(row, field) != value}
        if not changed:
            return row
        if changed.get("keep_last") is not None:
            revisions.prune(connection, row.id, row.head_revision, changed["keep_last"])
        return networks.update(connection, lab.workspace, name, **changed) or row


async def delete_network(lab: Lab, name: str, if_match: frozenset[str] | None) -> None:
    """Deletes a network and all its revisions. Raises: NotFound, Stale; Conflict `in-training`."""

    def delete() -> NetworkRow:
        with lab.database.transaction() as connection:
            row = locked(lab, connection, name, if_match)
            check_not_in_training(connection, row.id, name)
            networks.delete(connection, lab.workspace, name)
            return row

    gone = await in_thread(delete)
    release(lab, gone.device, network_ids=[gone.id])


def locked(lab: Lab, connection: Connection, name: str, if_match: frozenset[str] | None) -> NetworkRow:
    """The row, held until the transaction ends, if the client has seen its revision."""
    row = networks.find(connection, lab.workspace, name, lock=True) if is_name(name) else None
    if row is None:
        raise no_network(name)
    if if_match is not None and str(row.head_revision) not in if_match:
        raise Stale(
            f"{name!r} is at revision {row.head_revision}, which If-Match does not name.",
            extra={"revision": row.head_revision},
        )
    return row
