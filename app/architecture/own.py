"""`OwnBlock`, the module that a block of one's own becomes, and its classes.

Each definition with its hyperparameters is one class, shared by all the modules made of it, so a block runs like a
class written by hand. Knows no JSON. Called by `plan_own.py`; recognised by `inputs.py` and `untouched.py`.
"""

from collections.abc import Callable, Sequence
from typing import cast

from torch import nn

from app.language.syntax import Input

INPUTS = "own.inputs"  # an attribute of the classes; no member can hide it, since names of members hold no dots


class OwnBlock(nn.Module):
    """The base of blocks of one's own. Has no names besides PyTorch's, so that members may have any other."""


def own_inputs(block: OwnBlock) -> Sequence[Input] | None:
    """Gives the inputs of a block's forward; None where it has no forward."""
    return cast("Sequence[Input] | None", vars(type(block)).get(INPUTS))


def make_class(
    name: str,
    inputs: Sequence[Input],
    forward: Callable[..., object] | None,
    spread: str | None,
) -> type[OwnBlock]:
    """Makes the class of a block. `spread` names the hyperparameter that holds all its children."""
    members: dict[str, object] = {}
    if forward is not None:
        members |= {"forward": forward, INPUTS: tuple(inputs)}
    if spread is not None:
        members[spread] = property(_all_children)
    return type(name, (OwnBlock,), members)


def _all_children(module: nn.Module) -> tuple[nn.Module, ...]:
    return tuple(child for child in module._modules.values() if child is not None)  # noqa: SLF001 - children() drops repeats
