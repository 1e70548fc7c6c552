"""A tensor in a few numbers: how large, how spread, how much of it is nothing. Called for gradients."""

import torch
from torch import Tensor

from app.tensors.codecs.json_writing import json_data
from app.tensors.torch_dtypes import dtype_name

Summary = dict[str, object]


def summarise(tensor: Tensor) -> Summary:
    """Members for JSON: dtype, shape, the 2-norm of all values; mean, deviation (unbiased), minimum and maximum of the
    finite ones; the shares of zeros and of what is not finite.

    What has no meaning (the deviation of one value, the least of complex ones) is None.
    """
    known: Summary = {"dtype": dtype_name(tensor.dtype), "shape": list(tensor.shape)}
    flat = tensor.detach().reshape(-1)
    if not flat.dtype.is_complex and flat.dtype not in (torch.float32, torch.float64):
        flat = flat.float()
    count = flat.numel()
    kept = flat.isfinite()
    finite = flat if bool(kept.all()) else flat[kept]
    found = finite.numel()
    numbers: Summary = {"norm": json_data(torch.linalg.vector_norm(flat))}
    ordered = found > 0 and not flat.dtype.is_complex
    numbers["mean"] = finite.mean().item() if ordered else None
    numbers["std"] = finite.std().item() if ordered and found > 1 else None
    numbers["min"] = finite.min().item() if ordered else None
    numbers["max"] = finite.max().item() if ordered else None
    numbers["zeros"] = (count - int(torch.count_nonzero(flat))) / count if count else 0.0
    numbers["non_finite"] = (count - found) / count if count else 0.0
    return known | numbers
