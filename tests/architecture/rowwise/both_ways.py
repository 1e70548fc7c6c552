"""A network run on rows together and on each request's rows alone: what a proof promises, and whether it holds."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from app.architecture.call import call
from app.architecture.rowwise import NotRowWise, RowWise, prove
from app.errors import LabError
from app.settings import Limits

LIMITS = Limits(tensor_bytes=2**22)
REQUESTS = (1, 2)  # rows of each


def ranks_of(inputs: Mapping[str, Tensor]) -> dict[str, int]:
    return {name: tensor.ndim for name, tensor in inputs.items()}


def run(net: nn.Module, inputs: Mapping[str, Tensor]) -> list[Tensor]:
    with torch.inference_mode():
        return list(call(net, dict(inputs), limits=LIMITS).outputs.values())


def difference(
    net: nn.Module, proof: RowWise, inputs: Mapping[str, Tensor], requests: Sequence[int] = REQUESTS
) -> str | None:
    """Says how a run together differs from one run for each request; None where it does not.

    Where the run together fails nothing is said: requests then run alone.
    """
    rows = sum(requests)
    starts = [sum(requests[:index]) for index in range(len(requests))]
    try:
        together = run(net, inputs)
    except LabError:
        return None
    for start, count in zip(starts, requests, strict=True):
        own = {name: tensor[start : start + count] for name, tensor in inputs.items()}
        try:
            alone = run(net, own)
        except LabError as error:
            return f"alone it fails: {error.detail}"
        if len(together) != len(proof.dims):
            return f"{len(together)} outputs where {len(proof.dims)} were promised"
        for whole, one, dim in zip(together, alone, proof.dims, strict=True):
            each, left = divmod(whole.shape[dim], rows)
            part = whole.narrow(dim, start * each, count * each)
            if left or part.shape != one.shape or part.dtype != one.dtype or not _close(part, one):
                return f"shape {list(part.shape)} together, {list(one.shape)} alone, or other numbers"
    return None


def check(net: nn.Module, inputs: Mapping[str, Tensor]) -> None:
    """Proves that `net` is row-wise, and sees that it is; alone it must not fail."""
    net.eval()
    proof = prove(net, ranks_of(inputs))
    assert isinstance(proof, RowWise), proof
    run(net, inputs)
    assert difference(net, proof, inputs) is None


def refusal(net: nn.Module, *ranks: int) -> NotRowWise:
    """Gives why a network with one input is not row-wise, for each rank the same operation."""
    found = [prove(net.eval(), rank) for rank in ranks]
    assert all(isinstance(one, NotRowWise) for one in found), found
    assert isinstance(found[0], NotRowWise)
    return found[0]


def _close(a: Tensor, b: Tensor) -> bool:
    if a.is_complex():
        return torch.allclose(a, b, rtol=1e-3, atol=1e-4, equal_nan=True)
    return torch.allclose(a.double(), b.double(), rtol=1e-3, atol=1e-4, equal_nan=True)
