"""Rules of operations that move elements: views, permutations, joins, pieces, picks.

Rows stay apart where the dimension that holds them moves as a whole, or is cut and merged so that what belongs to one
row stays beside itself: (rows, 3, 4) to (rows * 3, 4) and back, never (3, rows) to (3 * rows).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from app.architecture.rowwise.forms import Elements, Form, Value, forms_in, mixed
from app.architecture.rowwise.rules import OVER_ALL, Call, broadcast, listed, place, rank_of, rule, whole_sizes
from app.architecture.rowwise.sizes import Size, Whole, counts_rows, fresh, product, quotient, same

MOVES = "the dimension that holds the rows moves as a whole"
BESIDE = "what belongs to one row stays beside itself"
OTHERS = "it works in dimensions that do not hold the rows"


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


# --- joins and pieces ---


def _joined(call: Call) -> tuple[Sequence[Form], bool]:
    """The tensors of a list, and whether their number is known; with rows in one, all hold the rows alike."""
    given = call["tensors"]
    counted = not (isinstance(given, Elements) and given.known is None)
    values = [given.each] if isinstance(given, Elements) and not counted else listed(call.operation, given)
    forms = [value for value in values if isinstance(value, Form)]
    if len(forms) != len(values) or not forms:
        mixed(call.operation, "is given something other than tensors")
    first = next((form for form in forms if form.has_rows), None)
    for form in forms if first is not None else ():
        if first is not None and (form.rows != first.rows or rank_of(form) != rank_of(first)):
            mixed(call.operation, "joins rows to a tensor that does not hold them in the same dimension")
        at = form.rows
        if at is not None and first is not None and not same(form.known("")[at], first.known("")[at]):
            mixed(call.operation, "joins rows to a tensor that holds them otherwise")
    return forms, counted


@rule("cat concat concatenate", "tensors, dim=0", why=OTHERS)
def concatenated(call: Call) -> Form:
    forms, counted = _joined(call)
    form = forms[0]
    form.known(call.operation)
    dim = call.dim(rank_of(form))
    call.apart(form, dim)
    parts = [one.known(call.operation)[dim] if rank_of(one) > dim else fresh() for one in forms]
    total: Whole = sum(part for part in parts if isinstance(part, int))
    if not counted or not all(isinstance(part, int) for part in parts):
        total = fresh()
    return Form(tuple(total if at == dim else size for at, size in enumerate(form.sizes or ())))


@rule("stack", "tensors, dim=0", why=MOVES)
def stacked(call: Call) -> Form:
    forms, counted = _joined(call)
    sizes = forms[0].known(call.operation)
    dim = call.dim(len(sizes) + 1)
    return Form((*sizes[:dim], len(forms) if counted else fresh(), *sizes[dim:]))


@rule("hstack", "tensors", why=OTHERS)
def side_by_side(call: Call) -> Form:
    forms, _ = _joined(call)
    return concatenated(Call(call.operation, {**call.values, "dim": 0 if rank_of(forms[0]) == 1 else 1}))


@rule("chunk", "input, chunks, dim=0", why=OTHERS)
def chunked(call: Call) -> Value:
    size, many = _worked(call), call["chunks"]
    if isinstance(size, int) and isinstance(many, int) and many > 0:
        step = -(-size // many)
        return _pieces(call, _cut(size, max(step, 1)))
    return _some_pieces(call)


@rule("split", "input, split_size_or_sections, dim=0", why=OTHERS)
@rule("split_with_sizes", "input, split_size_or_sections, dim=0", why=OTHERS)
def split(call: Call) -> Value:
    size, step = _worked(call), call["split_size_or_sections"]
    if isinstance(step, tuple | Elements):
        return _pieces(call, whole_sizes(call.operation, listed(call.operation, step)))
    if isinstance(size, int) and isinstance(step, int) and step > 0:
        return _pieces(call, _cut(size, step))
    return _some_pieces(call)


@rule("tensor_split", "input, indices_or_sections, dim=0", why=OTHERS)
def split_anyhow(call: Call) -> Value:
    call.without_rows("indices_or_sections")
    many = call["indices_or_sections"]
    _worked(call)
    return (
        _pieces(call, [fresh() for _ in range(many)])
        if isinstance(many, int) and 0 < many < 4096
        else _some_pieces(call)
    )


@rule("unbind", "input, dim=0", why=OTHERS)
def unbound(call: Call) -> Value:
    size = _worked(call)
    form = call.form()
    dim = call.dim(rank_of(form))
    one = Form(tuple(part for at, part in enumerate(form.sizes or ()) if at != dim), form.kind)
    return (one,) * size if isinstance(size, int) else Elements(None, one)


def _cut(size: int, step: int) -> list[Whole]:
    return [min(step, size - start) for start in range(0, size, step)]


def _worked(call: Call) -> Whole:
    """The size of the dimension that is worked over, which must not hold the rows."""
    form = call.form()
    dim = call.dim(rank_of(form))
    call.apart(form, dim)
    return form.known(call.operation)[dim]


def _pieces(call: Call, sizes: Sequence[Whole]) -> Value:
    return tuple(_with(call, size) for size in sizes)


def _some_pieces(call: Call) -> Elements:
    return Elements(None, _with(call, fresh()))


def _with(call: Call, size: Whole) -> Form:
    """The form with another size in the dimension that is worked over."""
    form = call.form()
    dim = call.dim(rank_of(form))
    return Form(tuple(size if at == dim else one for at, one in enumerate(form.sizes or ())), form.kind)


# --- picks ---


@rule("select", "input, dim, index", why=OTHERS)
def selected(call: Call) -> Form:
    call.without_rows("index")
    _worked(call)
    form = call.form()
    dim = call.dim(rank_of(form))
    return Form(tuple(size for at, size in enumerate(form.sizes or ()) if at != dim), form.kind)


@rule("narrow", "input, dim, start, length", why=OTHERS)
def narrowed(call: Call) -> Form:
    call.without_rows("start", "length")
    _worked(call)
    length = call["length"]
    return _with(call, length if isinstance(length, int | Size) else fresh())


@rule("index_select", "input, dim, index", why="each row picks for itself, or the same is picked of each")
def picked(call: Call) -> Form:
    index = call.form("index")
    form = call.form()
    if form.has_rows and index.has_rows:
        mixed(call.operation, "picks of all rows for each row")
    _worked(call)
    return _with(call, (index.known(call.operation) or (1,))[0])


@rule("gather", "input, dim, index, *, sparse_grad=False", why=OTHERS)
@rule("take_along_dim", "input, index, dim", why=OTHERS)
@rule("scatter scatter_add", "input, dim, index, src", why=OTHERS)
def gathered(call: Call) -> Form:
    form, index = call.form(), call.form("index")
    forms = [form, index, *forms_in([call.values.get("src")])]
    call.apart(form, call.dim(rank_of(form)))
    for other in forms[1:]:
        rows, own = other.rows, form.rows
        if own is None or rows != own or rank_of(other) != rank_of(form):
            mixed(call.operation, "needs rows in the same dimension of all its tensors")
        if not same(other.known(call.operation)[rows], form.known(call.operation)[own]):
            mixed(call.operation, "needs rows in the same dimension of all its tensors")
    return Form(form.sizes if "src" in call.values else index.sizes)


@rule("diagonal linalg.diagonal", "input, offset=0, dim1=0, dim2=1", why=OTHERS)
def diagonal(call: Call) -> Form:
    form = call.form()
    dims = (call.dim(rank_of(form), "dim1"), call.dim(rank_of(form), "dim2"))
    call.apart(form, *dims)
    return Form((*(size for at, size in enumerate(form.sizes or ()) if at not in dims), fresh()), form.kind)


@rule("tril triu", "input, diagonal=0", why=OTHERS)
def triangle(call: Call) -> Form:
    form = call.form()
    if rank_of(form) < 2:
        mixed(call.operation, "works on matrices")
    call.apart(form, rank_of(form) - 1, rank_of(form) - 2)
    return form


@rule("method.unfold", "input, dimension, size, step", why=OTHERS)
def windows(call: Call) -> Form:
    form = call.form()
    dim = place(call.operation, call["dimension"], rank_of(form))
    call.apart(form, dim)
    size = call["size"]
    last: Whole = size if isinstance(size, int) else fresh()
    return Form((*(fresh() if at == dim else one for at, one in enumerate(form.sizes or ())), last), form.kind)
