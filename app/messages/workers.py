"""What a worker and the pool say of themselves: the start, readiness, progress and failure."""

from typing import Literal

import msgspec

from app import errors
from app.errors import LabError, Place
from app.messages.base import Message

# What somebody waits for in a connection; what may take a while; and what may take days, for which nothing else waits.
Lane = Literal["requests", "jobs", "training"]


class Start(Message, frozen=True):
    """First message to a worker: what it is and what it may use."""

    device: str  # "cpu:0", as all others call it
    place: str  # "cpu", what PyTorch calls it here
    lane: Lane
    settings: bytes  # Settings as JSON
    careful: int = 0  # so many tasks come first that a worker died with: none of them shares a run


class Ready(Message, frozen=True):
    """First message from a worker: it has loaded PyTorch and answers from now on."""

    pid: int
    budget_bytes: int  # of networks and tensors that it keeps on its device


class Shared(Message, frozen=True):
    """From a worker: so many requests shared a run just now; their replies follow."""

    requests: int


class Retiring(Message, frozen=True):
    """Last message from a worker that ends by itself because it can do no more: no task is to blame for that."""

    reason: str


class Progress(Message, frozen=True, omit_defaults=True):
    """How far a task has come, sent while it runs; its reply still follows."""

    fraction: float | None = None  # 0 to 1, where the task knows
    detail: bytes = b"{}"  # a JSON object, in the words of the task


class Failure(Message, frozen=True):
    """A `LabError` on its way from a worker."""

    kind: str
    code: str
    detail: str
    places: list[tuple[str, str]]
    extra: bytes  # JSON


def to_failure(error: LabError) -> Failure:
    return Failure(
        kind=type(error).__name__,
        code=error.code,
        detail=error.detail,
        places=[(place.pointer, place.message) for place in error.places],
        extra=msgspec.json.encode(error.extra),
    )


def from_failure(failure: Failure) -> LabError:
    kind = errors.BY_NAME.get(failure.kind, LabError)
    return kind(
        failure.detail,
        code=failure.code,
        places=[Place(pointer, message) for pointer, message in failure.places],
        extra=msgspec.json.decode(failure.extra),
    )
