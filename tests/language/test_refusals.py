"""What is not in the language is refused when it is checked: with line, column and words, and without effect."""

import contextlib

import pytest
import torch

from app.language.compile import Input, Scope, compile_forward, evaluate
from app.language.errors import LanguageError
from app.language.syntax import parse_expression
from app.settings import Limits

LIMITS = Limits()
SCOPE = Scope((Input("x", True),), children=frozenset({"linear"}))

EXPRESSIONS = """
().__class__
x.__class__.__base__.__subclasses__()
x.__init__.__globals__
x.__getattribute__("__class__")
getattr(x, "data")
__import__("os").system("true")
eval("1")
exec("1")
open("/etc/passwd")
globals()
vars()
dir()
type(x)
print(x)
compile("1", "", "eval")
input()
breakpoint()
help()
lambda: 1
(lambda: 1)()
[i for i in x]
{i for i in x}
{i: i for i in x}
(i for i in x)
f"{x}"
f"{x.__class__}"
"{0.__class__}".format(x)
"%s" .__mod__(x)
b"bytes"
1j
{1, 2}
{"a": 1}
(y := 1)
x if (y := 1) else 2
relu(*x)
relu(**x)
[*x]
await x
yield x
x is x
x is 1
x << 1
x >> 1
1e999
99999999999999999999999
x.add_(1)
x.relu_()
x.zero_()
x.copy_(x)
x.resize_(10)
x.set_(x)
x.apply_(x)
x.map_(x, x)
x.numpy()
x.tolist()
x.storage()
x.untyped_storage()
x.data_ptr()
x.as_strided((1,), (1,))
x.backward()
x.register_hook(x)
x.requires_grad_()
x.requires_grad
x.grad
x.grad_fn
x.cuda()
x.cpu()
x.share_memory_()
x.pin_memory()
x.new_empty(3)
x.to_sparse()
x.type("torch.FloatTensor")
x.detach_()
x.retain_grad()
x.module_load(x)
x.is_shared()
x.volatile
relu(x, inplace=True)
F.relu(x, True)
F.dropout(x, 0.5, True, True)
torch.add(x, x, out=x)
torch.empty(3)
empty(3)
empty_like(x)
torch.as_strided(x, (1,), (1,))
torch.load("f")
torch.save(x, "f")
torch.from_file("f")
torch.manual_seed(1)
torch.seed()
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
torch.compile(x)
torch.vmap(x)
torch.func.grad(x)
torch.autograd.grad(x, x)
torch.ops.aten.relu(x)
torch.ops.load_library("x")
torch.hub.load("a", "b")
torch.utils.data
torch.cuda.synchronize()
torch.jit.script(x)
torch._C._jit_get_all_schemas()
torch.nn.Linear
torch.nn.Module()
torch.os
torch.sys.modules
torch.nn.functional.torch
torch.classes.load_library("x")
torch.package.PackageImporter("x")
torch.serialization.load("x")
F.handle_torch_function(x, x)
F.boolean_dispatch(x)
F.triplet_margin_with_distance_loss(x, x, x, distance_function=x)
F.fractional_max_pool2d(x, 2, 2, _random_samples=x)
torch.randn(3, generator=x)
torch.randn(3, requires_grad=True)
zeros(2, device="cuda")
self
self.linear
self.forward(x)
self._modules
self.__dict__
\uff58
\ufb03
\U0001d4cd.abs()
x.\U0001d5ba\U0001d5bb\U0001d5cc()
relu(\uff49nput=x)
x[
)
1 +

x y
x = 1
import os
return x
x; x
@
\\
'\ud800'
"""

STATEMENTS = [
    "import os",
    "from os import system",
    "def f():\n    return 1",
    "async def f():\n    return 1",
    "class A:\n    pass",
    "del x",
    "with x:\n    pass",
    "try:\n    pass\nexcept Exception:\n    pass",
    "raise x",
    "assert x",
    "global x",
    "nonlocal x",
    "y: int = 1",
    "match x:\n    case 1:\n        pass",
    "@x\ndef f():\n    pass",
    "x[0] = 1",
    "x[:] += 1",
    "x.data = x",
    "self.linear = x",
    "self = 1",
    "torch = 1",
    "F = 1",
    "__class__ = 1",
    "a, *b = x",
    "for i in x:\n    pass\nelse:\n    pass",
    "while x:\n    pass\nelse:\n    pass",
    "break",
    "continue",
    "x",
    "x + 1",
    "y = range(3)",
    "y = enumerate(x)",
    "y = children()",
    "y = {'a': 1}",
    "y = linear.weight.add_(1)",
    "y = linear.weight.data.zero_()",
    "y <<= 1",
    "y = yield x",
    "for x.data in y:\n    pass",
    "for x[0] in x:\n    pass",
    "print(x)",
    "return",
    "return {**x}",
    "return {1: x}",
    "return {'a': x, 'a': x}",
    "return {}",
    "return linear",
    "  return x\n return x",
    "if x:\nreturn x",
    "return x\nreturn ___",
    "x = = 1",
    "type X = int",
]


def refused(text: str) -> LanguageError:
    with pytest.raises(LanguageError) as caught:
        evaluate(text, {"x": 1}, limits=LIMITS)
    return caught.value


@pytest.mark.parametrize("text", EXPRESSIONS.split("\n"))
def test_an_expression_outside_the_language_is_refused_with_its_place(text: str) -> None:
    error = refused(text)
    assert error.line is not None
    assert error.column is not None
    assert error.column >= 1
    assert len(error.message) > 10


@pytest.mark.parametrize("text", EXPRESSIONS.split("\n"))
def test_the_same_is_refused_inside_a_forward(text: str) -> None:
    if text in ("self.linear", "return x", "x = 1", "x; x", "\\\\", "@"):
        return
    with pytest.raises(LanguageError) as caught:
        compile_forward(["y = 1", f"y = {text}", "return y"], SCOPE, LIMITS)
    assert caught.value.line is not None


@pytest.mark.parametrize("text", STATEMENTS)
def test_a_statement_outside_the_language_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(LanguageError) as caught:
        compile_forward(f"y = x\n{text}\nreturn y", SCOPE, LIMITS)
    assert caught.value.line is not None
    assert 2 <= caught.value.line <= 2 + text.count("\n") + 1, str(caught.value)
    assert caught.value.column is not None


@pytest.mark.parametrize(
    "text", ["", "   ", "# nothing", "pass", "y = 1", "if x:\n    y = 1", [], ["x = 1"], [1], 5, None]
)
def test_a_forward_that_returns_nothing_is_refused(text: object) -> None:
    with pytest.raises(LanguageError):
        compile_forward(text, SCOPE, LIMITS)  # type: ignore[arg-type]  # what a client may send


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000,
        "(" * 2000 + ")" * 2000,
        "-" * 4000 + "1",
        "not " * 1000 + "1",
        "x" + ".T" * 2000,
        "x" + "[0]" * 1000,
        "1" + "+1" * 2000,
        "1" + " if 1 else 1" * 300,
        "[" * 3000,
        "{" * 3000,
        "lambda:" * 580,
        "f(" * 1000,
        "1" * 4000,
        "9" * 5000,
        "a" * 5000,
        "'" + "a" * 4094,
        "\0",
        "x\0y",
        "\ud800",
        "'\\ud800'",
        "'\\N{BULLET'",
        "\\",
        "\x0c\x0c",
        "\ufeffx",
        "x\u2028y",
        "0x" + "f" * 3000,
        "1_" * 100,
        "x # " + "\u202e",
        "\t\n" * 100,
        '"""',
        "f'" + "{" * 200,
    ],
)
def test_text_made_to_hurt_the_parser_is_refused_quickly(text: str) -> None:
    with contextlib.suppress(LanguageError):  # anything else would fail the test
        parse_expression(text, LIMITS)
    with contextlib.suppress(LanguageError):
        compile_forward(text, SCOPE, LIMITS)


def test_warnings_of_the_parser_are_not_shown(recwarn: pytest.WarningsRecorder) -> None:
    for text in ("1 is 1", "'\\d'", "1()", "1if 1else 2", "0or 1"):
        with contextlib.suppress(LanguageError):
            parse_expression(text, LIMITS)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("x[0] = 1", "where"),
        ("y = relu(x, inplace=True)", "leave it out"),
        ("y = x.add_(1)", "x.add"),
        ("y = torch.add(x, 1, out=x)", "instead of out=x"),
        ("y = [i for i in x]", "for loop"),
        ("import torch", "there already"),
        ("def forward(self, x):\n    return x", "lines alone"),
        ("y = x.cuda()", "device"),
        ("y = x is 1", "=="),
        ("y = x.abs", "call it"),
        ("y = linaer(x)", "did you mean linear"),
        ("y = self.linaer(x)", "did you mean linear"),
        ("y = x.rellu()", "did you mean relu"),
        ("for name, block in self._modules.items():\n    y = block(x)", r"children\(\)"),
    ],
)
def test_a_refusal_says_what_would_be_right(text: str, hint: str) -> None:
    with pytest.raises(LanguageError, match=hint):
        compile_forward(text + "\nreturn y", SCOPE, LIMITS).bind({})(None, torch.ones(2))


@pytest.mark.parametrize(
    ("lines", "line", "column"),
    [
        (["y = x", "z = y + unknown", "return z"], 2, 9),
        (["y = (1, 2, x.cuda())", "return y"], 1, 12),
        (["if x.sum() > 0:", "    y = lambda: 1", "return x"], 2, 9),
        (["y = relu(x, inplace=True)", "return y"], 1, 13),
        (["", "", "return nothing"], 3, 8),
    ],
)
def test_a_refusal_names_line_and_column_counted_from_one(lines: list[str], line: int, column: int) -> None:
    for source in (lines, "\n".join(lines)):
        with pytest.raises(LanguageError) as caught:
            compile_forward(source, SCOPE, LIMITS)
        assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize("indentation", ["", "        ", "\t"])
def test_a_forward_copied_out_of_a_class_keeps_its_indentation_and_its_columns(indentation: str) -> None:
    lines = [f"{indentation}{line}" for line in ("# 中文", "if x.sum() > 0:", "    x = x + 1", "", "return x")]
    for source in (lines, "\n".join(lines), "\n".join(["", *lines])):
        assert torch.equal(compile_forward(source, SCOPE, LIMITS).bind({})(None, torch.ones(2)), torch.full((2,), 2.0))
    for wrong in ("y = x + unknown", "x = 1 +", "x = x.cuda()"):
        with pytest.raises(LanguageError) as caught:
            compile_forward([f"{indentation}{wrong}", *lines], SCOPE, LIMITS)
        with pytest.raises(LanguageError) as plain:
            compile_forward([wrong, "return x"], SCOPE, LIMITS)
        assert (caught.value.line, caught.value.column) == (1, (plain.value.column or 0) + len(indentation))


def test_limits_of_length_nodes_and_lists_hold() -> None:
    few = Limits(expression_characters=100, program_characters=300, program_nodes=30, list_length=5, nesting=8)
    for text in ("1+" * 60 + "1", "[1,2,3,4,5,6]", "((((((((((1))))))))))"):
        with pytest.raises(LanguageError) as caught:
            parse_expression(text, few)
        assert caught.value.code == "limit-exceeded"
    for source in ("return x" + " " * 400, ["return " + "x+" * 60 + "x"], ["x=x"] * 12 + ["return x"]):
        with pytest.raises(LanguageError) as caught:
            compile_forward(source, SCOPE, few)
        assert caught.value.code == "limit-exceeded"
