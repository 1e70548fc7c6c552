"""Tensors as literal numbers in JSON, without a line of the product: what is compared stays what was written down."""

import math
from typing import Any

import torch
from torch import Tensor

LITERAL = 1_000  # larger tensors are spelt as one number and the exceptions


def spelt(tensor: Tensor) -> dict[str, Any]:
    """A tensor as dtype, shape and flat values; a large one as the value that most elements have and the others."""
    told: dict[str, Any] = {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape)}
    flat = tensor.detach().flatten()
    if flat.numel() <= LITERAL:
        return {**told, "values": [_word(value) for value in flat.tolist()]}
    most = flat.mode().values.item()
    others = (flat != most).nonzero().flatten().tolist()
    return {**told, "fill": most, "except": {str(index): flat[index].item() for index in others}}


def read(told: dict[str, Any]) -> Tensor:
    """The tensor that was spelt so."""
    dtype = getattr(torch, told["dtype"])
    if "fill" in told:
        flat = torch.full((math.prod(told["shape"]),), told["fill"], dtype=dtype)
        for index, value in told["except"].items():
            flat[int(index)] = value
    else:
        flat = torch.tensor([_number(value) for value in told["values"]], dtype=dtype)
    return flat.reshape(told["shape"])


def _word(value: complex) -> Any:
    if isinstance(value, complex):
        return [value.real, value.imag]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: Any) -> complex | float:
    return complex(*value) if isinstance(value, list) else float(value) if isinstance(value, str) else value
