"""Tensors of the service as first values: `{"tensor": name}` among the constants or parameters of an architecture.

A network's architecture stands alone, so the values are written into it. Called by `architectures.py`.
"""

import orjson
import torch

from app.db import placed_tensors
from app.errors import in_place, pointer_to
from app.tensors.codecs.json_writing import dump, json_value
from app.worker.context import Worker
from app.worker.placed_tensors import ENTRY
from app.worker.transfer import read_tensors

SECTIONS = ("constants", "parameters")
JSON_BYTES_PER_ELEMENT = 2  # at least: a digit and a comma
CPU = torch.device("cpu")


def read_architecture(worker: Worker, workspace: str, text: bytes, pointer: str) -> object:
    """An architecture as JSON, with the values of the tensors that it names. Raises: Unprocessable with the place."""
    document: object = orjson.loads(text)
    return _filled(worker, workspace, document, pointer) if b'"tensor"' in text else document


def _filled(worker: Worker, workspace: str, value: object, pointer: str) -> object:
    if isinstance(value, list):
        return [_filled(worker, workspace, part, f"{pointer}/{place}") for place, part in enumerate(value)]
    if not isinstance(value, dict):
        return value
    filled: dict[str, object] = {}
    for key, part in value.items():
        place = pointer + pointer_to(key)
        if key in SECTIONS and isinstance(part, dict):
            filled[key] = {
                name: _value(worker, workspace, source, place + pointer_to(name)) for name, source in part.items()
            }
        else:
            filled[key] = _filled(worker, workspace, part, place)
    return filled


def _value(worker: Worker, workspace: str, source: object, pointer: str) -> object:
    if not (isinstance(source, dict) and set(source) == {"tensor"} and isinstance(source["tensor"], str)):
        return source
    with worker.database.reading() as connection:
        row = placed_tensors.find(connection, workspace, source["tensor"])
    if row is None:
        message = f"There is no tensor {source['tensor'][:128]!r}."
        raise in_place(f"{pointer}/tensor", message, code="unknown-name")
    stored = worker.store.manifest(row.manifest)[ENTRY]
    limit = worker.limits.architecture_bytes
    tensor = torch.empty(stored.shape, device="meta")
    if tensor.numel() * JSON_BYTES_PER_ELEMENT > limit:
        message = (
            f"{row.name!r} has {tensor.numel()} elements, and an architecture at most {limit} bytes with all values "
            "that are written into it; make the constant by an expression and replace its value afterwards"
        )
        raise in_place(pointer, message, code="limit-exceeded")
    written: object = orjson.loads(dump(json_value(read_tensors(worker.store, {ENTRY: stored}, CPU)[ENTRY])))
    return written
