"""Rules of operations that move elements: views, permutations, repetitions.

Rows stay apart where the dimension that holds them moves as a whole, or is cut and merged so that what belongs to one
row stays beside itself: (rows, 3, 4) to (rows * 3, 4) and back, never (3, rows) to (3 * rows).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from app.architecture.rowwise.forms import Elements, Form, Value, forms_in, mixed
from app.architecture.rowwise.rules import MOVES, OTHERS, OVER_ALL, Call, broadcast, listed, rank_of, rule, whole_sizes
from app.architecture.rowwise.sizes import Size, Whole, counts_rows, fresh, product, quotient, same

BESIDE = "what belongs to one row stays beside itself"


# --- views ---


@rule("reshape method.view", "input, *sizes, shape=None, size=None", why=BESIDE, counts=True)
def viewed(call: Call) -> Form:
    sizes = call["sizes"]
    assert isinstance(sizes, tuple)
    named = call["shape"] if call["size"] is None else call["size"]
    return _view(call, whole_sizes(call.operation, sizes or (named,)))


@rule("method.view_as method.reshape_as", "input, other", why=BESIDE, counts=True)
def viewed_as(call: Call) -> Form:
    return _view(call, list(call.sizes("other")))


def _view(call: Call, target: list[Whole]) -> Form:
    """The form with other sizes; where rows stand, all before them stays as it is."""
    form = call.form()
    sizes = form.known(call.operation)
    rows = form.rows
    if rows is None:
        if any(map(counts_rows, target)):
            mixed(call.operation, "gives the shape of rows to a tensor without rows")
        return Form(tuple(fresh() if size == -1 else size for size in target), form.kind)
    if target.count(-1) > 1:
        mixed(call.operation, "is given -1 twice")
    if len(target) <= rows or not all(same(*pair) for pair in zip(sizes[:rows], target[:rows], strict=True)):
        mixed(call.operation, f"puts other dimensions into dimension {rows}, which holds the rows")
    before, after = sizes[rows:], target[rows + 1 :]
    if target[rows] == -1:
        left = product(before)
        under = product(after)
        found = None if left is None or under is None else quotient(left, under)
        if found is None or not counts_rows(found):
            mixed(
                call.operation,
                f"leaves the size of dimension {rows}, which holds the rows, to the others; "
                "write x.flatten(1), or x.shape[0] in that place",
            )
        return Form((*target[:rows], found, *after), form.kind)
    if not counts_rows(target[rows]) or any(map(counts_rows, after)):
        mixed(call.operation, f"cuts dimension {rows}, which holds the rows, into parts of a fixed size")
    return Form((*target[:rows], target[rows], *_rest(before, target[rows], after)), form.kind)


def _rest(before: Sequence[Whole], first: Whole, after: Sequence[Whole]) -> list[Whole]:
    """The sizes behind the rows; what -1 stands for, where that can be told."""
    if -1 not in after:
        return list(after)
    whole = product(before)
    others = product([first, *(size for size in after if size != -1)])
    found = None if whole is None or others is None else quotient(whole, others)
    return [(fresh() if found is None else found) if size == -1 else size for size in after]


@rule("flatten", "input, start_dim=0, end_dim=-1", why=BESIDE)
def flattened(call: Call) -> Form:
    form = call.form()
    sizes = form.known(call.operation)
    if not sizes:
        return Form((1,), form.kind)
    start, end = call.dim(len(sizes), "start_dim"), call.dim(len(sizes), "end_dim")
    if form.rows is not None and start < form.rows <= end:
        call.apart(form, form.rows)
    merged = product(sizes[start : end + 1])
    return Form((*sizes[:start], fresh() if merged is None else merged, *sizes[end + 1 :]), form.kind)


@rule("ravel", "input", why=BESIDE)
def raveled(call: Call) -> Form:
    if rank_of(call.form()) != 1:
        mixed(call.operation, OVER_ALL)
    return call.form()


@rule("unflatten", "input, dim, sizes", why=BESIDE, counts=True)
def unflattened(call: Call) -> Form:
    old = call.sizes()
    dim = call.dim(len(old))
    parts = whole_sizes(call.operation, listed(call.operation, call["sizes"]))
    if -1 in parts and not counts_rows(old[dim]):
        known = product([part for part in parts if part != -1])
        found = None if known is None else quotient(old[dim], known)
        parts = [(fresh() if found is None else found) if part == -1 else part for part in parts]
    return _view(call, [*old[:dim], *parts, *old[dim + 1 :]])


@rule("unsqueeze", "input, dim", why=MOVES)
def unsqueezed(call: Call) -> Form:
    sizes = call.sizes()
    dim = call.dim(len(sizes) + 1)
    return Form((*sizes[:dim], 1, *sizes[dim:]), call.form().kind)


@rule("squeeze", "input, *dim", why=OTHERS)
def squeezed(call: Call) -> Form:
    form = call.form()
    sizes = form.known(call.operation)
    given = call["dim"]
    assert isinstance(given, tuple)
    if not given:
        mixed(call.operation, "drops every dimension of size 1, the rows too where there is one row; give dim")
    dims = Call(call.operation, {"dim": given[0] if len(given) == 1 else given}).dims(len(sizes))
    call.apart(form, *dims)
    if any(not isinstance(sizes[dim], int) for dim in dims):
        mixed(call.operation, "drops a dimension only where its size is 1, which is not known beforehand")
    return Form(tuple(size for at, size in enumerate(sizes) if at not in dims or size != 1), form.kind)


# --- permutations ---


def _permutation(change: Callable[..., torch.Tensor]) -> Callable[[Call], Form]:
    """Follows an operation that reorders dimensions by doing it to a tensor of which all sizes differ."""

    def permuted(call: Call) -> Form:
        form = call.form()
        sizes = form.known(call.operation)
        marked = torch.empty(tuple(range(2, 2 + len(sizes))), device="meta")
        given: list[Any] = [_plain(call.operation, value) for key, value in call.values.items() if key != "input"]
        try:
            moved = change(marked, *given)
        except (RuntimeError, IndexError, TypeError, ValueError):
            mixed(call.operation, f"does not take these dimensions of a tensor that has {len(sizes)}")
        return Form(tuple(sizes[size - 2] for size in moved.shape), form.kind)

    return permuted


def _plain(operation: str, value: Value) -> object:
    """Dimensions as PyTorch takes them."""
    if isinstance(value, tuple | Elements):
        parts = [_plain(operation, part) for part in listed(operation, value)]
        return parts[0] if len(parts) == 1 and isinstance(parts[0], list) else parts
    if not isinstance(value, int) or isinstance(value, bool):
        mixed(operation, "works over a dimension that is not known beforehand")
    return value


rule("permute", "input, *dims", why=MOVES)(_permutation(torch.permute))
rule("transpose swapaxes swapdims", "input, dim0, dim1", why=MOVES)(_permutation(torch.transpose))
rule("movedim moveaxis", "input, source, destination", why=MOVES)(_permutation(torch.movedim))
rule("t", "input", why=MOVES)(_permutation(torch.t))
rule("attribute.T", "input", why=MOVES)(_permutation(lambda x: x.permute(*reversed(range(x.ndim)))))
rule("adjoint attribute.mT", "input", why=MOVES)(_permutation(lambda x: x.mT))


# --- larger by repetition ---


@rule("method.expand broadcast_to", "input, *sizes, size=None", why=BESIDE, counts=True)
def expanded(call: Call) -> Form:
    sizes = call["sizes"]
    assert isinstance(sizes, tuple)
    return _expand(call, whole_sizes(call.operation, sizes or (call["size"],)))


@rule("method.expand_as", "input, other", why=BESIDE)
def expanded_as(call: Call) -> Form:
    return _expand(call, list(call.sizes("other")))


def _expand(call: Call, target: list[Whole]) -> Form:
    form = call.form()
    old = form.known(call.operation)
    new = len(target) - len(old)
    if new < 0 or sum(map(counts_rows, target)) > 1:
        mixed(call.operation, "does not take these sizes")
    sizes: list[Whole] = list(target[:new])
    for size, wanted in zip(old, target[new:], strict=True):
        if wanted == -1 or same(size, wanted):
            sizes.append(size)
        elif counts_rows(size) or (counts_rows(wanted) and size != 1):
            mixed(call.operation, "lays the rows over a dimension of another size")
        else:
            sizes.append(wanted)
    if sum(map(counts_rows, sizes)) > 1:
        mixed(call.operation, "would hold the rows twice")
    return Form(tuple(sizes), form.kind)


@rule("broadcast_tensors", "*tensors", why=MOVES)
def broadcast_together(call: Call) -> Value:
    forms = list(forms_in(listed(call.operation, call["tensors"])))
    sizes = broadcast(call.operation, forms)
    return tuple(Form(sizes, form.kind) for form in forms)


@rule("method.repeat tile", "input, *sizes", why=BESIDE, counts=True)
def repeated(call: Call) -> Form:
    form = call.form()
    given = call["sizes"]
    assert isinstance(given, tuple)
    times = whole_sizes(call.operation, given)
    old = form.known(call.operation)
    old = (*(1 for _ in times[len(old) :]), *old)
    times = [*(1 for _ in old[len(times) :]), *times]
    sizes: list[Whole] = []
    for size, many in zip(old, times, strict=True):
        if counts_rows(size) and many != 1:
            mixed(call.operation, "repeats the rows one after another")
        # of a tensor without rows, each row gets all of it: they come first, as in reshape
        grown = product([size, many])
        sizes.append(fresh() if grown is None else grown)
    if sum(map(counts_rows, sizes)) > 1:
        mixed(call.operation, "would hold the rows twice")
    return Form(tuple(sizes), form.kind)


@rule("repeat_interleave", "input, repeats, dim=None, *, output_size=None", why=BESIDE)
def interleaved(call: Call) -> Form:
    form = call.form()
    if call["dim"] is None:
        mixed(call.operation, OVER_ALL)
    dim = call.dim(rank_of(form))
    times = call["repeats"]
    if not isinstance(times, int | Size):
        mixed(call.operation, "is followed for a number of repeats")
    sizes = list(form.known(call.operation))
    grown = product([sizes[dim], times])
    sizes[dim] = fresh() if grown is None else grown
    return Form(tuple(sizes), form.kind)
