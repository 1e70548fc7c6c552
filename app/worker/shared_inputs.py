"""What several requests for one network hold, read and joined: rows of one beside rows of the next.

Requests are joined that agree in the names, dtypes and shapes of their inputs but for the rows, and ask for nothing but
outputs in mode eval. What cannot be read or joined is left out, and told to nobody: it runs alone. Called by
`shared_forward.py`.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from app.errors import LabError
from app.messages import RunForward
from app.tensors.codecs.json_reading import TensorReference, read_tensor
from app.tensors.strict_json import read_json
from app.worker.context import Worker
from app.worker.forward import JSON, Request, read_json_request, read_request
from app.worker.requests import Tensors, placed

Lists = list[object] | dict[str, list[object]]  # rows as JSON was read, of one input or of several by name
UNREADABLE = (LabError, MemoryError, RecursionError)
OneT = TypeVar("OneT", list[object], Tensor)


class Part(NamedTuple):
    """One request: its number among all, and how many rows it has."""

    place: int
    rows: int


class Joined(NamedTuple):
    """Inputs of several requests, in the order of `parts`."""

    inputs: Tensors
    parts: list[Part]


class _Group(NamedTuple):
    """Requests that agree, with what each holds: keys of lists are shapes, those of tensors hold dtypes too."""

    parts: list[Part]
    lists: list[Lists]
    tensors: list[Tensors]


def join_requests(worker: Worker, tasks: Sequence[RunForward]) -> list[Joined]:
    """Reads the bodies and joins what agrees, two requests or more each time."""
    groups: dict[Hashable, _Group] = {}
    for place, task in enumerate(tasks):
        try:
            _read(worker, groups, place, task)
        except UNREADABLE:
            continue
    joined = []
    for group in list(groups.values()):
        if len(group.parts) < 2 or not group.lists:
            continue
        try:
            inputs = _merge(group.lists, lambda lists: _tensor_of_rows(worker, tasks[0].network.dtype, lists))
            joined.append(Joined(inputs, group.parts))
        except UNREADABLE:  # what one of them holds spoils it for all: each is read by itself then
            for part in group.parts:
                _read_by_itself(worker, groups, part.place, tasks[part.place])
    for group in groups.values():
        if len(group.parts) > 1 and group.tensors:
            inputs = placed(_merge(group.tensors, torch.cat), worker.residents.device)
            joined.append(Joined(inputs, group.parts))
    return joined


def _read(worker: Worker, groups: dict[Hashable, _Group], place: int, task: RunForward) -> None:
    """Puts one request into its group. Rows in plain JSON stay lists: one tensor of all is made at once."""
    if task.content_type != JSON:
        _add_tensors(groups, place, task, read_request(worker, task))
        return
    document = read_json(task.body)
    lists = _plain_rows(document)
    if lists is None:
        _add_tensors(groups, place, task, read_json_request(worker, task, document))
    elif rows := _count(lists, len):
        group = groups.setdefault(_each(lists, _shape), _Group([], [], []))
        group.parts.append(Part(place, rows))
        group.lists.append(lists)


def _read_by_itself(worker: Worker, groups: dict[Hashable, _Group], place: int, task: RunForward) -> None:
    try:
        _add_tensors(groups, place, task, read_request(worker, task))
    except UNREADABLE:
        return


def _add_tensors(groups: dict[Hashable, _Group], place: int, task: RunForward, request: Request) -> None:
    plain = (request.mode, request.seed, request.capture, request.update_buffers) == ("eval", None, [], False)
    rows = _count(request.inputs, lambda tensor: tensor.shape[0] if tensor.ndim else 0)
    if plain and rows and request.revision in (None, task.network.revision):
        key = _each(request.inputs, lambda tensor: (tensor.dtype, tensor.shape[1:]))
        group = groups.setdefault(key, _Group([], [], []))
        group.parts.append(Part(place, rows))
        group.tensors.append(request.inputs)


def _plain_rows(document: object) -> Lists | None:
    """The inputs of a body that holds nothing else, as lists; None where there is more to it."""
    if not isinstance(document, dict) or len(document) != 1:
        return None
    inputs = document.get("inputs")
    if isinstance(inputs, list):
        return inputs
    by_name = isinstance(inputs, dict) and "data" not in inputs
    return inputs if by_name and inputs and all(isinstance(value, list) for value in inputs.values()) else None


def _shape(rows: list[object]) -> tuple[int, ...]:
    """The shape but for the rows, going by what comes first; whether it is even shows when the tensor is made."""
    sizes: list[int] = []
    one: object = rows[0]
    while isinstance(one, list):
        sizes.append(len(one))
        one = one[0] if one else None
    return tuple(sizes)


def _tensor_of_rows(worker: Worker, dtype: str, several: Sequence[list[object]]) -> Tensor:
    rows = list(chain.from_iterable(several))
    tensor = read_tensor(rows, pointer="/inputs", dtype=dtype, limits=worker.limits)
    assert not isinstance(tensor, TensorReference), "a list names no tensor"
    return tensor.to(worker.residents.device)


# --- one input, or several by name ---


def _each(inputs: OneT | Mapping[str, OneT], tell: Callable[[OneT], Hashable]) -> Hashable:
    if isinstance(inputs, Mapping):
        return tuple((name, tell(inputs[name])) for name in sorted(inputs))
    return tell(inputs)


def _count(inputs: OneT | Mapping[str, OneT], count: Callable[[OneT], int]) -> int:
    """The number of rows; 0 where inputs have different ones, which belong to no row, and of no rows."""
    if isinstance(inputs, Mapping):
        counts = {count(one) for one in inputs.values()}
        return counts.pop() if len(counts) == 1 else 0
    return count(inputs)


def _merge(several: Sequence[OneT | Mapping[str, OneT]], merge: Callable[[list[OneT]], Tensor]) -> Tensors:
    first = several[0]
    if isinstance(first, Mapping):
        columns = [inputs for inputs in several if isinstance(inputs, Mapping)]
        return {name: merge([inputs[name] for inputs in columns]) for name in first}
    return merge([inputs for inputs in several if not isinstance(inputs, Mapping)])
