"""`OwnBlock`, the module that a block of one's own becomes, and its classes.

Each definition with its hyperparameters is one class, shared by all the modules made of it, so a block runs like a
class written by hand. Knows no JSON. Called by `plan_own.py`; recognised by `inputs.py` and `untouched.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from torch import nn

from app.language.compile import Forward
from app.language.syntax import Input

WRITTEN = "own.written"  # an attribute of the classes; no member can hide it, since names of members hold no dots


@dataclass(frozen=True)
class Written:
    """What the class of a block was made of: its forward and inputs, and the values of the hyperparameters it reads.

    `spread` names the hyperparameter that holds all its children, None where no one does.
    """

    inputs: tuple[Input, ...]
    forward: Forward | None
    hyperparameters: Mapping[str, object]
    spread: str | None


class OwnBlock(nn.Module):
    """The base of blocks of one's own. Has no names besides PyTorch's, so that members may have any other."""


def written_of(block: OwnBlock) -> Written:
    """Gives what the class of a block was made of."""
    return cast("Written", vars(type(block))[WRITTEN])


def own_inputs(block: OwnBlock) -> Sequence[Input] | None:
    """Gives the inputs of a block's forward; None where it has no forward."""
    written = written_of(block)
    return None if written.forward is None else written.inputs


def make_class(name: str, written: Written) -> type[OwnBlock]:
    """Makes the class of a block."""
    members: dict[str, object] = {WRITTEN: written}
    if written.forward is not None:
        members["forward"] = written.forward.bind(written.hyperparameters)
    if written.spread is not None:
        members[written.spread] = property(_all_children)
    return type(name, (OwnBlock,), members)


def _all_children(module: nn.Module) -> tuple[nn.Module, ...]:
    return tuple(child for child in module._modules.values() if child is not None)  # noqa: SLF001 - children() drops repeats
