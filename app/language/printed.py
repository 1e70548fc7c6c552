"""A forward as the text of a Python method that needs nothing of ours: it computes what the compiled one computes.

The printed tree says all of it save two things. A function such as `sqrt` is Python's for a number and PyTorch's for a
tensor: where it is not sure which it gets, a small function that looks is called, whose text is in `EITHER`. And
functions that make tensors must make them where the network is: `makers` tells which are called. Called by
`app.architecture.source`.
"""

import ast
import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeGuard

import torch

from app.language.compile import Forward
from app.language.functions import DOTTED
from app.language.kinds import Kinds
from app.language.making import MAKERS
from app.language.trees import Bare, is_outer, root

MAKING = frozenset(
    {("torch", name) for name in (*MAKERS, "tensor", "as_tensor")}
    | {("torch.fft", name) for name in ("fftfreq", "rfftfreq")}
)
EITHER: dict[str, str] = {
    **{
        name: f"def {name}(x, *args):\n    return (torch.{name} if isinstance(x, torch.Tensor) else {own})(x, *args)"
        for name, own in (("sqrt", "math.sqrt"), ("exp", "math.exp"), ("log", "math.log"))
    },
    **{
        f"{name}_": f"def {name}_(x, *args, **kwargs):\n"
        f"    return (torch.{name} if isinstance(x, torch.Tensor) else {name})(x, *args, **kwargs)"
        for name in ("abs", "round", "pow")
    },
    "sum_": "def sum_(values, *args, **kwargs):\n"
    "    return sum(values) if isinstance(values, (list, tuple)) else torch.sum(values, *args, **kwargs)",
    **{
        f"{name}_": f"def {name}_(*args, **kwargs):\n"
        "    x, *others = args\n"
        "    number = len(others) == 1 and (\n"
        "        isinstance(others[0], float) or (getattr(x, 'ndim', 0) == 0 and isinstance(others[0], int))\n"
        "    )\n"
        "    if isinstance(x, torch.Tensor) and not number:\n"
        f"        return torch.{name}(*args, **kwargs)\n"
        f"    return {name}(args if others else x)"
        for name in ("max", "min")
    },
}
_OF_NUMBERS = {"sqrt": "math.sqrt", "exp": "math.exp", "log": "math.log"}


@dataclass(frozen=True)
class Printed:
    """The method's text, names in `EITHER` that it calls, and names of Python that it uses (`math`, `len`, ...)."""

    text: str
    helpers: frozenset[str]
    outer: frozenset[str]
    hyperparameters: frozenset[str]  # those it reads from self
    makers: frozenset[str]  # functions that make tensors, as it calls them


def user_names(forward: Forward) -> set[str]:
    """Names that the author of a forward gave: its inputs and locals."""
    nodes = list(ast.walk(forward.tree))
    names = {node.id for node in nodes if isinstance(node, ast.Name) and not is_outer(node)}
    return names | {node.arg for node in nodes if isinstance(node, ast.arg)}


def print_forward(
    forward: Forward,
    hyperparameters: Mapping[str, object],
    inline: Callable[[str], bool],
    alias: Callable[[str], str],
) -> Printed:
    """Writes a forward as a method.

    Hyperparameters are read from self, save those that `inline` tells to write as literals; `alias` gives the name
    under which a name of Python, PyTorch or `EITHER` is known.
    """
    tree = copy.deepcopy(forward.tree)
    writer = _Writer(tree, forward, hyperparameters, inline, alias)
    written = writer.visit(tree)
    text = ast.unparse(ast.fix_missing_locations(written))
    return Printed(
        text, frozenset(writer.helpers), frozenset(writer.outer), frozenset(writer.read), frozenset(writer.makers)
    )


class _Writer(ast.NodeTransformer):
    def __init__(
        self,
        tree: ast.FunctionDef,
        forward: Forward,
        hyperparameters: Mapping[str, object],
        inline: Callable[[str], bool],
        alias: Callable[[str], str],
    ) -> None:
        self.hyperparameters = hyperparameters
        self.known = forward.hyperparameters
        self.inline, self.alias = inline, alias
        numbers = frozenset(name for name, value in hyperparameters.items() if is_number(value))
        self.kinds = Kinds(tree, forward.scope, numbers)
        self.helpers: set[str] = set()
        self.outer: set[str] = set()
        self.read: set[str] = set()
        self.makers: set[str] = set()

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if not is_outer(node):
            return node
        self.outer.add(node.id)
        return ast.Name(self.alias(node.id), ast.Load())

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if isinstance(node.value, ast.Name) and node.value.id == "self" and node.attr in self.known:
            if self.inline(node.attr):
                return literal(self.hyperparameters[node.attr])
            self.read.add(node.attr)
            return node
        self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        name = ast.unparse(node.func)
        if is_outer(root(node.func)):
            space, _, plain = name.rpartition(".")
            if (space, plain) in MAKING:
                self.makers.add(name)
            if space == "torch" and plain in ("sqrt", "exp", "log", "abs", "round", "pow", "min", "max", "sum"):
                node.func = self._either(node, plain)
        self.generic_visit(node)
        return node

    def _either(self, node: ast.Call, name: str) -> ast.expr:
        """Python's function, PyTorch's, or the one that looks at what it gets."""
        called = root(node.func)
        bare = isinstance(called, ast.Name) and isinstance(called.ctx, Bare)
        kinds = [self.kinds.of(argument) for argument in node.args]
        if name in ("min", "max"):
            tensor = kinds[:1] == ["tensor"] and (not bare or len(node.args) != 2)
            if tensor or (not bare and len(node.args) == 2):
                return node.func
        elif kinds[:1] == ["tensor"] or not node.args:
            return node.func
        if kinds and set(kinds) == {"number"} and name != "sum":
            own = ast.parse(_OF_NUMBERS.get(name, name), mode="eval").body
            self.outer.add(_OF_NUMBERS.get(name, name).partition(".")[0])
            for part in ast.walk(own):
                if isinstance(part, ast.Name):
                    part.id = self.alias(part.id)
            return own
        helper = name if name in EITHER else f"{name}_"
        self.helpers.add(helper)
        return ast.Name(self.alias(helper), ast.Load())


def is_number(value: object) -> TypeGuard[int | float]:
    """Tells plain numbers, truth values among them, from everything else."""
    return isinstance(value, int | float)


def literal(value: object) -> ast.expr:
    """A value as Python writes it: numbers, texts, tuples, dtypes, tensors of them, and numbers that are not finite."""
    if isinstance(value, tuple | list):
        return ast.Tuple([literal(part) for part in value], ast.Load())
    if isinstance(value, float) and not math.isfinite(value):
        return ast.parse(f"float('{value}')", mode="eval").body
    if isinstance(value, torch.dtype):
        return ast.parse(str(value), mode="eval").body
    if isinstance(value, torch.Tensor):
        return ast.parse(tensor_text(value), mode="eval").body
    if is_number(value) and not isinstance(value, bool) and value < 0:
        return ast.UnaryOp(ast.USub(), ast.Constant(-value))
    assert value is None or isinstance(value, str | int | float | complex)
    return ast.Constant(value)


def tensor_text(value: torch.Tensor) -> str:
    """A tensor as a call of `torch.tensor`, its numbers written so that they read back bit for bit."""
    numbers = ast.unparse(literal_list(value.tolist()))
    return f"torch.tensor({numbers}, dtype={value.dtype})" + (
        "" if value.numel() else f".reshape({tuple(value.shape)})"
    )


def literal_list(value: object) -> ast.expr:
    if isinstance(value, list):
        return ast.List([literal_list(part) for part in value], ast.Load())
    return literal(value)


assert all(f"torch.{name}" in DOTTED for name in ("sqrt", "exp", "log", "abs", "round", "pow", "min", "max", "sum"))
