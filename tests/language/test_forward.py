"""A forward does what the same text does in Python, and no more."""

import ast
import math
from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.language.compile import Input, Scope, compile_forward, explain, place_of, running
from app.language.errors import LanguageError
from app.settings import Limits

LIMITS = Limits()


class Block(nn.Module):
    """A module with one of everything."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.ReLU())])
        self.heads = nn.ModuleDict({"a": nn.Linear(4, 2), "b": nn.Linear(4, 3)})
        self.add_module("block 0", nn.Linear(4, 4))
        self.lstm = nn.LSTM(4, 4, batch_first=True)
        self.weight = nn.Parameter(torch.randn(4, 4))
        self.register_buffer("constant", torch.ones(4))


CHILDREN = frozenset({"linear", "norm", "blocks", "heads", "block 0", "lstm"})


def scope(inputs: tuple[Input, ...] = (Input("x", True),), hyperparameters: frozenset[str] = frozenset()) -> Scope:
    return Scope(inputs, hyperparameters, CHILDREN, frozenset({"weight"}), frozenset({"constant"}))


def run(
    source: str | list[str], *args: object, values: Mapping[str, object] | None = None, module: nn.Module | None = None
):
    values = values or {}
    given = scope(hyperparameters=frozenset(values))
    return compile_forward(source, given, LIMITS).bind(values)(module or Block(), *args)


def run_printed(source: str, x: Tensor, module: nn.Module, values: Mapping[str, object]):
    """Runs the printed tree as plain Python, with the hyperparameters as attributes."""
    tree = compile_forward(source, scope(hyperparameters=frozenset(values)), LIMITS).tree
    space: dict[str, object] = {"torch": torch, "F": F, "math": math}
    exec(ast.unparse(tree), space)
    for name, value in values.items():
        setattr(module, name, value)
    return space["forward"](module, x)


PROGRAMS = [
    "return linear(x)",
    "return self.linear(x)",
    "return norm(x) + torch.norm(x) + x.norm()",
    "return F.relu(x) + torch.nn.functional.gelu(x) + nn.functional.silu(x)",
    "h = x\nfor block in blocks:\n    h = block(h)\nreturn h",
    "h = x\nfor i, block in enumerate(blocks):\n    h = h + block(h) * i\nreturn h",
    "h = x\nfor block in reversed(blocks):\n    h = block(h)\nreturn h",
    "outs = []\nfor a, (b, i) in zip(x, zip(x, range(9))):\n    outs.append(a * b + i)\nreturn torch.stack(outs)",
    "outs = [0] * 2 + [1.5]\nouts.append(x)\nlast = outs.pop()\nreturn last.sum() + outs[-1] + len(outs)",
    "return heads['a'](x).sum() + self.heads['b'](x).sum()",
    "total = 0\nfor name in heads:\n    total += heads[name](x).mean()\nreturn total",
    "total = 0\nfor name, head in heads.items():\n    total += head(x).mean()\nreturn total",
    "return self['block 0'](x)",
    "return blocks[0].weight @ x.T + blocks[-1][0].bias[0]",
    "return linear.weight.data @ x.mT + weight.data[0, 0]",
    "y, (h, c) = lstm(x[None])\nreturn y[0], h[-1], c",
    "a = b = x\na += 1\na -= b\na *= 2\na /= 3\na **= 2\nreturn a",
    "units = units * 2\nreturn x * units",
    "return x * self.units + self.constant",
    "if x.sum() > 0 and not x.ndim == 3:\n    return x\nelif len(x) == 2:\n    return -x\nelse:\n    return ~(x > 0)",
    "while x.abs().sum() > 1:\n    x /= 2\nreturn x.sum()",
    "i = 0\nwhile True:\n    i += 1\n    if i % 2:\n        continue\n    if i > 6:\n        break\nreturn x * i",
    "n = len(blocks)\nreturn x[:, 0] + x[..., -1] * n + x[:, None][0, 0, 1:3].sum() + x[::2, [0, 1]].sum()",
    "values, indices = x.max(1)\nreturn values, indices, x.max(1)[0], x.max(1).values, torch.max(x, dim=1).indices",
    "return einsum('ij,kj->ik', x, x), pad(x, (1, 1), mode='constant', value=2.0)",
    "return 0 < x.shape[0] <= 2 < 3, 1 < 2 > 1, x is None, x is not None",
    "mean = x.mean(0, keepdim=True)\nreturn {'mean': mean, 'code': (x - mean) / (x.std(0) + 1e-5)}",
    "a, b = x.chunk(2, dim=1)\nreturn torch.cat((a, b * 2), 1), x.split(2, 1)[0]",
    "return x.to(torch.float8_e4m3fn).to(x.dtype), x.to(float8_e5m2)",
    "return x.to(torch.float64), x.to(x.dtype), zeros(2, 3), full((2,), 3.5), arange(4), x.new_zeros(2, 2)",
    "return torch.where(x > 0, x, 0.0) if x.ndim == 2 else x",
    "return min(3, 2) + max([1, 5]) + abs(-3) + round(2.6) + int(3.9) + float(2)",
    "return self.training, x * (not self.training)",
    "q = x.view(2, 2, 2).transpose(0, 1).reshape(-1, 4)\nq = q[None]\nreturn F.scaled_dot_product_attention(q, q, q)",
    "s = 0.0\nfor row in x.unbind(0):\n    s = s + row.sum() ** 2\nreturn s",
    "return (x & x) if x.dtype == torch.int64 else (x > 0) & (x < 1) | (x > 2) ^ (x < -1)",
    "norm = norm(x)\nreturn norm.norm()",
    "outs = []\nfor b in blocks:\n    outs.append(b(x))\nreturn sum(outs) + sqrt(units) + log(x.exp())",
    "return x * sqrt(x.shape[1]) + exp(1.0)",
    "sizes = x.shape + (1,)\nreturn x.view(sizes).squeeze(-1), x.size(0), x.numel(), x.dim()",
]


def same(a: object, b: object) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("source", PROGRAMS)
def test_a_forward_equals_its_printed_code_run_by_python(source: str) -> None:
    module, x = Block(), torch.randn(2, 4)
    before = x.clone()
    mine = run(source, x, values={"units": 3}, module=module)
    assert torch.equal(x, before)
    theirs = run_printed(source, x.clone(), module, {"units": 3})
    assert same(mine, theirs)


def test_the_chapters_own_lines_work_as_they_stand() -> None:
    module, x = Block(), torch.rand(2, 4)
    lines = [
        "X = linear(X)",
        "X = relu(mm(X, weight) + 1)",
        "X = linear(X)",
        "while X.abs().sum() > 1:",
        "    X /= 2",
        "return X.sum()",
    ]
    forward = compile_forward(lines, scope((Input("X", True),)), LIMITS).bind({})
    y = module.linear(F.relu(torch.mm(module.linear(x), module.weight) + 1))
    while y.abs().sum() > 1:
        y = y / 2
    assert torch.equal(forward(module, x), y.sum())


def test_the_printed_tree_is_ordinary_pytorch_code() -> None:
    tree = compile_forward(
        "h = relu(linear(x) * units)\nreturn self['block 0'](mm(h, weight))",
        scope(hyperparameters=frozenset({"units"})),
        LIMITS,
    ).tree
    assert ast.unparse(tree).splitlines() == [
        "def forward(self, x):",
        "    h = F.relu(self.linear(x) * self.units)",
        "    return getattr(self, 'block 0')(torch.mm(h, self.weight))",
    ]


def test_children_are_walked_as_sequential_walks_them_a_shared_one_twice() -> None:
    module = nn.Module()
    shared = nn.Linear(4, 4)
    module.add_module("0", shared)
    module.add_module("1", nn.ReLU())
    module.add_module("2", shared)
    given = Scope((Input("x", True),), children=frozenset({"0", "1", "2"}))
    x = torch.randn(2, 4)
    expected = nn.Sequential(shared, nn.ReLU(), shared)(x)
    for walk in ("children()", "self.children()", "self._modules.values()"):
        source = f"for block in {walk}:\n    x = block(x)\nreturn x"
        assert torch.equal(compile_forward(source, given, LIMITS).bind({})(module, x), expected)
    assert torch.equal(
        compile_forward("return self[2](self[1](self[0](x)))", given, LIMITS).bind({})(module, x), expected
    )
    assert compile_forward("return len(self)", given, LIMITS).bind({})(module, x) == 3


def test_augmented_assignment_changes_no_input() -> None:
    x = torch.ones(2, 4)
    assert torch.equal(run("y = x\ny += 1\nreturn y", x), x + 1)
    assert torch.equal(x, torch.ones(2, 4))


def test_an_input_may_have_a_default() -> None:
    forward = compile_forward(
        "return x if mask is None else x * mask", scope((Input("x", True), Input("mask", False, None))), LIMITS
    ).bind({})
    x = torch.ones(2)
    assert torch.equal(forward(None, x), x)
    assert torch.equal(forward(None, x, mask=torch.zeros(2)), x * 0)


def test_equal_texts_over_equal_scopes_compile_once() -> None:
    first = compile_forward("return linear(x) + 1", scope(), LIMITS)
    assert compile_forward("return linear(x) + 1", scope(), LIMITS) is first


def test_hyperparameters_are_bound_anew_for_each_block() -> None:
    forward = compile_forward("return x * units", scope(hyperparameters=frozenset({"units"})), LIMITS)
    x = torch.ones(1)
    assert forward.bind({"units": 2})(None, x).item() == 2
    assert forward.bind({"units": 3})(None, x).item() == 3


def test_a_hyperparameter_list_cannot_be_changed_by_a_forward() -> None:
    with pytest.raises(LanguageError, match="append"):
        run("sizes.append(1)\nreturn x", torch.ones(1), values={"sizes": [1]})


# --- errors at run time ---


@pytest.mark.parametrize(
    ("source", "code", "line"),
    [
        ("y = 1 / 0\nreturn y", "bad-arguments", 1),
        ("y = 1\nz = y % 0\nreturn z", "bad-arguments", 2),
        ("if x.sum() > 1e9:\n    y = x\nreturn y", "bad-expression", 3),
        ("n = 3\nfor i in range(100):\n    n = n * n\nreturn n", "limit-exceeded", 3),
        ("return 10 ** 10 ** 10", "limit-exceeded", 1),
        ("l = [1]\nwhile True:\n    l = l + l\nreturn 1", "limit-exceeded", 3),
        ("l = [1] * 10 ** 9\nreturn 1", "limit-exceeded", 1),
        ("return zeros(10 ** 6, 10 ** 6)", "limit-exceeded", 1),
        ("return 'text'", "bad-output", 1),
        ("return {'a': x, 'b': x, 'a': x}", "duplicate-name", 1),
        ("return [x, 'text']", "bad-output", 1),
        ("for b in blocks:\n    y = b\nreturn y", "bad-output", 3),
        ("for b in blocks:\n    y = b.half()\nreturn x", "bad-expression", 2),
        ("for b in blocks:\n    y = b.to(torch.float64)\nreturn x", "bad-expression", 2),
        ("for b in blocks:\n    y = b._modules\nreturn x", "bad-expression", 2),
        ("for b in heads.values():\n    y = b.nothing\nreturn x", "bad-expression", 2),
        ("y = x(1)\nreturn x", "bad-arguments", 1),
        ("y = 'a' + 'b'\nreturn x", "bad-arguments", 1),
        ("y = '%s' % x\nreturn x", "bad-arguments", 1),
        ("y = 'ab' * 3\nreturn x", "bad-arguments", 1),
        ("y = (-8) ** 0.5\nreturn y", "bad-arguments", 1),
        ("l = []\nl.append(l)\nreturn x", "bad-arguments", 2),
        ("l = []\nm = [l]\nl.append((1, m))\nreturn x", "bad-arguments", 3),
        ("l = [1]\nreturn l[4]", "bad-arguments", 2),
        ("y = x.to('cuda')\nreturn y", "bad-arguments", 1),
        ("return x.repeat(10 ** 6, 10 ** 6)", "limit-exceeded", 1),
        ("return x.expand(10 ** 6, 10 ** 6, 2, 4)", "limit-exceeded", 1),
        ("return one_hot(x.long().abs(), 10 ** 12)", "limit-exceeded", 1),
        ("for i in range(100):\n    x = x.unsqueeze(0)\nreturn x", "limit-exceeded", 2),
        ("for i in range(100):\n    x = x[None]\nreturn x", "limit-exceeded", 2),
        ("return {'a': 1, 'b': 'text'}", "bad-output", 1),
    ],
)
def test_what_goes_wrong_at_run_time_is_an_error_of_the_language_with_its_line(
    source: str, code: str, line: int
) -> None:
    with pytest.raises(LanguageError) as caught:
        run(source, torch.ones(2, 4))
    assert (caught.value.code, caught.value.line) == (code, line), str(caught.value)
    assert caught.value.column is not None


def test_an_error_of_pytorch_passes_through_and_its_place_is_found() -> None:
    module = Block()
    with pytest.raises(RuntimeError) as caught:
        run("y = x + 1\nreturn 2 * linear(y)", torch.ones(2, 5), module=module)
    place = place_of(caught.value)
    assert place is not None
    assert (place.line, place.column, place.module) == (2, 12, module)
    explained = explain(caught.value)
    assert (explained.code, explained.line, explained.column) == ("shape-mismatch", 2, 12)


def test_a_module_list_is_not_called() -> None:
    with pytest.raises(NotImplementedError) as caught:
        run("y = blocks(x)\nreturn y", torch.ones(2, 4))
    assert (explain(caught.value).code, explain(caught.value).line) == ("bad-arguments", 1)


@pytest.mark.parametrize(
    "use",
    ["x[y]", "x.view(y)", "x.repeat(y)", "zeros(y)", "where(x > 0, x, y)", "tensor(y)", "y == y", "meshgrid(y)", "y"],
)
def test_a_list_that_doubles_inside_itself_hangs_nothing(use: str) -> None:
    source = f"y = [1]\nfor i in range(60):\n    y = [y, y]\nreturn {use}"
    with pytest.raises((LanguageError, TypeError)) as caught:
        run(source, torch.ones(2, 4))
    assert explain(caught.value).code in ("limit-exceeded", "bad-arguments")


def test_code_of_pytorch_may_import_while_a_forward_runs() -> None:
    """Some functions import through the builtins of their caller; the language itself has no such name."""
    with pytest.raises((TypeError, RuntimeError)):
        run("return where(x > 0, x, [1])", torch.ones(2, 4))


# --- the loop budget ---


def test_a_loop_without_end_stops_with_words() -> None:
    with pytest.raises(LanguageError, match="100000 steps") as caught:
        run("while True:\n    x = x\nreturn x", torch.ones(1))
    assert caught.value.code == "limit-exceeded"


def test_a_loop_over_a_huge_range_may_be_left_by_break() -> None:
    assert run("for i in range(10 ** 12):\n    if i > 5:\n        break\nreturn i", torch.ones(1)) == 6


def test_nested_blocks_share_one_budget_of_steps() -> None:
    inner = compile_forward("for i in range(60):\n    x = x + 0\nreturn x", scope(), LIMITS).bind({})
    module = type("Inner", (nn.Module,), {"forward": inner})()
    outer_module = nn.Module()
    outer_module.add_module("linear", module)
    outer = compile_forward("return linear(linear(x))", scope(), LIMITS).bind({})
    few = Limits(loop_steps=100)
    with running(device=None, dtype=None, limits=few), pytest.raises(LanguageError) as caught:
        outer(outer_module, torch.ones(1))
    assert caught.value.code == "limit-exceeded"
    with running(device=None, dtype=None, limits=Limits(loop_steps=120)):
        assert torch.equal(outer(outer_module, torch.ones(1)), torch.ones(1))


# --- where tensors are made ---


def test_tensors_are_made_in_the_networks_dtype_unless_said() -> None:
    source = (
        "return zeros(2), full((2,), 1.5), full((2,), 1), arange(3), arange(3.0), tensor([1.5]), tensor([1]), "
        "zeros(2, dtype=torch.float32), eye(2), linspace(0, 1, 3), rand(2), hann_window(4), randint(0, 5, (2,)), "
        "normal(0.0, 1.0, (2,)), tril_indices(3, 3), one_hot(arange(3))"
    )
    with running(device="cpu", dtype=torch.float64, limits=LIMITS):
        dtypes = [made.dtype for made in run(source, torch.ones(1))]
    f, i = torch.float64, torch.int64
    assert dtypes == [f, f, i, i, f, f, i, torch.float32, f, f, f, f, i, f, i, i]


def test_on_meta_everything_works_and_nothing_is_allocated() -> None:
    module = Block().to("meta")
    with running(device="meta", dtype=torch.float32, limits=LIMITS):
        y = run(
            "return linear(x) + zeros(4) + randn(2, 4) + tensor([1.0])", torch.ones(2, 4, device="meta"), module=module
        )
    assert y.device.type == "meta"
    assert y.shape == (2, 4)


def test_random_numbers_are_pytorchs_own() -> None:
    torch.manual_seed(3)
    mine = run(
        "return randn(2, 3), rand(2), bernoulli(full((4,), 0.5)), dropout(x, 0.5)", torch.ones(8), module=nn.Module()
    )
    torch.manual_seed(3)
    theirs = torch.randn(2, 3), torch.rand(2), torch.bernoulli(torch.full((4,), 0.5)), F.dropout(torch.ones(8), 0.5)
    assert same(mine, theirs)


# --- nothing is changed in place ---


def test_running_statistics_given_to_batch_norm_stay_what_they_are() -> None:
    mean, var = torch.zeros(4), torch.ones(4)
    module = nn.Module()
    module.register_buffer("mean", mean)
    module.register_buffer("var", var)
    given = Scope((Input("x", True),), constants=frozenset({"mean", "var"}))
    x = torch.randn(8, 4)
    forward = compile_forward("return batch_norm(x, self.mean, self.var, training=True)", given, LIMITS).bind({})
    assert torch.equal(forward(module, x), F.batch_norm(x, torch.zeros(4), torch.ones(4), training=True))
    assert torch.equal(mean, torch.zeros(4))
    assert torch.equal(var, torch.ones(4))


def test_a_table_given_to_embedding_with_max_norm_stays_what_it_is() -> None:
    table = torch.full((3, 4), 9.0)
    before = table.clone()
    got = run("return embedding(arange(3), x, max_norm=1.0)", table)
    assert torch.equal(table, before)
    assert torch.equal(got, F.embedding(torch.arange(3), before.clone(), max_norm=1.0))
