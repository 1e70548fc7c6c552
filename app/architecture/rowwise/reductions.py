"""Rules of operations along dimensions: sums and their kin, orders, and what runs along one dimension.

Rows stay apart where the dimension that holds them is none of those.
"""

from app.architecture.rowwise.forms import Elements, Form, Results, Value, forms_in, mixed
from app.architecture.rowwise.rules import OVER_ALL, Call, broadcast, rank_of, rule
from app.architecture.rowwise.sizes import Whole, fresh, quotient

WITHIN = "the dimensions it works over do not hold the rows"


def _reduced(call: Call, form: Form, name: str = "dim") -> tuple[Whole, ...]:
    """The sizes that are left when `dim` is gone (or of size 1, with `keepdim`)."""
    if call[name] is None or call[name] == () or (isinstance(one := call[name], Elements) and one.known == []):
        mixed(call.operation, OVER_ALL)
    dims = call.dims(rank_of(form), name)
    call.apart(form, *dims)
    keepdim = call.values.get("keepdim", False)
    if not isinstance(keepdim, bool):
        mixed(call.operation, "is given a keepdim that is not known beforehand")
    sizes = form.known(call.operation)
    return tuple(1 if at in dims else size for at, size in enumerate(sizes) if keepdim or at not in dims)


@rule(
    "sum mean prod amax amin argmax argmin all any nansum nanmean logsumexp special.logsumexp",
    "input, dim=None, keepdim=False, *, dtype=None",
    why=WITHIN,
)
@rule("count_nonzero", "input, dim=None", why=WITHIN)
@rule("std var", "input, dim=None, unbiased=True, keepdim=False, *, correction=1", why=WITHIN)
@rule("norm", "input, p=2, dim=None, keepdim=False, dtype=None", why=WITHIN)
@rule("linalg.norm linalg.vector_norm", "input, ord=None, dim=None, keepdim=False, *, dtype=None", why=WITHIN)
@rule("linalg.matrix_norm", "input, ord=None, dim=(-2, -1), keepdim=False, *, dtype=None", why=WITHIN)
def reduced(call: Call) -> Form:
    kinds = {"argmax": "integer", "argmin": "integer", "count_nonzero": "integer", "all": "boolean", "any": "boolean"}
    sizes = _reduced(call, call.form())
    kind = kinds.get(call.operation.rpartition(".")[2])
    return Form(sizes, "integer" if kind == "integer" else "boolean" if kind else None)


@rule("quantile nanquantile", "input, q, dim=None, keepdim=False, *, interpolation='linear'", why=WITHIN)
def quantile(call: Call) -> Form:
    if not isinstance(call["q"], float | int):
        mixed(call.operation, "is followed for one q, given as a number")
    return Form(_reduced(call, call.form()))


@rule("std_mean var_mean", "input, dim=None, unbiased=True, keepdim=False, *, correction=1", why=WITHIN)
def two_reduced(call: Call) -> Value:
    sizes = _reduced(call, call.form())
    return Form(sizes), Form(sizes)


@rule("max min", "input, dim=None, keepdim=False", why=WITHIN)
def extreme(call: Call) -> Value:
    if isinstance(call["dim"], Form):
        return Form(broadcast(call.operation, list(forms_in([call["input"], call["dim"]]))))
    return _with_indices(call)


@rule("median nanmedian", "input, dim=None, keepdim=False", why=WITHIN)
@rule("mode", "input, dim=-1, keepdim=False", why=WITHIN)
@rule("kthvalue", "input, k, dim=-1, keepdim=False", why=WITHIN)
def _with_indices(call: Call) -> Results:
    sizes = _reduced(call, call.form())
    return Results.of(values=Form(sizes), indices=Form(sizes, "integer"))


@rule("aminmax", "input, *, dim=None, keepdim=False", why=WITHIN)
def both_extremes(call: Call) -> Results:
    sizes = _reduced(call, call.form())
    return Results.of(min=Form(sizes), max=Form(sizes))


# --- along one dimension, which stays ---


@rule("cumsum cumprod logcumsumexp", "input, dim, *, dtype=None", why=WITHIN)
@rule("normalize", "input, p=2.0, dim=1, eps=1e-12", why=WITHIN)
@rule("special.softmax special.log_softmax", "input, dim, *, dtype=None", why=WITHIN)
def along(call: Call) -> Form:
    form = call.form()
    call.apart(form, *call.dims(rank_of(form)))
    return Form(form.sizes)


@rule("flip", "input, *dims", why=WITHIN)
def flipped(call: Call) -> Form:
    dims = call["dims"]
    assert isinstance(dims, tuple)
    return along(Call(call.operation, {"input": call["input"], "dim": dims[0] if len(dims) == 1 else dims}))


@rule("softmax log_softmax softmin", "input, dim=None, dtype=None, _stacklevel=3", why=WITHIN)
def softmax(call: Call) -> Form:
    form = call.form()
    if call["dim"] is None:  # as torch.nn.functional chooses then
        call = Call(call.operation, {**call.values, "dim": 0 if rank_of(form) in (0, 1, 3) else 1})
    return along(call)


@rule("roll", "input, shifts, dims=None", why=WITHIN)
@rule("rot90", "input, k=1, dims=(0, 1)", why=WITHIN)
def rolled(call: Call) -> Form:
    form = call.form()
    if call["dims"] is None:
        mixed(call.operation, OVER_ALL)
    dims = call.dims(rank_of(form), "dims")
    call.apart(form, *dims)
    if "k" not in call.values:
        return Form(form.sizes, form.kind)
    return Form(tuple(fresh() if at in dims else size for at, size in enumerate(form.known(call.operation))), form.kind)


@rule("cummax cummin", "input, dim", why=WITHIN)
@rule("sort", "input, dim=-1, descending=False, *, stable=False", why=WITHIN)
def ordered(call: Call) -> Results:
    form = call.form()
    call.apart(form, call.dim(rank_of(form)))
    return Results.of(values=Form(form.sizes), indices=Form(form.sizes, "integer"))


@rule("argsort", "input, dim=-1, descending=False, *, stable=False", why=WITHIN)
def order(call: Call) -> Form:
    form = call.form()
    call.apart(form, call.dim(rank_of(form)))
    return Form(form.sizes, "integer")


@rule("topk", "input, k, dim=-1, largest=True, sorted=True", why=WITHIN)
def topk(call: Call) -> Results:
    k = call["k"]
    sizes = _resized(call, k if isinstance(k, int) else fresh())
    return Results.of(values=Form(sizes), indices=Form(sizes, "integer"))


@rule("diff", "input, n=1, dim=-1, prepend=None, append=None", why=WITHIN)
def diff(call: Call) -> Form:
    if call["prepend"] is not None or call["append"] is not None:
        mixed(call.operation, "is followed without prepend and append")
    return Form(_resized(call, fresh()))


@rule("glu", "input, dim=-1", why=WITHIN)
def glu(call: Call) -> Form:
    form = call.form()
    half = quotient(form.known(call.operation)[call.dim(rank_of(form))], 2)
    return Form(_resized(call, fresh() if half is None else half))


@rule("fft.fft fft.ifft fft.rfft fft.irfft fft.hfft fft.ihfft", "input, n=None, dim=-1, norm=None", why=WITHIN)
def transformed(call: Call) -> Form:
    return Form(_resized(call, fresh()))


@rule("fft.fft2 fft.ifft2 fft.rfft2 fft.irfft2", "input, s=None, dim=(-2, -1), norm=None", why=WITHIN)
def transformed_twice(call: Call) -> Form:
    form = call.form()
    dims = call.dims(rank_of(form))
    call.apart(form, *dims)
    return Form(tuple(fresh() if at in dims else size for at, size in enumerate(form.known(call.operation))))


@rule("fft.fftshift fft.ifftshift", "input, dim=None", why=WITHIN)
def shifted(call: Call) -> Form:
    if call["dim"] is None:
        mixed(call.operation, OVER_ALL)
    return along(call)


def _resized(call: Call, size: Whole) -> tuple[Whole, ...]:
    """The sizes where the dimension worked over gets another one."""
    form = call.form()
    dim = call.dim(rank_of(form))
    call.apart(form, dim)
    return tuple(size if at == dim else one for at, one in enumerate(form.known(call.operation)))


# --- two tensors, element by element, and then along a dimension ---


@rule("cosine_similarity", "x1, x2, dim=1, eps=1e-8", why=WITHIN)
@rule("linalg.vecdot", "x1, x2, *, dim=-1", why=WITHIN)
@rule("pairwise_distance", "x1, x2, p=2.0, eps=1e-6, keepdim=False, *, dim=-1", why=WITHIN)
def paired(call: Call) -> Form:
    return Form(_reduced(call, _laid(call, "x1", "x2")))


@rule("linalg.cross", "input, other, *, dim=-1", why=WITHIN)
@rule("cross", "input, other, dim=None", why=WITHIN)
def crossed(call: Call) -> Form:
    form = _laid(call, "input", "other")
    if call["dim"] is None:
        mixed(call.operation, "works over the first dimension of size 3 unless dim is given")
    call.apart(form, call.dim(rank_of(form)))
    return form


def _laid(call: Call, *names: str) -> Form:
    forms = [call.form(name) for name in names]
    return Form(broadcast(call.operation, forms))
