"""An index applied to a tensor: reading and writing the elements it means. Loads PyTorch."""

import torch

from app.tensors.index import Index


def select(tensor: torch.Tensor, index: Index) -> torch.Tensor:
    """The elements meant, in order: a view where PyTorch can make one (it knows no negative steps), else a copy."""
    part = tensor[index.items]
    return part.flip(index.flips) if index.flips else part


def assign(tensor: torch.Tensor, index: Index, values: torch.Tensor) -> None:
    """Writes `values` (broadcast to the index's shape) over the elements meant."""
    if index.flips:
        values = values.expand(index.shape).flip(index.flips)
    tensor[index.items] = values
