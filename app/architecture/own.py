"""`OwnBlock`, the module that a block of one's own becomes, and its classes.

Each definition with its hyperparameters is one class, shared by all the modules made of it, so a block runs like a
class written by hand. Knows no JSON. Called by `plan_own.py`; recognised by `call.py` and `describe.py`.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

from torch import nn

from app.language.syntax import Input


class OwnBlock(nn.Module):
    """The base of blocks of one's own. `inputs` are None where the block has no forward."""

    inputs: ClassVar[Sequence[Input] | None] = None


def make_class(
    name: str,
    inputs: Sequence[Input],
    forward: Callable[..., object] | None,
    spread: str | None,
) -> type[OwnBlock]:
    """Makes the class of a block. `spread` names the hyperparameter that holds all its children."""
    members: dict[str, object] = {}
    if forward is not None:
        members |= {"forward": forward, "inputs": tuple(inputs)}
    if spread is not None:
        members[spread] = property(_all_children)
    return type(name, (OwnBlock,), members)


def _all_children(module: nn.Module) -> tuple[nn.Module, ...]:
    return tuple(child for child in module._modules.values() if child is not None)  # noqa: SLF001 - children() drops repeats
