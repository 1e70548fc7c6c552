"""How rules say what they follow: the table of them, the binding of arguments, and what most of them ask.

A rule knows the arguments of one operation of PyTorch, finds the form of its result, and raises `Mixed` where rows
meet. What has no rule is not followed. The rules themselves stand in the files beside this one, each with the reason
why rows stay apart; `expressions.py` and `layers.py` call them through `follow`.
"""

import ast
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from app.architecture.rowwise.forms import (
    ANYTHING,
    UNKNOWN,
    Drawn,
    Elements,
    Form,
    Mixed,
    Value,
    forms_in,
    has_rows,
    mixed,
)
from app.architecture.rowwise.sizes import Size, Whole, counts_rows, fresh, is_whole, same

_REQUIRED = object()
_OTHER_NAMES = {"axis": "dim", "keepdims": "keepdim"}  # PyTorch takes NumPy's words too
_RANDOM = """
    bernoulli binomial multinomial normal poisson rand rand_like randint randint_like randn randn_like randperm
    gumbel_softmax fractional_max_pool2d fractional_max_pool3d fractional_max_pool2d_with_indices
    fractional_max_pool3d_with_indices
"""
RANDOM = frozenset(_RANDOM.split())
OVER_ROWS = "works over dimension {dim}, which holds the rows"
OVER_ALL = "works over all dimensions, the rows too"
MOVES = "the dimension that holds the rows moves as a whole"
OTHERS = "it works in dimensions that do not hold the rows"


@dataclass(frozen=True)
class Rule:
    """`why` rows stay apart; `counts`: it knows what to do with the number of rows among its arguments."""

    run: "Callable[[Call], Value]"
    takes: Mapping[str, Value]  # names and defaults
    positional: int  # so many of them go by position
    rest: str | None
    named: bool  # takes any argument by name
    counts: bool
    why: str


RULES: dict[str, Rule] = {}
Follow = TypeVar("Follow", bound=Callable[..., Value])


def rule(names: str, takes: str, *, why: str, counts: bool = False) -> Callable[[Follow], Follow]:
    """Puts a function into the table under `names`; `takes` is written as in Python: `input, dim=None, *rest`."""
    arguments = ast.parse(f"def f({takes}): pass").body[0]
    assert isinstance(arguments, ast.FunctionDef)
    given = arguments.args
    defaults = [_REQUIRED] * (len(given.args) - len(given.defaults)) + [ast.literal_eval(one) for one in given.defaults]
    parameters = {arg.arg: default for arg, default in zip(given.args, defaults, strict=True)}
    parameters |= {
        arg.arg: _REQUIRED if default is None else ast.literal_eval(default)
        for arg, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)
    }
    rest = given.vararg.arg if given.vararg else None
    named = given.kwarg is not None

    def put(run: Follow) -> Follow:
        for name in names.split():
            assert name not in RULES, f"{name} has two rules"
            RULES[name] = Rule(run, parameters, len(given.args), rest, named, counts, why)
        return run

    return put


@dataclass(frozen=True)
class Call:
    """One call with its arguments bound to names."""

    operation: str
    values: Mapping[str, Value]

    def __getitem__(self, name: str) -> Value:
        return self.values[name]

    def form(self, name: str = "input") -> Form:
        """A tensor among the arguments, of known rank."""
        value = self.values[name]
        if not isinstance(value, Form):
            mixed(self.operation, f"is given something other than a tensor as {name}")
        value.known(self.operation)
        return value

    def sizes(self, name: str = "input") -> tuple[Whole, ...]:
        return self.form(name).known(self.operation)

    def dim(self, rank: int, name: str = "dim") -> int:
        """A dimension, counted from the front."""
        return place(self.operation, self.values[name], rank)

    def dims(self, rank: int, name: str = "dim") -> tuple[int, ...]:
        """One or several dimensions, counted from the front."""
        return tuple(place(self.operation, one, rank) for one in listed(self.operation, self.values[name]))

    def apart(self, form: Form, *dims: int) -> None:
        """Raises Mixed where one of `dims` holds the rows of `form`."""
        if form.rows in dims:
            mixed(self.operation, OVER_ROWS.format(dim=form.rows))

    def without_rows(self, *names: str) -> None:
        """Raises Mixed where rows stand in one of these arguments."""
        for name in names:
            if has_rows(self.values[name]):
                mixed(self.operation, f"takes its {name} from the rows")

    def leading(self, form: Form, rank: int | Iterable[int]) -> None:
        """Raises Mixed unless `form` has one of these ranks, and rows in dimension 0, where samples stand."""
        ranks = (rank,) if isinstance(rank, int) else tuple(rank)
        if len(form.known(self.operation)) not in ranks:
            shown = " or ".join(map(str, ranks))
            mixed(self.operation, f"keeps samples apart of an input with {shown} dimensions; it has {rank_of(form)}")
        if form.rows != 0:
            mixed(self.operation, f"keeps samples in dimension 0 apart, and the rows are in dimension {form.rows}")


def rank_of(form: Form) -> int:
    return len(form.sizes or ())


def matrices(call: Call) -> Form:
    """The input of a call that works on matrices, its last two dimensions. Raises Mixed where those hold the rows."""
    form = call.form()
    if rank_of(form) < 2:
        mixed(call.operation, "works on matrices")
    call.apart(form, rank_of(form) - 1, rank_of(form) - 2)
    return form


def place(operation: str, dim: Value, rank: int) -> int:
    """A dimension, counted from the front. Raises Mixed where it is not known or not there."""
    if not isinstance(dim, int) or isinstance(dim, bool):
        mixed(operation, "works over a dimension that is not known beforehand")
    if not -rank <= dim < rank:
        mixed(operation, f"works over dimension {dim} of a tensor that has {rank}")
    return dim % rank


def listed(operation: str, value: Value) -> tuple[Value, ...]:
    """A number, tuple or list as a tuple. Raises Mixed where it is not known what is in it."""
    if isinstance(value, Elements):
        if value.known is None:
            mixed(operation, "is given a list of unknown length")
        return tuple(value.known)
    return value if isinstance(value, tuple) else (value,)


def whole_sizes(operation: str, given: tuple[Value, ...]) -> list[Whole]:
    """Sizes given one by one or as one list; unknown ones are fresh."""
    values = listed(operation, given[0]) if len(given) == 1 else given
    sizes: list[Whole] = []
    for value in values:
        if value is UNKNOWN:
            sizes.append(fresh())
        elif is_whole(value):
            sizes.append(value)
        else:
            mixed(operation, "is given sizes that are not whole numbers")
    return sizes


def broadcast(operation: str, forms: Sequence[Form]) -> tuple[Whole, ...]:
    """The sizes of tensors that meet element by element. Raises Mixed where rows meet anything but themselves."""
    shapes = [form.known(operation) for form in forms]
    rank = max(map(len, shapes), default=0)
    sizes = tuple(
        _meet(operation, [shape[-behind] for shape in shapes if len(shape) >= behind]) for behind in range(rank, 0, -1)
    )
    if sum(map(counts_rows, sizes)) > 1:
        mixed(operation, "lays the rows over all other rows")
    return sizes


def _meet(operation: str, sizes: Sequence[Whole]) -> Whole:
    """One dimension of a broadcast."""
    rows = [size for size in sizes if counts_rows(size)]
    if rows:
        for size in sizes:
            if not same(size, rows[0]) and size != 1:
                mixed(operation, f"lays the rows beside {'other rows' if counts_rows(size) else _shown(size)}")
        return rows[0]
    sizes = [size for size in sizes if size != 1] or [1]
    known = [size for size in sizes if isinstance(size, int)]
    return known[0] if known else sizes[0] if all(same(size, sizes[0]) for size in sizes) else fresh()


def _shown(size: Whole) -> str:
    return f"a dimension of size {size}" if isinstance(size, int) else "a dimension of another size"


def bind(name: str, entry: Rule, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Call:
    """Gives each argument its name. Raises Mixed for what the rule does not know."""
    values: dict[str, Value] = dict(zip(list(entry.takes)[: entry.positional], args, strict=False))
    left = tuple(args[entry.positional :])
    if entry.rest is not None:
        values[entry.rest] = left
    elif left:
        mixed(name, "is given more arguments than are followed here")
    for given, value in kwargs.items():
        key = _OTHER_NAMES.get(given, given) if given not in entry.takes else given
        if key == entry.rest and not values[key]:
            values[key] = (value,)
        elif key in values or not (entry.named or key in entry.takes):
            mixed(name, f"is given {given}=, which is not followed here")
        else:
            values[key] = value
    for key, default in entry.takes.items():
        if values.setdefault(key, default) is _REQUIRED:
            mixed(name, f"is not given {key}")
    return Call(name, values)


def follow(name: str, shown: str, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """Follows one call of the catalogue: `name` is its key in the table, `shown` how it is written."""
    rows = any(map(has_rows, (*args, *kwargs.values())))
    entry = RULES.get(name)
    if name in RANDOM:
        raise Drawn(shown, "draws random numbers, others for a request alone than for one among others")
    if not rows:
        return _fixed(entry, shown, args, kwargs)
    if entry is None:
        mixed(shown, "is not known to keep rows apart")
    if not entry.counts and any(isinstance(value, Size) and value.rows for value in _flat((*args, *kwargs.values()))):
        mixed(shown, "is given the number of rows")
    return entry.run(bind(shown, entry, args, kwargs))


def _fixed(entry: Rule | None, shown: str, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """Without rows nothing can be mixed; the form of the result is worth knowing where there is a rule for it."""
    if entry is None:
        return ANYTHING
    try:
        return entry.run(bind(shown, entry, args, kwargs))
    except Drawn:
        raise
    except Mixed:
        return ANYTHING


def _flat(values: Iterable[Value]) -> Iterable[Value]:
    for value in values:
        if isinstance(value, tuple):
            yield from _flat(value)
        elif isinstance(value, Elements):
            yield from _flat([value.each] if value.known is None else value.known)
        elif isinstance(value, slice):
            yield from (value.start, value.stop, value.step)
        else:
            yield value


def all_numbers(operation: str, values: Iterable[Value]) -> None:
    """Raises Mixed for arguments that are neither tensors nor plain values."""
    for value in values:
        if isinstance(value, tuple | Elements):
            if any(True for _ in forms_in([value])):
                mixed(operation, "is given a list of tensors")
        elif not isinstance(value, Form | Size | torch.dtype | int | float | str | None) and value is not UNKNOWN:
            mixed(operation, "is given something that is not known beforehand")
