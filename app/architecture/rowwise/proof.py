"""The proof that a network treats rows apart: what it gives for a batch is, row by row, what it gives for each alone.

The network is followed without running it, over inputs of given ranks whose first dimension holds the rows. Called by
the worker, when a network is to batch and before it lets requests share a run.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product as combinations

from torch import nn

from app.architecture.inputs import inputs_of
from app.architecture.rowwise.forms import ANYTHING, Elements, Form, Mixed, Value, mixed
from app.architecture.rowwise.sizes import ROWS, fresh
from app.architecture.rowwise.walk import Walk
from app.errors import LabError
from app.language.errors import LanguageError

Ranks = int | Mapping[str, int]  # of the one input, or of inputs by name
LIKELY_RANKS = (2, 3, 4, 1, 5)
MOST_COMBINATIONS = 200
FOLLOWING = (AssertionError, AttributeError, LookupError, TypeError, ValueError, ArithmeticError, RecursionError)


@dataclass(frozen=True)
class RowWise:
    """`dims` tells for each output, in order, which of its dimensions holds the rows."""

    dims: tuple[int, ...]


@dataclass(frozen=True)
class NotRowWise:
    """`operation` lets rows meet, or is not known to keep them apart, for the reason given.

    `child` is the path of the module in which it stands, `line` the line of that module's forward, where it has one.
    """

    operation: str
    reason: str
    child: str
    line: int | None
    steps: int = 0  # that were followed before


def prove(net: nn.Module, ranks: Ranks) -> RowWise | NotRowWise:
    """Follows `net` in mode `eval` over inputs of these ranks. Never raises for what a network may hold."""
    walk = Walk()
    try:
        if isinstance(ranks, int):
            result = walk.call(net, (_input(ranks),), {})
        else:
            result = walk.call(net, (), {name: _input(rank) for name, rank in ranks.items()})
        return RowWise(tuple(_dims(result)))
    except Mixed as error:
        child = next((path for path, module in net.named_modules() if module is error.module), "")
        return NotRowWise(error.operation, error.reason, child, error.line, walk.steps)
    except (*FOLLOWING, LabError, LanguageError) as error:
        return NotRowWise("the forward", f"cannot be followed ({type(error).__name__})", "", None, walk.steps)


def prove_some(net: nn.Module) -> RowWise | NotRowWise:
    """Looks for ranks of the inputs that must be given, from 1 to 5, for which `net` is row-wise.

    Where there are none, what is told is what stopped the one that came furthest.
    """
    found: NotRowWise | None = None
    for ranks in _likely(net):
        proof = prove(net, ranks)
        if isinstance(proof, RowWise):
            return proof
        if found is None or proof.steps > found.steps:
            found = proof
    return found or NotRowWise("the network", "takes no input that could hold rows", "", None)


def _likely(net: nn.Module) -> Iterator[Ranks]:
    names = [one.name for one in inputs_of(net) if one.required]
    if len(names) == 1:
        yield from LIKELY_RANKS
        return
    if not names:
        return
    for rank in LIKELY_RANKS:
        yield dict.fromkeys(names, rank)
    for count, ranks in enumerate(combinations(LIKELY_RANKS, repeat=len(names))):
        if count >= MOST_COMBINATIONS:
            return
        if len(set(ranks)) > 1:
            yield dict(zip(names, ranks, strict=True))


def _input(rank: int) -> Form:
    if rank < 1:
        mixed("the network", "is given a number, which holds no rows")
    return Form((ROWS, *(fresh() for _ in range(rank - 1))))


def _dims(value: Value) -> Iterator[int]:
    """The dimensions of the outputs that hold the rows, in the order in which outputs are named."""
    if isinstance(value, Form):
        if value.rows is None:
            what = "a tensor that may not hold the rows" if value == ANYTHING else "a tensor without rows"
            mixed("return", f"gives {what}, so it cannot be told whose it is")
        yield value.rows
    elif isinstance(value, tuple | Elements):
        if isinstance(value, Elements) and value.known is None:
            mixed("return", "gives a list of unknown length")
        for part in value if isinstance(value, tuple) else value.known or ():
            yield from _dims(part)
    elif value is not None:
        mixed("return", "gives a number, which is one for all rows")
