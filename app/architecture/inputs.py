"""The inputs of a network: their names, and how given tensors meet them.

A block of one's own says its inputs; a layer of PyTorch has those of its forward that a tensor can fill. Called by
`call.py` and by routes that describe networks.
"""

import inspect
import typing
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from app.architecture.constructors import suggest
from app.architecture.own import OwnBlock, own_inputs
from app.errors import in_place, pointer_to
from app.messages import InputInfo

PAIRS = {(nn.LSTM, "hx")}  # takes a pair of tensors, which no annotation says
WITHOUT_FORWARD = (nn.ModuleList, nn.ModuleDict)


def inputs_of(net: nn.Module) -> list[InputInfo]:
    """Lists the inputs in order; none where the network has no forward."""
    if isinstance(net, OwnBlock):
        return [InputInfo(name=given.name, required=given.required) for given in own_inputs(net) or ()]
    if isinstance(net, WITHOUT_FORWARD):
        return []
    kind: Any = type(net)
    return list(_layer_inputs(kind))


@lru_cache(maxsize=512)
def _layer_inputs(module: Any) -> tuple[InputInfo, ...]:
    forward = module.forward
    try:
        hints = typing.get_type_hints(forward)
    except (NameError, TypeError):
        hints = {}
    found: list[InputInfo] = []
    for parameter in list(inspect.signature(forward).parameters.values())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if _takes_tensor(hints.get(parameter.name)) and (module, parameter.name) not in PAIRS:
            found.append(InputInfo(name=parameter.name, required=parameter.default is parameter.empty))
    return tuple(found)


def _check_forward(net: nn.Module) -> None:
    """Refuses a network that cannot be run."""
    if isinstance(net, OwnBlock) and own_inputs(net) is None:
        message = 'this network has no forward, so it cannot be run; give its block "inputs" and a "forward"'
        raise in_place("/inputs", message, code="bad-arguments")
    if isinstance(net, WITHOUT_FORWARD):
        kind = next(kind for kind in WITHOUT_FORWARD if isinstance(net, kind))
        message = f"a {kind.__name__} holds children without a forward; put it into a block that has one"
        raise in_place("/inputs", message, code="bad-arguments")


def _takes_tensor(hint: Any) -> bool:
    return hint is None or hint is torch.Tensor or torch.Tensor in typing.get_args(hint)


def match_inputs(
    net: nn.Module, inputs: torch.Tensor | Mapping[str, torch.Tensor]
) -> tuple[tuple[torch.Tensor, ...], dict[str, torch.Tensor]]:
    """Gives the arguments of the call: one tensor goes to the only input that must be given.

    Raises Unprocessable where the network has no forward, and with the place of an input that is missing or unknown.
    """
    _check_forward(net)
    if isinstance(net, nn.Sequential) and isinstance(inputs, torch.Tensor):
        return (inputs,), {}
    known = inputs_of(net)
    if isinstance(inputs, torch.Tensor):
        required = [one.name for one in known if one.required]
        if not known:
            raise in_place("/inputs", "this network takes no inputs", code="bad-arguments")
        if len(required) > 1:
            message = f"this network takes several inputs, by name: {_listed(known)}"
            raise in_place(pointer_to("inputs", required[1]), message, code="bad-arguments")
        return (inputs,), {}
    names = [one.name for one in known]
    for name in inputs:
        if name not in names:
            message = f"there is no input {name!r}{suggest(name, names) or '.'} The inputs are: {_listed(known)}"
            raise in_place(pointer_to("inputs", name), message, code="unknown-name")
    for one in known:
        if one.required and one.name not in inputs:
            message = f"input {one.name!r} is missing. The inputs are: {_listed(known)}"
            raise in_place(pointer_to("inputs", one.name), message, code="bad-arguments")
    return (), dict(inputs)


def _listed(known: Sequence[InputInfo]) -> str:
    return ", ".join(one.name if one.required else f"{one.name} (may be left out)" for one in known) or "none"
