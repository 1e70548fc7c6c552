"""Rules of operations that join tensors, cut them into pieces and pick of them: rows stay apart where they work in
dimensions that do not hold the rows.
"""

from collections.abc import Sequence

from app.architecture.rowwise.forms import Elements, Form, Value, forms_in, mixed
from app.architecture.rowwise.rules import MOVES, OTHERS, Call, listed, matrices, place, rank_of, rule, whole_sizes
from app.architecture.rowwise.sizes import Size, Whole, fresh, same

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
    return matrices(call)


@rule("method.unfold", "input, dimension, size, step", why=OTHERS)
def windows(call: Call) -> Form:
    form = call.form()
    dim = place(call.operation, call["dimension"], rank_of(form))
    call.apart(form, dim)
    size = call["size"]
    last: Whole = size if isinstance(size, int) else fresh()
    return Form((*(fresh() if at == dim else one for at, one in enumerate(form.sizes or ())), last), form.kind)
