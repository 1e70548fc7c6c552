"""What the tests of this room share: resolve and build from a document, and meet its errors."""

import json
from collections.abc import Mapping

import pytest
import torch
from torch import nn

from app.architecture.build import build
from app.architecture.resolve import resolve
from app.errors import LabError, Unprocessable
from app.settings import Limits

LIMITS = Limits()
P = "/architecture"


def resolved(document: object, library: Mapping[str, object] | None = None, limits: Limits = LIMITS) -> dict:
    return json.loads(json.dumps(resolve(document, library=(library or {}).get, limits=limits, pointer=P)))


def built(document: object, library: Mapping[str, object] | None = None, seed: int = 7) -> nn.Module:
    """Resolves, then seeds and builds; the resolved form goes through JSON text, as it is stored."""
    self_contained = resolved(document, library)
    torch.manual_seed(seed)
    return build(self_contained, limits=LIMITS)


def refusal(document: object, library: Mapping[str, object] | None = None, limits: Limits = LIMITS) -> LabError:
    """Gives the error that `document` is refused with."""
    with pytest.raises(Unprocessable) as caught:
        resolved(document, library, limits)
    return caught.value


def refused(document: object, code: str, pointer: str, library: Mapping[str, object] | None = None) -> str:
    """Checks code and place of a refusal and gives its words."""
    error = refusal(document, library)
    assert (error.code, [place.pointer for place in error.places]) == (code, [pointer]), error.detail
    return error.detail


def same_state(ours: nn.Module, theirs: nn.Module) -> None:
    """Every entry of the state_dicts is equal bit for bit, and so are the names and their order."""
    one, other = ours.state_dict(), theirs.state_dict()
    assert list(one) == list(other)
    for name, tensor in one.items():
        assert tensor.dtype == other[name].dtype
        assert torch.equal(tensor, other[name]), name


def same_parameters(ours: nn.Module, theirs: nn.Module) -> None:
    """As `same_state`, for twins whose names differ."""
    one, other = list(ours.state_dict().values()), list(theirs.state_dict().values())
    assert len(one) == len(other)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
