"""Changing one parameter or buffer: all of it, or parts by value or by expression of `param`. Called by the handlers.

Works on the store alone: the network is not loaded, and of a tensor only the chunks that an edit touches are read and
written. Tied names stay tied. The answer is a manifest; the service makes it a revision.
"""

from collections.abc import Mapping

import orjson
from torch import Tensor

from app.architecture.layout import TensorGroup
from app.architecture.steps import fitted, read_expression, value_of
from app.errors import in_place, pointer_to
from app.messages import Changed, EditParameter, NetworkRef, ReplaceParameter
from app.store.patch import Patch
from app.store.tensors import StoredTensor, TensorBytes
from app.tensors.buffers import bytes_of, tensor_over
from app.tensors.codecs.json_reading import TensorReference, read_tensor
from app.tensors.codecs.registry import codec_of_body
from app.tensors.dtypes import DTYPES
from app.tensors.index import read_index
from app.tensors.selection import assign, select
from app.tensors.strict_json import read_json
from app.tensors.torch_dtypes import torch_dtype
from app.worker.context import Worker
from app.worker.layouts import describe
from app.worker.parameters import JSON, find_tensor
from app.worker.placed_tensors import values_beside
from app.worker.seeding import seeded

KEYS = ("edits", "requires_grad", "seed")
EDIT_KEYS = ("index", "value", "expression")
MOST_EDITS = 1_000
EDITS_TOLD = 20  # in the revision's detail
SEEDS = range(-(2**63), 2**64)
FORM = 'an edit is {"index": "0, 0", "value": 42} or {"index": ":", "expression": "param + 1"}'


def replace_parameter(worker: Worker, task: ReplaceParameter) -> Changed:
    """Writes a whole parameter or buffer, of the same shape. Raises: NotFound, Malformed, Unprocessable."""
    name, group, stored = find_tensor(worker, task.network, task.parameter)
    value, pointer = _read_value(worker, task, stored)
    if tuple(value.shape) != stored.shape:
        message = f"{name!r} has shape {list(stored.shape)}, and the value {list(value.shape)}"
        raise in_place(pointer, message, code="shape-mismatch")
    new = fitted(value, stored.shape, torch_dtype(stored.dtype), pointer)
    content = TensorBytes(stored.dtype, stored.shape, bytes_of(new))
    manifest = worker.store.derive(task.network.manifest, [(group.names, content)])
    info = describe(name, group, stored, worker.layouts.flags(task.network))
    return Changed(manifest=manifest, requires_grad={}, detail=orjson.dumps({"parameter": name}), parameter=info)


def _read_value(worker: Worker, task: ReplaceParameter, stored: StoredTensor) -> tuple[Tensor, str]:
    """The body as a tensor, and where in the body it stands. JSON may hold it under `value`, as it is read."""
    codec = codec_of_body(task.content_type)
    if codec.media_type == JSON:
        document = read_json(task.body)
        if isinstance(document, dict) and set(document) == {"value"}:
            return _tensor(worker, task.network, document["value"], stored.dtype, "/value"), "/value"
        return _tensor(worker, task.network, document, stored.dtype, ""), ""
    tensors = codec.decode(task.body, limits=worker.limits)
    if not isinstance(tensors, Tensor):
        found = list(tensors.values()) if isinstance(tensors, dict) else tensors
        if len(found) != 1:
            message = f"the body holds {len(found)} tensors, where one is wanted"
            raise in_place("", message, code="bad-request")
        return found[0], ""
    return tensors, ""


def _tensor(worker: Worker, network: NetworkRef, value: object, dtype: str, pointer: str) -> Tensor:
    """A value that is to be written over a parameter: as in PyTorch it may come from any device."""
    tensor = read_tensor(value, pointer=pointer, dtype=dtype, limits=worker.limits)
    return values_beside(worker, network, tensor) if isinstance(tensor, TensorReference) else tensor


def edit_parameter(worker: Worker, task: EditParameter) -> Changed:
    """Makes all edits of the body, one after the other, or none of them. Raises: NotFound, Malformed, Unprocessable."""
    name, group, stored = find_tensor(worker, task.network, task.parameter)
    document = _read_edits(task.body)
    flags = _read_flag(document, name, group)
    edits = document.get("edits", [])
    assert isinstance(edits, list)
    patch = worker.store.open_patch(stored)
    with seeded(_seed(document)):
        told = [_edit(worker, task.network, edit, patch, f"/edits/{number}") for number, edit in enumerate(edits)]
    manifest = worker.store.derive(task.network.manifest, [(group.names, patch)]) if edits else task.network.manifest
    detail: dict[str, object] = {"parameter": name}
    if edits:
        detail |= {"edits": told[:EDITS_TOLD], "edit_count": len(edits)}
    if flags:
        detail["requires_grad"] = document["requires_grad"]
    info = describe(name, group, stored, {**worker.layouts.flags(task.network), **flags})
    return Changed(manifest=manifest, requires_grad=flags, detail=orjson.dumps(detail), parameter=info)


def _read_edits(body: bytes) -> dict[str, object]:
    document = read_json(body)
    if not isinstance(document, dict):
        raise in_place("", f'The body is an object such as {{"edits": [...]}}, where {FORM}.', code="bad-request")
    _check_keys(document, KEYS, "")
    edits = document.get("edits", [])
    if not isinstance(edits, list):
        raise in_place("/edits", f"`edits` is a list, where {FORM}.", code="bad-request")
    if len(edits) > MOST_EDITS:
        message = f"{len(edits)} edits; at most {MOST_EDITS} are made at once"
        raise in_place("/edits", message, code="limit-exceeded")
    if not edits and "requires_grad" not in document:
        raise in_place("", "There is nothing to change: give `edits` or `requires_grad`.", code="bad-request")
    _seed(document)
    return document


def _seed(document: Mapping[str, object]) -> int | None:
    seed = document.get("seed")
    if seed is None or (isinstance(seed, int) and type(seed) is int and seed in SEEDS):
        return seed
    raise in_place("/seed", "`seed` is an integer of 64 bits.", code="bad-request")


def _read_flag(document: Mapping[str, object], name: str, group: TensorGroup) -> dict[str, bool]:
    if "requires_grad" not in document:
        return {}
    flag = document["requires_grad"]
    if not isinstance(flag, bool):
        raise in_place("/requires_grad", "`requires_grad` is true or false.", code="bad-request")
    if group.kind == "buffer":
        message = f"{name!r} is a constant or another buffer, which is never trained"
        raise in_place("/requires_grad", message, code="bad-request")
    return {group.names[0]: flag}


def _edit(worker: Worker, network: NetworkRef, edit: object, patch: Patch, pointer: str) -> dict[str, object]:
    """Makes one edit in the patch; tells it for the revision's detail."""
    if not isinstance(edit, dict):
        raise in_place(pointer, f"{FORM}.", code="bad-request")
    _check_keys(edit, EDIT_KEYS, pointer)
    if ("value" in edit) == ("expression" in edit):
        raise in_place(pointer, f"Give either `value` or `expression`: {FORM}.", code="bad-request")
    text = edit.get("index", "...")
    if not isinstance(text, str):
        raise in_place(f"{pointer}/index", "an index is text, such as `0, :`", code="bad-index")
    stored = patch.stored
    index = read_index(text, stored.shape, pointer=f"{pointer}/index")
    patch.fetch(index.touched(DTYPES[stored.dtype].item_bytes, patch.chunk_bytes))
    whole = tensor_over(patch.buffer, stored.dtype, stored.shape)
    if "expression" in edit:
        place, expression = f"{pointer}/expression", edit["expression"]
        if not isinstance(expression, str):
            raise in_place(place, "an expression is text, such as `param + 1`", code="bad-expression")
        step = read_expression(expression, place, worker.limits)
        value = value_of(step, select(whole, index), index.shape, worker.limits)
        told: dict[str, object] = {"index": text, "expression": expression}
    else:
        place = f"{pointer}/value"
        given = _tensor(worker, network, edit["value"], stored.dtype, place)
        value = fitted(given, index.shape, whole.dtype, place)
        short = isinstance(edit["value"], int | float | str)
        told = {"index": text, "value": edit["value"] if short else {"shape": list(given.shape)}}
    assign(whole, index, value)
    return told


def _check_keys(document: Mapping[str, object], known: tuple[str, ...], pointer: str) -> None:
    for key in document:
        if key not in known:
            message = f"{key[:60]!r} is not known here; known are {', '.join(known)}."
            raise in_place(pointer + pointer_to(key), message, code="unknown-key")
