"""dtypes by name <-> `torch.dtype`. Loads PyTorch: only for what runs in a worker."""

import torch

from app.tensors.dtypes import DTYPES, Dtype

_TORCH: dict[str, torch.dtype] = {name: getattr(torch, name) for name in DTYPES}
_NAMES: dict[torch.dtype, str] = {dtype: name for name, dtype in _TORCH.items()}


def torch_dtype(name: str) -> torch.dtype:
    """The `torch.dtype` of a name in `DTYPES`. Raises KeyError for others."""
    return _TORCH[name]


def dtype_name(dtype: torch.dtype) -> str:
    """PyTorch's name without `torch.`; of every dtype, even one that is not kept or sent."""
    name = _NAMES.get(dtype)
    return str(dtype).removeprefix("torch.") if name is None else name


def describe(dtype: torch.dtype) -> Dtype:
    """The size, kind and other names of a dtype. Raises KeyError for dtypes that are not kept or sent."""
    return DTYPES[_NAMES[dtype]]
