"""Follows the expressions of a forward over forms: what each gives, if rows stay apart.

The trees are those that the language prints: members are `self.x`, functions `torch.mm` or `F.relu`. Called by
`walk.py`, which it calls back for modules.
"""

import ast
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from app.architecture.rowwise import making, pieces, pointwise, products, reductions, shapes, windows  # noqa: F401  # their rules
from app.architecture.rowwise.forms import (
    ANYTHING,
    UNKNOWN,
    VARIOUS,
    Elements,
    Form,
    Kind,
    Results,
    Value,
    forms_in,
    join,
    mixed,
)
from app.architecture.rowwise.indexes import pick
from app.architecture.rowwise.lists import LOOPS, number, of_lists, walk_over
from app.architecture.rowwise.numbers import SIGNS, compare, compute, truth
from app.architecture.rowwise.rules import RULES, follow
from app.architecture.rowwise.sizes import is_whole, product
from app.language.members import NUMBER_FUNCTIONS, member

CallModule = Callable[[Value, Sequence[Value], Mapping[str, Value]], Value]
SPACES = frozenset({"torch", "F", "math"})
INTEGERS = frozenset({torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8})


class Expressions:
    """Follows expressions over the names of one forward; `env` holds its locals."""

    def __init__(self, module: nn.Module, hyperparameters: Mapping[str, object], call: CallModule) -> None:
        self.module = module
        self.hyperparameters = hyperparameters
        self.call = call
        self.env: dict[str, Value] = {}
        self._unsure = 0  # how many undecided choices surround what is followed: a list must not change there

    def follow(self, node: ast.expr) -> Value:
        """What `node` gives. Raises Mixed."""
        find: Callable[[Any], Value] | None = getattr(self, f"_{type(node).__name__.lower()}", None)
        if find is None:
            return mixed(type(node).__name__, "is not followed here")
        return find(node)

    def decide(self, what: str, node: ast.expr) -> bool | None:
        return truth(what, self.follow(node))

    # --- leaves ---

    def _constant(self, node: ast.Constant) -> Value:
        return node.value

    def _name(self, node: ast.Name) -> Value:
        if node.id not in self.env:
            mixed(node.id, "may have no value there")
        return self.env[node.id]

    def _tuple(self, node: ast.Tuple) -> Value:
        return tuple(map(self.follow, node.elts))

    def _list(self, node: ast.List) -> Value:
        return Elements([self.follow(part) for part in node.elts])

    def _slice(self, node: ast.Slice) -> Value:
        bounds = (None if part is None else self.follow(part) for part in (node.lower, node.upper, node.step))
        return slice(*bounds)

    def _dict(self, node: ast.Dict) -> Value:
        keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
        return Results.of(**dict(zip(map(str, keys), map(self.follow, node.values), strict=True)))

    # --- operators ---

    def _binop(self, node: ast.BinOp) -> Value:
        return self._operate(type(node.op), self.follow(node.left), self.follow(node.right))

    def _unaryop(self, node: ast.UnaryOp) -> Value:
        if isinstance(node.op, ast.Not):
            decided = self.decide("not", node.operand)
            return UNKNOWN if decided is None else not decided
        return self._operate(type(node.op), self.follow(node.operand))

    def _operate(self, kind: type[ast.AST], *operands: Value) -> Value:
        sign, function, run = SIGNS[kind]
        if any(isinstance(operand, Form) for operand in operands):
            return follow(function, sign, operands, {})
        if any(isinstance(operand, tuple | Elements) for operand in operands):
            return of_lists(sign, *operands)
        return compute(sign, run, *operands)

    def _compare(self, node: ast.Compare) -> Value:
        operands = [self.follow(operand) for operand in (node.left, *node.comparators)]
        results = [
            self._one_comparison(op, left, right)
            for op, left, right in zip(node.ops, operands, operands[1:], strict=False)
        ]
        return results[0] if len(results) == 1 else _all_of(results)

    def _one_comparison(self, op: ast.cmpop, left: Value, right: Value) -> Value:
        if isinstance(op, ast.Is | ast.IsNot):
            value = left if right is None else right
            same: Value = UNKNOWN if value is VARIOUS else value is None
            return same if isinstance(op, ast.Is) or same is UNKNOWN else not same
        if isinstance(op, ast.In | ast.NotIn):
            return self._contained(op, left, right)
        sign, function, run = SIGNS[type(op)]
        if isinstance(left, Form) or isinstance(right, Form):
            return follow(function, sign, (left, right), {})
        return compare(sign, run, left, right)

    def _contained(self, op: ast.In | ast.NotIn, value: Value, values: Value) -> Value:
        if isinstance(values, nn.ModuleDict):
            found: Value = isinstance(value, str) and value in values
        else:
            if not isinstance(values, tuple | Elements) or any(True for _ in forms_in([value, values])):
                mixed("in", "is followed for lists of numbers")
            known = values if isinstance(values, tuple) else values.known
            parts = [UNKNOWN if known is None else compare("==", SIGNS[ast.Eq][2], value, one) for one in known or [0]]
            found = True if True in parts else UNKNOWN if UNKNOWN in parts else False
        return found if isinstance(op, ast.In) or found is UNKNOWN else not found

    def _boolop(self, node: ast.BoolOp) -> Value:
        word = "and" if isinstance(node.op, ast.And) else "or"
        value = self.follow(node.values[0])
        for position, part in enumerate(node.values[1:]):
            decided = truth(word, value)
            if decided is not None and decided == (word == "or"):
                return value
            if decided is None:
                rest = ast.BoolOp(node.op, node.values[position + 1 :]) if position + 2 < len(node.values) else part
                return join(value, self._perhaps(rest))
            value = self.follow(part)
        return value

    def _ifexp(self, node: ast.IfExp) -> Value:
        decided = self.decide("if", node.test)
        if decided is not None:
            return self.follow(node.body if decided else node.orelse)
        return join(self._perhaps(node.body), self._perhaps(node.orelse))

    def _perhaps(self, node: ast.expr) -> Value:
        self._unsure += 1
        value = self.follow(node)
        self._unsure -= 1
        return value

    # --- members ---

    def _attribute(self, node: ast.Attribute) -> Value:
        space = _dotted(node)
        if space is not None and space[0] in SPACES and space[0] not in self.env:
            constants = {"inf": math.inf, "nan": math.nan, "pi": math.pi}
            return constants.get(space[-1], getattr(torch, space[-1], UNKNOWN))
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            return self._member(node.attr)
        return self._attribute_of(self.follow(node.value), node.attr)

    def _member(self, name: str) -> Value:
        if name == "training":
            return False
        if name in self.hyperparameters:
            return _as_value(self.hyperparameters[name])
        return _as_value(getattr(self.module, name))

    def _attribute_of(self, value: Value, name: str) -> Value:
        if isinstance(value, nn.Module):
            return _as_value(member(value, name))
        if isinstance(value, Results) and name in value.names:
            return value[value.names.index(name)]
        if not isinstance(value, Form):
            return mixed(name, "is asked of something that is not known beforehand")
        if name in ("dtype", "device"):
            return UNKNOWN
        if value.sizes is None:
            return Elements(None, UNKNOWN) if name == "shape" else UNKNOWN if name == "ndim" else ANYTHING
        if name in ("shape", "ndim"):
            return value.sizes if name == "shape" else len(value.sizes)
        return value if name == "data" else follow(f"attribute.{name}", name, (value,), {})

    def _subscript(self, node: ast.Subscript) -> Value:
        if _is_children(node.value):
            children = tuple(self.module._modules.values())  # noqa: SLF001  # as compiled code reaches them
            return pick(children, self.follow(node.slice))
        return _as_value(pick(self.follow(node.value), self.follow(node.slice)))

    # --- calls ---

    def _call(self, node: ast.Call) -> Value:
        function = node.func
        if isinstance(function, ast.Name):
            return self._call_name(node, function.id)
        if isinstance(function, ast.Attribute):
            return self._call_attribute(node, function)
        return self.call(self.follow(function), *self._arguments(node))

    def _arguments(self, node: ast.Call) -> tuple[list[Value], dict[str, Value]]:
        args = [self.follow(argument) for argument in node.args]
        return args, {str(keyword.arg): self.follow(keyword.value) for keyword in node.keywords}

    def _call_name(self, node: ast.Call, name: str) -> Value:
        if name in self.env:
            return self.call(self.env[name], *self._arguments(node))
        if name == "getattr":
            assert isinstance(node.args[1], ast.Constant)
            return self._member(str(node.args[1].value))
        if name == "len" and _dotted(node.args[0]) == ("self", "_modules"):
            return len(self.module._modules)  # noqa: SLF001  # as compiled code counts them
        args, kwargs = self._arguments(node)
        if name in LOOPS:
            return walk_over(name, args, kwargs)
        return number(name, args, kwargs)

    def _call_attribute(self, node: ast.Call, function: ast.Attribute) -> Value:
        space = _dotted(function)
        if space == ("self", "_modules", "values"):
            return tuple(self.module._modules.values())  # noqa: SLF001  # as compiled code walks them
        if space is not None and space[0] in SPACES and space[0] not in self.env:
            args, kwargs = self._arguments(node)
            name = _key(space)
            of_list = space[-1] == "sum" and args and isinstance(args[0], tuple | Elements)
            if of_list or (space[-1] in NUMBER_FUNCTIONS and not any(True for _ in forms_in(args))):
                return number(space[-1], args, kwargs)
            return follow(name, name.removeprefix("F."), args, kwargs)
        if isinstance(function.value, ast.Name) and function.value.id == "self":
            return self.call(self._member(function.attr), *self._arguments(node))
        return self._call_method(node, self.follow(function.value), function.attr)

    def _call_method(self, node: ast.Call, value: Value, name: str) -> Value:
        args, kwargs = self._arguments(node)
        if isinstance(value, nn.ModuleDict) and name in ("items", "keys", "values"):
            return tuple(getattr(value, name)())
        if isinstance(value, nn.Module):
            return self.call(member(value, name), args, kwargs)
        if name in ("append", "pop"):
            return self._change(value, name, args)
        if isinstance(value, Form):
            key = f"method.{name}"
            return follow(key if key in RULES else name, name, (value, *args), kwargs)
        if isinstance(value, tuple) and name == "numel":
            found = product([part for part in value if is_whole(part)])
            return UNKNOWN if found is None else found
        return mixed(name, "is called on something that is not known beforehand")

    def _change(self, value: Value, name: str, args: list[Value]) -> Value:
        if not isinstance(value, Elements) or self._unsure:
            mixed(name, "changes a list where it is not known whether it does")
        if name == "append":
            value.append(args[0])
            return None
        index = args[0] if args else -1
        if value.known is None or not isinstance(index, int) or not -len(value.known) <= index < len(value.known):
            mixed(name, "takes an element that is not known beforehand")
        return value.known.pop(index)


def _all_of(results: Sequence[Value]) -> Value:
    """A chain of comparisons, `a < b < c`."""
    decided = [truth("and", result) for result in results]
    return False if False in decided else UNKNOWN if None in decided else True


def _as_value(found: object) -> Value:
    """A member of a module as a value: tensors are forms."""
    if isinstance(found, Tensor):
        kind: Kind = "integer" if found.dtype in INTEGERS else "boolean" if found.dtype == torch.bool else None
        return Form(tuple(found.shape), kind)
    return tuple(map(_as_value, found)) if isinstance(found, tuple) and not isinstance(found, Results) else found


def _dotted(node: ast.expr) -> tuple[str, ...] | None:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return (node.id, *reversed(parts)) if isinstance(node, ast.Name) else None


def _key(space: Sequence[str]) -> str:
    """The name of a rule for `torch.mm`, `F.relu`, `torch.linalg.norm`."""
    if len(space) == 3:
        return f"{space[1]}.{space[2]}"
    return f"F.{space[1]}" if space[0] == "F" and f"F.{space[1]}" in RULES else space[-1]


def _is_children(node: ast.expr) -> bool:
    """`list(self._modules.values())`, as the language prints `self[0]`."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "list"
        and len(node.args) == 1
        and isinstance(node.args[0], ast.Call)
        and _dotted(node.args[0].func) == ("self", "_modules", "values")
    )
