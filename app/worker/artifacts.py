"""Saved tensors as inputs: `{"artifact": name}` where a request may hold a tensor. Called by what reads requests."""

from torch import Tensor

from app.db import artifacts
from app.errors import in_place
from app.store.tensors import StoredTensor
from app.worker.context import Worker
from app.worker.transfer import read_tensors

KEYS = {"artifact", "item"}


def names_artifact(value: object) -> bool:
    """True for `{"artifact": "x"}`. An input may be called so too, with something else than a text for value."""
    return isinstance(value, dict) and isinstance(value.get("artifact"), str)


def read_artifact(worker: Worker, network_id: str, value: object, pointer: str) -> Tensor | dict[str, Tensor]:
    """Reads what `{"artifact": name}` names in the network's workspace: one tensor, or a dict of them by name.

    Raises: Unprocessable at `pointer`; Damaged.
    """
    found = find_artifact(worker, network_id, value, pointer)
    if isinstance(found, StoredTensor):
        return _read(worker, {"": found})[""]
    return _read(worker, found)


def find_artifact(
    worker: Worker, network_id: str, value: object, pointer: str
) -> StoredTensor | dict[str, StoredTensor]:
    """Finds what `{"artifact": name}` names, without reading it.

    `"item"` takes one tensor out of a list (by number) or a dict (by key). Raises: Unprocessable at `pointer`.
    """
    assert isinstance(value, dict)
    for key in value.keys() - KEYS:
        raise in_place(f"{pointer}/{key}", "Beside `artifact` there may be `item`.", code="unknown-key")
    name = value["artifact"]
    with worker.database.reading() as connection:
        row = artifacts.find_beside(connection, network_id, name)
    if row is None:
        raise in_place(f"{pointer}/artifact", f"There is no artifact {name[:128]!r}.", code="unknown-name")
    entries = worker.store.manifest(row.manifest)
    if "item" in value:
        return _item(entries, row.kind, value["item"], f"{pointer}/item")
    if row.kind == "list":
        message = f'{name!r} is a list of {len(entries)}; say which, as in {{"artifact": "{name}", "item": 0}}.'
        raise in_place(pointer, message, code="bad-tensor")
    return entries["tensor"] if row.kind == "tensor" else entries


def read_one(worker: Worker, network_id: str, value: object, pointer: str) -> Tensor:
    """As `read_artifact`, where only one tensor will do."""
    return _read(worker, {"": find_one(worker, network_id, value, pointer)})[""]


def find_one(worker: Worker, network_id: str, value: object, pointer: str) -> StoredTensor:
    """As `find_artifact`, where only one tensor will do."""
    found = find_artifact(worker, network_id, value, pointer)
    if isinstance(found, StoredTensor):
        return found
    message = f'One tensor is needed here; say which with "item": one of {", ".join(map(repr, list(found)[:20]))}.'
    raise in_place(pointer, message, code="bad-tensor")


def _item(entries: dict[str, StoredTensor], kind: str, item: object, pointer: str) -> StoredTensor:
    if kind == "tensor":
        raise in_place(pointer, "The artifact is one tensor and has no items.", code="bad-tensor")
    wanted = str(item) if kind == "list" and type(item) is int else item if kind == "dict" else None
    if not isinstance(wanted, str) or wanted not in entries:
        has = f"numbers from 0 to {len(entries) - 1}" if kind == "list" else ", ".join(map(repr, list(entries)[:20]))
        raise in_place(pointer, f"The artifact has no such item; it has {has}.", code="unknown-name")
    return entries[wanted]


def _read(worker: Worker, entries: dict[str, StoredTensor]) -> dict[str, Tensor]:
    return read_tensors(worker.store, entries, worker.residents.device)
