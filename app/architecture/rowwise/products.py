"""Rules of products: matrices, attention, `einsum`.

Rows stay apart where each has its own matrix, or is a row of the left one or a column of the right one: what is
multiplied and summed over belongs to one of them.
"""

import re
from collections.abc import Mapping

from app.architecture.rowwise.forms import Form, Value, mixed
from app.architecture.rowwise.rules import Call, broadcast, listed, matrices, rank_of, rule
from app.architecture.rowwise.sizes import Whole, counts_rows, same

OWN = "each row has a matrix of its own, or is one row or column of a product"
MATRICES = "each row has matrices of its own"
SUMMED = "sums over dimension {dim}, which holds the rows"


@rule("matmul linalg.matmul", "input, other", why=OWN)
@rule("mm bmm", "input, mat2", why=OWN)
@rule("mv", "input, vec", why=OWN)
def multiplied(call: Call) -> Form:
    left, right = (call.form(name) for name in call.values)
    return multiply(call.operation, left, right)


def multiply(operation: str, left: Form, right: Form) -> Form:
    """The form of `left @ right`."""
    a, b = left.known(operation), right.known(operation)
    if not a or not b:
        mixed(operation, "multiplies a tensor without dimensions")
    for form, summed in ((left, rank_of(left) - 1), (right, max(rank_of(right) - 2, 0))):
        if form.rows == summed:
            mixed(operation, SUMMED.format(dim=summed))
    one, other = (a if len(a) > 1 else (1, *a)), (b if len(b) > 1 else (*b, 1))
    stacks = broadcast(operation, [Form(one[:-2]), Form(other[:-2])])
    ends = [size for size, vector in ((one[-2], len(a) == 1), (other[-1], len(b) == 1)) if not vector]
    sizes = (*stacks, *ends)
    if sum(map(counts_rows, sizes)) > 1:
        mixed(operation, "multiplies all rows with all rows")
    return Form(sizes)


@rule("addmm", "input, mat1, mat2, *, beta=1, alpha=1", why=OWN)
@rule("baddbmm", "input, mat1, mat2, *, beta=1, alpha=1", why=OWN)
@rule("addmv", "input, mat1, mat2, *, beta=1, alpha=1", why=OWN)
def added(call: Call) -> Form:
    result = multiply(call.operation, call.form("mat1"), call.form("mat2"))
    return Form(broadcast(call.operation, [call.form(), result]))


@rule("linear", "input, weight, bias=None", why=OWN)
def linear(call: Call) -> Form:
    call.without_rows("weight", "bias")
    form, weight = call.form(), call.sizes("weight")
    call.apart(form, rank_of(form) - 1)
    sizes = form.known(call.operation)[:-1]
    return Form((*sizes, weight[0]) if len(weight) == 2 else sizes)


@rule("bilinear", "input1, input2, weight, bias=None", why=OWN)
def bilinear(call: Call) -> Form:
    call.without_rows("weight", "bias")
    left, right, weight = call.form("input1"), call.form("input2"), call.sizes("weight")
    for form in (left, right):
        call.apart(form, rank_of(form) - 1)
        if form.rows != left.rows or form.rows is None or rank_of(form) != rank_of(left):
            mixed(call.operation, "needs rows in the same dimension of both inputs")
    sizes = broadcast(call.operation, [left, right])[:-1]
    return Form((*sizes, weight[0]))


@rule(
    "scaled_dot_product_attention",
    "query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False",
    why=MATRICES,
)
def attention(call: Call) -> Form:
    if call["dropout_p"] not in (0, 0.0):
        mixed(call.operation, "drops at random unless dropout_p=0")
    names = ("query", "key", "value")
    forms = [call.form(name) for name in names]
    sizes = [form.known(call.operation) for form in forms]
    if len({len(one) for one in sizes}) > 1 or len(sizes[0]) < 3:
        mixed(call.operation, "needs query, key and value with the same number of dimensions, 3 or more")
    for form in forms:
        call.apart(form, rank_of(form) - 1, rank_of(form) - 2)
        if form.rows != forms[0].rows:
            mixed(call.operation, "needs rows in the same dimension of query, key and value")
    rows = forms[0].rows
    if rows is not None and not all(same(one[rows], sizes[0][rows]) for one in sizes):
        mixed(call.operation, "needs rows in the same dimension of query, key and value")
    if call["attn_mask"] is not None:
        mask = call.form("attn_mask")
        call.apart(mask, rank_of(mask) - 1, rank_of(mask) - 2)
        broadcast(call.operation, [Form((*sizes[0][:-2], 1, 1)), mask])
    return Form((*sizes[0][:-1], sizes[2][-1]))


@rule("cdist", "x1, x2, p=2.0, compute_mode=None", why=MATRICES)
def distances(call: Call) -> Form:
    left, right = call.form("x1"), call.form("x2")
    for form in (left, right):
        if form.rows is not None and form.rows >= rank_of(form) - 2:
            mixed(call.operation, "computes in another way when there are many rows; give each row a matrix of its own")
    a, b = left.known(call.operation), right.known(call.operation)
    return Form((*broadcast(call.operation, [Form(a[:-2]), Form(b[:-2])]), a[-2], b[-2]))


@rule("inverse linalg.inv linalg.cholesky cholesky matrix_exp linalg.matrix_exp", "input", why=MATRICES)
@rule("matrix_power linalg.matrix_power", "input, n", why=MATRICES)
def of_matrices(call: Call) -> Form:
    return Form(matrices(call).sizes)


@rule("det linalg.det logdet", "input", why=MATRICES)
def determinants(call: Call) -> Form:
    return Form(matrices(call).known(call.operation)[:-2])


@rule("einsum", "equation, *operands", why=OWN)
def einsum(call: Call) -> Form:
    equation, given = call["equation"], call["operands"]
    assert isinstance(given, tuple)
    operands = listed(call.operation, given[0]) if len(given) == 1 else given
    if not isinstance(equation, str) or not re.fullmatch(r"[A-Za-z, ]*->[A-Za-z ]*", equation):
        mixed(call.operation, 'is followed for letters with "->", as in "bij,jk->bik"')
    terms, result = equation.replace(" ", "").split("->")
    letters: dict[str, Whole] = {}
    for term, operand in zip(terms.split(","), operands, strict=False):
        _name_sizes(call.operation, term, operand, letters)
    for letter, size in letters.items():
        if counts_rows(size) and letter not in result:
            mixed(call.operation, f"sums over {letter}, which holds the rows")
    if any(letter not in letters for letter in result) or sum(counts_rows(letters[letter]) for letter in result) > 1:
        mixed(call.operation, "multiplies all rows with all rows")
    return Form(tuple(letters[letter] for letter in result))


def _name_sizes(operation: str, term: str, operand: Value, letters: dict[str, Whole]) -> None:
    """Gives each letter of one operand its size. A letter of the rows is one in every operand that has it."""
    if not isinstance(operand, Form) or len(sizes := operand.known(operation)) != len(term):
        mixed(operation, "has letters for other dimensions than its tensors have")
    if any(counts_rows(size) and term.count(letter) > 1 for letter, size in zip(term, sizes, strict=True)):
        mixed(operation, "takes a diagonal of the rows")
    known: Mapping[str, Whole] = dict(letters)
    for letter, size in zip(term, sizes, strict=True):
        before = known.get(letter, size)
        if counts_rows(before) != counts_rows(size) or (counts_rows(size) and not same(before, size)):
            mixed(operation, f"gives the rows the letter {letter}, which stands for something else too")
        letters[letter] = before
