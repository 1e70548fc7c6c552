"""Rules of operations that make tensors, and of those that tell their sizes.

What is made is the same for every batch, and holds no rows, unless it is as long as the batch and the same all over.
"""

from app.architecture.rowwise.forms import ANYTHING, UNKNOWN, Elements, Form, Value, mixed
from app.architecture.rowwise.rules import Call, listed, rank_of, rule, whole_sizes
from app.architecture.rowwise.sizes import Whole, counts_rows, fresh, is_whole, product

SAME = "every element is the same"
NONE = "it is made without the rows"
SIZES = "sizes are the same for every row"


@rule("zeros ones", "*sizes, size=None, dtype=None, device=None", why=SAME, counts=True)
@rule("method.new_zeros method.new_ones", "input, *sizes, size=None, dtype=None, device=None", why=SAME, counts=True)
def filled(call: Call) -> Form:
    sizes = call["sizes"]
    assert isinstance(sizes, tuple)
    return _made(call, whole_sizes(call.operation, sizes or (call["size"],)))


@rule("full", "size, fill_value, *, dtype=None, device=None", why=SAME, counts=True)
@rule("method.new_full", "input, size, fill_value, *, dtype=None, device=None", why=SAME, counts=True)
def full(call: Call) -> Form:
    call.without_rows("fill_value")
    return _made(call, whole_sizes(call.operation, listed(call.operation, call["size"])))


def _made(call: Call, sizes: list[Whole]) -> Form:
    if sum(map(counts_rows, sizes)) > 1:
        mixed(call.operation, "would hold the rows twice")
    return Form(tuple(sizes))


@rule("arange", "*bounds, start=0, end=None, step=1, dtype=None, device=None", why=NONE)
def arange(call: Call) -> Form:
    bounds = call["bounds"]
    assert isinstance(bounds, tuple)
    end = bounds[0] if len(bounds) == 1 else None
    return Form((end if is_whole(end) else fresh(),), "integer" if is_whole(end) else None)


@rule("linspace logspace", "start, end, steps, base=10.0, *, dtype=None, device=None", why=NONE)
def spaced(call: Call) -> Form:
    steps = call["steps"]
    return Form((steps if is_whole(steps) else fresh(),))


@rule("eye", "n, m=None, *, dtype=None, device=None", why=NONE)
def eye(call: Call) -> Form:
    n = call["n"]
    m = n if call["m"] is None else call["m"]
    return Form(tuple(size if is_whole(size) else fresh() for size in (n, m)))


@rule("tensor as_tensor scalar_tensor", "data, *, dtype=None, device=None", why=NONE)
@rule("method.new_tensor", "input, data, *, dtype=None, device=None", why=NONE)
def literal(call: Call) -> Form:
    call.without_rows("data")
    sizes: list[Whole] = []
    data: Value = call["data"]
    while isinstance(data, Elements | tuple):
        parts = listed(call.operation, data)
        sizes.append(len(parts))
        data = parts[0] if parts else None
    return ANYTHING if isinstance(data, Form) else Form(tuple(sizes))


# --- sizes ---


@rule("method.size", "input, dim=None", why=SIZES)
def size(call: Call) -> Value:
    sizes = call.sizes()
    return sizes if call["dim"] is None else sizes[call.dim(len(sizes))]


@rule("method.dim method.ndimension", "input", why=SIZES)
def dimensions(call: Call) -> Value:
    return rank_of(call.form())


@rule("numel method.nelement", "input", why=SIZES)
def elements(call: Call) -> Value:
    found = product(call.sizes())
    return UNKNOWN if found is None else found


@rule("is_floating_point is_complex method.element_size", "input", why="the dtype is the same for every row")
def about_dtype(call: Call) -> Value:
    call.form()
    return UNKNOWN


@rule("method.item", "input", why=NONE)
def item(call: Call) -> Value:
    call.without_rows("input")
    return UNKNOWN
