"""How far two revisions of a network lie apart, tensor by tensor. Called by the handlers.

Tensors of one digest are equal without a look; of the others only the chunks that differ are read, some MiB at a time.
"""

import math
from collections.abc import Iterator

import torch

from app.messages import CompareRevisions, Encoded
from app.store.patch import Patch
from app.store.tensors import StoredTensor
from app.tensors.buffers import tensor_over
from app.tensors.codecs.json_writing import dump
from app.tensors.dtypes import DTYPES
from app.worker.context import Worker
from app.worker.parameters import JSON

PIECE_BYTES = 16 * 2**20


def compare_revisions(worker: Worker, task: CompareRevisions) -> Encoded:
    """Lists the parameters and buffers that differ, with the number of elements, the largest and the root of the
    summed squares of the differences; a tied one once. Raises: Damaged."""
    layout = worker.layouts.find(task.new.network_id)
    old, new = worker.store.manifest(task.old.manifest), worker.store.manifest(task.new.manifest)
    old_flags, new_flags = worker.layouts.flags(task.old), worker.layouts.flags(task.new)
    changed: list[dict[str, object]] = []
    unchanged = 0
    for name, group in layout.under(""):
        before = old_flags.get(group.names[0], group.requires_grad)
        after = new_flags.get(group.names[0], group.requires_grad)
        if old[name].digest == new[name].digest and before == after:
            unchanged += 1
            continue
        entry: dict[str, object] = {
            "name": name,
            "kind": group.kind,
            "dtype": new[name].dtype,
            "shape": list(new[name].shape),
            "tied_to": list(group.names[1:]),
        }
        entry |= _distance(worker, old[name], new[name])
        if before != after:
            entry["requires_grad"] = {"from": before, "to": after}
        changed.append(entry)
    return Encoded(JSON, dump({"changed": changed, "unchanged": unchanged}))


def _distance(worker: Worker, old: StoredTensor, new: StoredTensor) -> dict[str, object]:
    """Equal elements are those of one value; NaN is equal to NaN. A difference that is no number is told in words."""
    count, largest, squares = 0, 0.0, 0.0
    if old.digest != new.digest:
        for before, after in _pieces(worker, old, new):
            same = (before == after) | ((before != before) & (after != after))
            differing = ~same
            count += int(differing.sum())
            apart = (after[differing] - before[differing]).abs().double()
            if apart.numel():
                top = float(apart.max())
                largest = top if math.isnan(top) or math.isnan(largest) else max(largest, top)
                squares += float(apart.square().sum())
    return {"elements_changed": count, "max_difference": _number(largest), "distance": _number(math.sqrt(squares))}


def _number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity"


def _pieces(worker: Worker, old: StoredTensor, new: StoredTensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Flat parts of both tensors, as doubles (or complex doubles), that hold all elements that differ."""
    left, right = worker.store.open_patch(old), worker.store.open_patch(new)
    item = DTYPES[new.dtype].item_bytes
    wide = torch.complex128 if DTYPES[new.dtype].kind == "complex" else torch.float64
    for start, stop in _joined(worker.store.changed_ranges(old, new)):
        first, last = start // item, -(-stop // item)
        yield _part(left, first, last, item).to(wide), _part(right, first, last, item).to(wide)


def _part(patch: Patch, first: int, last: int, item: int) -> torch.Tensor:
    patch.fetch([(first * item, last * item)])
    return tensor_over(patch.buffer, patch.stored.dtype, (last - first,), first * item)


def _joined(ranges: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Ranges cut and joined to pieces of some MiB."""
    for start, stop in ranges:
        for piece in range(start, stop, PIECE_BYTES):
            yield piece, min(stop, piece + PIECE_BYTES)
