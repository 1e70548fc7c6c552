"""Optimizers and schedulers of `torch.optim` by name and arguments: the catalogue, and how one is made.

Written as a layer is: `Adam(lr=0.01)`, or an object of `type`, `args` and `kwargs`. All of it is read from PyTorch's
own classes, so a new release brings its new ones. Knows no networks: parameters come in, an optimizer goes out. Called
by the worker's training and by the catalogue's route.
"""

import collections.abc
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from torch import nn, optim
from torch.optim import lr_scheduler
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.optim.optimizer import Optimizer

from app.architecture.arguments import INTEGER, REFUSED, TEXT, Kind, row
from app.architecture.constructors import BadArguments, Constructor, bind, read_parameters, suggest
from app.errors import in_place, pointer_to
from app.language.compile import evaluate
from app.language.errors import LanguageError
from app.language.syntax import parse_expression
from app.settings import Limits

Scheduler = LRScheduler | ReduceLROnPlateau

OF_A_STEP = frozenset({"OneCycleLR", "CyclicLR"})  # PyTorch means these to go on with each batch, all others each epoch
KEYS = ("type", "args", "kwargs")
WITHHELD = {
    "differentiable": "nothing here differentiates through an optimizer",
    "last_epoch": "a run that goes on knows where it was",
}


class SchedulerKind(Kind):
    def take(self, value: object) -> object:
        return value if isinstance(value, Scheduler) else REFUSED


SCHEDULER = SchedulerKind(
    "a scheduler", {"type": ["string", "object"], "description": "a scheduler: its call as text, or an object"}
)
KNOWN: dict[str, Kind] = {
    "lr_lambda": TEXT,  # an expression of `epoch`
    "schedulers": row(SCHEDULER, None),
    "milestones": row(INTEGER, None),
}
_NAMES = {**vars(collections.abc), "Literal": typing.Literal, "Optimizer": Optimizer, "LRScheduler": LRScheduler}


@dataclass(frozen=True)
class Family:
    """The classes of one kind: `first` is what each is made of besides what a user gives it."""

    word: str
    example: str
    first: str
    members: Mapping[str, tuple[Constructor, type[Any]]]


def _family(word: str, example: str, first: str, classes: Iterable[type[Any]]) -> Family:
    members = {}
    for made in classes:
        parameters = read_parameters(made, WITHHELD, KNOWN, _NAMES)
        kept = tuple(parameter for parameter in parameters if parameter.name != first)
        members[made.__name__] = Constructor(made.__name__, kept), made
    return Family(word, example, first, dict(sorted(members.items())))


def _classes(module: Any, base: type[Any]) -> list[type[Any]]:
    found = [value for name, value in vars(module).items() if isinstance(value, type) and not name.startswith("_")]
    return [value for value in found if issubclass(value, base) and value is not base]


OPTIMIZERS = _family("optimizer", "Adam(lr=0.01)", "params", _classes(optim, Optimizer))
SCHEDULERS = _family("scheduler", "StepLR(10)", "optimizer", _classes(lr_scheduler, LRScheduler))


def make_optimizer(
    document: object, parameters: Iterable[nn.Parameter], limits: Limits, pointer: str = "/optimizer"
) -> Optimizer:
    """Makes the optimizer that `document` describes, over `parameters`.

    Raises Unprocessable at `pointer`: `unknown-name`, `bad-arguments`, `bad-expression`, `unknown-key`.
    """
    made = _make(OPTIMIZERS, document, list(parameters), limits, pointer)
    assert isinstance(made, Optimizer)
    return made


def make_scheduler(document: object, optimizer: Optimizer, limits: Limits, pointer: str = "/scheduler") -> Scheduler:
    """Makes the scheduler that `document` describes, for `optimizer`. Raises as `make_optimizer` does."""
    made = _make(SCHEDULERS, document, optimizer, limits, pointer)
    assert isinstance(made, Scheduler)
    return made


def type_of(document: object) -> str:
    """The name of the class in a document that was made something of before."""
    if isinstance(document, Mapping):
        return str(document["type"])
    return str(document).partition("(")[0].rpartition(".")[2].strip()


def _make(family: Family, document: object, first: object, limits: Limits, pointer: str) -> object:
    if isinstance(document, str):
        return _make_of_text(family, document, first, limits, pointer)
    if not isinstance(document, Mapping) or "type" not in document:
        message = f'The {family.word} is a text such as "{family.example}", or an object of "type" and "kwargs".'
        raise in_place(pointer, message, code="bad-arguments")
    for key in document:
        if key not in KEYS:
            message = f"{key[:60]!r} is not known here; there are type, args and kwargs (arguments by name)."
            raise in_place(pointer + pointer_to(key), message, code="unknown-key")
    name, args, kwargs = document["type"], document.get("args", []), document.get("kwargs", {})
    if not isinstance(name, str) or name not in family.members:
        raise _unknown(family, name, f"{pointer}/type")
    if not isinstance(args, list) or not isinstance(kwargs, Mapping):
        raise in_place(pointer, "`args` is a list and `kwargs` an object.", code="bad-arguments")
    inner = partial(_inner, family, first, limits)
    try:
        taken = [inner(value, f"{pointer}/args/{number}") for number, value in enumerate(args)]
        named = {key: inner(value, f"{pointer}/kwargs{pointer_to(key)}") for key, value in kwargs.items()}
        return _call(family, name, first, limits, *taken, **named)
    except BadArguments as error:
        inside = (
            "" if error.key is None else f"/{'args' if isinstance(error.key, int) else 'kwargs'}{pointer_to(error.key)}"
        )
        raise in_place(pointer + inside, error.message, code=error.code) from error


def _inner(family: Family, first: object, limits: Limits, value: object, pointer: str) -> object:
    """An argument: schedulers among it are made, everything else stays as it is."""
    if isinstance(value, list):
        return [_inner(family, first, limits, part, f"{pointer}/{number}") for number, part in enumerate(value)]
    if isinstance(value, Mapping):
        return _make(family, value, first, limits, pointer)
    if isinstance(value, str) and type_of(value) in family.members:
        return _make(family, value, first, limits, pointer)
    return value


def _make_of_text(family: Family, text: str, first: object, limits: Limits, pointer: str) -> object:
    name = text.strip()
    if name in family.members:
        text = f"{name}()"
    for prefix in ("torch.optim.lr_scheduler.", "optim.lr_scheduler.", "lr_scheduler.", "torch.optim.", "optim."):
        text = text.replace(prefix, "")
    calls: dict[str, Callable[..., object]] = {
        name: partial(_call, family, name, first, limits) for name in family.members
    }
    try:
        expression = parse_expression(text, limits)
        if not expression.called & family.members.keys():
            raise _unknown(family, type_of(text), pointer)
        made = evaluate(expression, {}, calls=calls, limits=limits)
    except LanguageError as error:
        raise in_place(pointer, str(error), code=error.code) from error
    if not isinstance(made, Optimizer | Scheduler):
        raise in_place(pointer, f"This makes no {family.word}.", code="bad-arguments")
    return made


def _unknown(family: Family, name: object, pointer: str) -> Exception:
    shown = str(name)[:60]
    message = f"there is no {family.word} {shown!r}{suggest(shown, family.members)}"
    return in_place(pointer, message, code="unknown-name")


def _call(family: Family, name: str, first: object, limits: Limits, /, *args: object, **kwargs: object) -> object:
    """Makes one of a family. Raises: BadArguments."""
    constructor, made = family.members[name]
    taken, named = bind(constructor, args, kwargs, limits)
    if "lr_lambda" in {parameter.name for parameter in constructor.parameters}:
        taken, named = _with_function(taken, named, limits)
    try:
        if name == "ChainedScheduler":
            return made(*taken, **named, optimizer=first)
        return made(first, *taken, **named)
    except LanguageError:
        raise
    except Exception as error:  # PyTorch's constructors raise whatever Python can
        raise BadArguments(f"{constructor.signature}: {error}") from error


def _with_function(
    taken: tuple[object, ...], named: dict[str, object], limits: Limits
) -> tuple[tuple[object, ...], dict[str, object]]:
    """A factor of the learning rate as a function, from its text: an expression of `epoch`."""
    text = taken[0] if taken else named["lr_lambda"]
    assert isinstance(text, str)
    expression = parse_expression(text, limits)

    def factor(epoch: int) -> float:
        value = evaluate(expression, {"epoch": epoch}, limits=limits)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadArguments("lr_lambda is an expression of `epoch` that gives a number", "lr_lambda")
        return float(value)

    return ((factor, *taken[1:]), named) if taken else ((), {**named, "lr_lambda": factor})


@lru_cache(maxsize=2)
def catalogue(kind: typing.Literal["optimizers", "schedulers"]) -> list[dict[str, object]]:
    """Lists optimizers or schedulers: type, signature, summary and the JSON Schema of the arguments."""
    family = OPTIMIZERS if kind == "optimizers" else SCHEDULERS
    return [_entry(constructor, made) for constructor, made in family.members.values()]


def _entry(constructor: Constructor, made: type[Any]) -> dict[str, object]:
    summary = (inspect.getdoc(made) or "").strip().split("\n\n")[0].replace("\n", " ")
    entry: dict[str, object] = {
        "type": constructor.name,
        "signature": constructor.signature,
        "summary": summary,
        "arguments": constructor.schema,
        "withheld": {p.name: p.reason for p in constructor.parameters if p.kind is None},
    }
    if issubclass(made, Scheduler):
        entry["every"] = "step" if constructor.name in OF_A_STEP else "epoch"
    return entry
