"""Gives a network built on `meta` its tensors, keeping what is tied tied.

Called by the worker when a stored revision is loaded.
"""

from collections.abc import Mapping

import torch
from torch import nn

from app.errors import Damaged


def materialise(net: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Puts `tensors` (by their state_dict names) in place of the parameters and buffers of `net`.

    Each tensor is used as it is, without a copy; parameters keep `requires_grad`, and one that several names share
    is taken once, under its first name. Raises Damaged where a tensor is missing or has another shape.
    """
    placed: dict[int, torch.Tensor] = {}
    keep: list[torch.Tensor] = []  # ids stay unique while what had them lives
    for path, module in net.named_modules(remove_duplicate=False):
        prefix = path + "." if path else ""
        for members in (module._parameters, module._buffers):  # noqa: SLF001 - every name, tied ones too
            for name, old in list(members.items()):
                if old is None or not old.is_meta:
                    continue
                keep.append(old)
                if id(old) not in placed:
                    placed[id(old)] = _replacement(old, tensors, prefix + name)
                setattr(module, name, placed[id(old)])


def _replacement(old: torch.Tensor, tensors: Mapping[str, torch.Tensor], name: str) -> torch.Tensor:
    new = tensors.get(name)
    if new is None:
        raise Damaged(f"the tensor {name!r} of the network is missing")
    if new.shape != old.shape:
        raise Damaged(f"the tensor {name!r} has shape {list(new.shape)}, and the network needs {list(old.shape)}")
    return nn.Parameter(new, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else new
