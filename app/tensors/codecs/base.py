"""What a codec is: a way to read tensors from a body and to write them as one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from app.errors import NotAcceptable
from app.settings import Limits
from app.tensors.bounds import MOST_TENSORS

Tensors = torch.Tensor | list[torch.Tensor] | dict[str, torch.Tensor]
Writable = torch.Tensor | Sequence[torch.Tensor] | Mapping[str, torch.Tensor]


class Decode(Protocol):
    """Reads one body. JSON's takes `dtype` besides: what numbers without one become, float32 unless said.

    Tensors may share the body's memory, which must not change then. Raises Malformed, Unprocessable.
    """

    def __call__(self, body: bytes | memoryview, *, limits: Limits) -> Tensors: ...


class Encode(Protocol):
    """Writes one body. Raises NotAcceptable for what the format cannot hold."""

    def __call__(self, tensors: Writable) -> bytes: ...


@dataclass(frozen=True)
class Codec:
    """One format."""

    name: str
    media_type: str
    decode: Decode
    encode: Encode


def named(tensors: Writable, format_name: str) -> dict[str, torch.Tensor]:
    """Tensors by name, for formats that hold nothing else: one alone is called `tensor`, those of a list `0`, `1`."""
    if isinstance(tensors, torch.Tensor):
        return {"tensor": tensors}
    if isinstance(tensors, Mapping):
        return dict(tensors)
    if len(tensors) > MOST_TENSORS:
        raise NotAcceptable(f"{format_name} of {len(tensors)} tensors; at most {MOST_TENSORS} are written.")
    return {str(position): tensor for position, tensor in enumerate(tensors)}
