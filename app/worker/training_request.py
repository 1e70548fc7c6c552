"""Reading a request for training: its words into a plan, its tensors into one manifest of the store.

Saved tensors are taken by their digests, unread; a run keeps what they were when it was asked for. Called by
`training_plan.py`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from torch import Tensor

from app.architecture.optimizers import OF_A_STEP, type_of
from app.errors import LabError, in_place, pointer_to
from app.messages import NetworkRef
from app.messages.training import Checkpoints, Clip, EarlyStop, TrainingPlan
from app.store.tensors import StoredTensor
from app.tensors.codecs.json_reading import looks_like_tensor
from app.worker.artifacts import find_artifact, find_one, names_artifact
from app.worker.context import Worker
from app.worker.requests import SEEDS, read_tensor_of
from app.worker.transfer import bytes_of_each

UNNAMED = ""  # one tensor that was sent without a name
_PLACE = re.compile(r"(.*) - at `([^`]*)`\Z", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`\Z", re.DOTALL)

MOST_STEPS = 2**53  # what JSON's readers count to
Count = Annotated[int, Meta(ge=1, le=MOST_STEPS)]


class Validation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Data that is looked at and not learnt from."""

    inputs: Any
    targets: Any = msgspec.field(default_factory=dict)
    metrics: dict[str, str] = msgspec.field(default_factory=dict)
    batch_size: Count | None = None
    every_epochs: Count = 1


class TrainingRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request for training."""

    inputs: Any
    loss: str
    optimizer: Any
    targets: Any = msgspec.field(default_factory=dict)
    scheduler: Any = None
    scheduler_every: Literal["step", "epoch"] | None = None
    epochs: Count | None = None
    steps: Count | None = None
    batch_size: Count = 32
    shuffle: bool = True
    drop_last: bool = False
    seed: int | None = None
    clip: Clip | float | None = None
    frozen: list[str] = msgspec.field(default_factory=list)
    validation: Validation | None = None
    early_stop: EarlyStop | None = None
    checkpoint: Checkpoints = Checkpoints()


def read_request(document: object) -> TrainingRequest:
    """Reads the words of a request. Raises: Unprocessable `bad-request`, `unknown-key`."""
    try:
        request = msgspec.convert(document, TrainingRequest)
    except msgspec.ValidationError as error:
        raise _refused(str(error)) from None
    if request.epochs is None and request.steps is None:
        raise in_place("", "Say how long: give `epochs`, `steps`, or both.", code="bad-request")
    _check_numbers(request)
    return request


def _refused(text: str) -> LabError:
    """The error in our words: what msgspec says ends in a path such as `$.clip.norm`."""
    found = _PLACE.match(text)
    message, path = (found[1], found[2]) if found else (text, "$")
    pointer = "".join(pointer_to(name or number) for name, number in _STEP.findall(path))
    unknown = _UNKNOWN.match(message)
    if unknown is not None:
        message = f"{unknown[1][:60]!r} is not known here."
        return in_place(pointer + pointer_to(unknown[1]), message, code="unknown-key")
    return in_place(pointer, f"{message}.", code="bad-request")


def _check_numbers(request: TrainingRequest) -> None:
    clip, stop, kept = request.clip, request.early_stop, request.checkpoint
    if request.seed is not None and request.seed not in SEEDS:
        raise in_place("/seed", "`seed` is an integer of 64 bits.", code="bad-request")
    bounds: dict[str, float | None] = {"/clip": clip} if isinstance(clip, float) else {}
    if isinstance(clip, Clip):
        bounds = {"/clip/norm": clip.norm, "/clip/value": clip.value}
        if clip.norm is None and clip.value is None:
            raise in_place("/clip", "Say what is clipped: `norm`, `value`, or both.", code="bad-request")
    bounds |= {"/checkpoint/every_seconds": kept.every_seconds, "/checkpoint/every_steps": kept.every_steps}
    for pointer, number in bounds.items():
        if number is not None and not number > 0:
            raise in_place(pointer, "It is a number above 0, or null.", code="bad-request")
    if kept.keep_last < 1:
        raise in_place("/checkpoint/keep_last", "At least 1 is kept.", code="bad-request")
    if request.validation is not None and "loss" in request.validation.metrics:
        raise in_place("/validation/metrics/loss", "`loss` is there already; take another name.", code="duplicate-name")
    if stop is None:
        return
    if stop.patience < 1 or not stop.min_delta >= 0:
        raise in_place("/early_stop", "`patience` is at least 1, and `min_delta` not below 0.", code="bad-request")
    known = ["loss", *(request.validation.metrics if request.validation else ())]
    if stop.monitor not in known:
        message = f"There is no {stop.monitor[:60]!r} to monitor; there is {', '.join(known)}."
        raise in_place("/early_stop/monitor", message, code="unknown-name")


def plan_of(request: TrainingRequest, frozen: list[str], seed: int) -> TrainingPlan:
    """The plan of a request; `frozen` are parameters by their first names, `seed` for a request that has none."""
    checked = request.validation
    clip = Clip(norm=request.clip) if isinstance(request.clip, float) else request.clip
    scheduler = request.scheduler
    every = request.scheduler_every or ("step" if scheduler and type_of(scheduler) in OF_A_STEP else "epoch")
    return TrainingPlan(
        loss=request.loss,
        optimizer=request.optimizer,
        seed=seed if request.seed is None else request.seed,
        batch_size=request.batch_size,
        shuffle=request.shuffle,
        drop_last=request.drop_last,
        epochs=request.epochs,
        steps=request.steps,
        scheduler=scheduler,
        scheduler_every=every,
        clip=clip or Clip(),
        frozen=frozen,
        metrics=checked.metrics if checked else {},
        validation_batch_size=(checked.batch_size or request.batch_size) if checked else 0,
        validation_every=checked.every_epochs if checked else 1,
        early_stop=request.early_stop,
        checkpoints=request.checkpoint,
    )


def keep_data(worker: Worker, ref: NetworkRef, request: TrainingRequest, first_input: str) -> tuple[str, int]:
    """Puts all tensors of a request under one manifest; returns it and how many samples there are to learn from.

    Raises: Unprocessable where they do not go together.
    """
    groups = {"inputs": (request.inputs, "/inputs"), "targets": (request.targets, "/targets")}
    samples = _Group(worker, ref, groups, first_input)
    found = samples.tensors
    if request.validation is not None:
        checked = request.validation
        groups = {
            "validation.inputs": (checked.inputs, "/validation/inputs"),
            "validation.targets": (checked.targets, "/validation/targets"),
        }
        found = found | _Group(worker, ref, groups, first_input).tensors
    return worker.store.keep_manifest([(name, stored.digest) for name, stored in found.items()]), samples.count


class _Group:
    """Inputs and targets that belong together: one sample is one index of the first dimension of each."""

    def __init__(
        self, worker: Worker, ref: NetworkRef, groups: Mapping[str, tuple[Any, str]], first_input: str
    ) -> None:
        self._worker, self._ref = worker, ref
        self.tensors: dict[str, StoredTensor] = {}
        self.count = 0
        pointers: dict[str, str] = {}
        inline: dict[str, Tensor] = {}
        for group, (value, pointer) in groups.items():
            for name, part, place in self._parts(value, pointer):
                full = f"{group}.{(name or first_input) if group.endswith('inputs') else name}"
                pointers[full] = place
                if isinstance(part, StoredTensor):
                    self.tensors[full] = part
                else:
                    inline[full] = part
        if inline:
            self.tensors |= worker.store.manifest(worker.store.put(bytes_of_each(inline)))
        self._count(pointers)

    def _parts(self, value: object, pointer: str) -> Iterator[tuple[str, StoredTensor | Tensor, str]]:
        if names_artifact(value):
            found = find_artifact(self._worker, self._ref.network_id, value, pointer)
            if isinstance(found, StoredTensor):
                yield UNNAMED, found, pointer
                return
            yield from ((name, stored, pointer) for name, stored in found.items())
        elif looks_like_tensor(value):
            yield UNNAMED, read_tensor_of(self._worker, value, self._ref, pointer, True), pointer
        else:
            assert isinstance(value, dict)
            for name, part in value.items():
                place = pointer + pointer_to(name)
                if names_artifact(part):
                    yield name, find_one(self._worker, self._ref.network_id, part, place), place
                else:
                    yield name, read_tensor_of(self._worker, part, self._ref, place, True), place

    def _count(self, pointers: Mapping[str, str]) -> None:
        first = next(iter(pointers), None)
        if first is None:
            raise in_place("/inputs", "There are no inputs to learn from.", code="missing-input")
        for name, pointer in pointers.items():
            shape = self.tensors[name].shape
            if not shape or not shape[0]:
                message = f"It has shape {list(shape)}; its first dimension counts the samples, of which there is none."
                raise in_place(pointer, message, code="shape-mismatch")
            if shape[0] != self.tensors[first].shape[0]:
                message = f"It holds {shape[0]} samples, and {pointers[first]} {self.tensors[first].shape[0]}."
                raise in_place(pointer, message, code="shape-mismatch")
        self.count = self.tensors[first].shape[0]
