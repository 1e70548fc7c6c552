"""From checked expressions to two trees: one to print and one to run.

The printed tree is ordinary PyTorch code (`self.linear(x)`, `F.relu(x)`, `torch.mm(a, b)`). The other is what is
compiled: functions are globals bound by us, operators and attributes go through `operators.py` and `members.py`
where a value could be more than a tensor. Names that we add (`@add`) hold characters that no user's name can.
Called by `compile.py`.
"""

import ast
from collections.abc import Callable

from app.language.errors import LanguageError, UnknownName, suggest
from app.language.expressions import place, refuse, refused_keyword
from app.language.functions import BARE, METHODS, REFUSED_METHODS, Function, find_dotted
from app.language.syntax import dotted
from app.language.trees import Names, Pair, attribute, call, index_tree, name, outer, path, placed, runtime
from app.language.words import (
    DTYPE_ALIASES,
    DTYPES,
    HINTS_OF_SELF,
    LIST_METHODS,
    LITERALS,
    LOOP_FUNCTIONS,
    NAMESPACES,
    NUMBER_FUNCTIONS,
    TENSOR_ATTRIBUTES,
)

OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
    ast.FloorDiv: "floor_divide",
    ast.Mod: "modulo",
    ast.Pow: "power",
    ast.MatMult: "matrix_multiply",
    ast.BitAnd: "bit_and",
    ast.BitOr: "bit_or",
    ast.BitXor: "bit_xor",
    ast.USub: "negative",
    ast.UAdd: "positive",
    ast.Invert: "invert",
    ast.Eq: "equal",
    ast.NotEq: "unequal",
    ast.Lt: "less",
    ast.LtE: "less_equal",
    ast.Gt: "greater",
    ast.GtE: "greater_equal",
    ast.In: "contains",
    ast.NotIn: "lacks",
}
AMBIGUOUS = frozenset({"torch.max", "torch.min"})
LOOPS = {"range": "numbers_from", "enumerate": "numbered", "zip": "side_by_side", "reversed": "backwards"}


class Emitter:
    """Writes both trees of an expression over the names of one scope."""

    def __init__(self, names: Names) -> None:
        self.names = names

    def emit(self, node: ast.expr) -> Pair:
        """Gives both trees of `node`. Raises LanguageError (bad-expression, bad-arguments, ...)."""
        write: Callable[[ast.expr], Pair] = getattr(self, f"_{type(node).__name__.lower()}")
        pair = write(node)
        return Pair(placed(pair.shown, node), placed(pair.run, node), pair.kind)

    # --- leaves ---

    def _constant(self, node: ast.Constant) -> Pair:
        kind = "number" if isinstance(node.value, int | float) else "unknown"
        return Pair(ast.Constant(node.value), ast.Constant(node.value), kind)

    def _name(self, node: ast.Name) -> Pair:
        found = self.names.read(node.id)
        if found is not None:
            return found
        if node.id in LITERALS:
            return Pair(path(f"torch.{node.id}"), name("@" + node.id), "number")
        if node.id in DTYPES:
            return Pair(path(f"torch.{node.id}"), name("@torch." + node.id))
        if node.id == "self":
            raise refuse(node, 'self stands only before a dot or an index, as in self.linear or self["block 0"]')
        if node.id in BARE or node.id in LOOP_FUNCTIONS:
            raise refuse(node, f"{node.id} is a function; call it, as in {node.id}(x)")
        if node.id in NAMESPACES:
            raise refuse(node, f"{node.id} stands only before a dot, as in torch.mm(a, b)")
        raise self._unknown(node, node.id, "name")

    def _unknown(self, node: ast.AST, text: str, what: str) -> LanguageError:
        known = self.names.known() | (set(BARE) if what == "function" else LITERALS)
        line, column = place(node)
        words = f"there is no {what} {text} here{suggest(text.removeprefix('self.'), known)}"
        return UnknownName(words, line=line, column=column)

    # --- operators ---

    def _binop(self, node: ast.BinOp) -> Pair:
        left, right = self.emit(node.left), self.emit(node.right)
        return self.binary(node.op, left, right)

    def binary(self, op: ast.operator, left: Pair, right: Pair) -> Pair:
        """`left op right`."""
        kind = "number" if left.kind == right.kind == "number" else "value"
        shown = ast.BinOp(left.shown, type(op)(), right.shown)
        return Pair(shown, runtime(OPERATORS[type(op)], left.run, right.run), kind)

    def _unaryop(self, node: ast.UnaryOp) -> Pair:
        operand = self.emit(node.operand)
        shown = ast.UnaryOp(type(node.op)(), operand.shown)
        if isinstance(node.op, ast.Not):
            return Pair(shown, ast.UnaryOp(ast.Not(), operand.run))
        if isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant) and operand.kind == "number":
            return Pair(shown, ast.UnaryOp(ast.USub(), operand.run), "number")
        return Pair(shown, runtime(OPERATORS[type(node.op)], operand.run), operand.kind)

    def _boolop(self, node: ast.BoolOp) -> Pair:
        values = [self.emit(value) for value in node.values]
        return Pair(
            ast.BoolOp(type(node.op)(), [value.shown for value in values]),
            ast.BoolOp(type(node.op)(), [value.run for value in values]),
        )

    def _compare(self, node: ast.Compare) -> Pair:
        operands = [self.emit(operand) for operand in (node.left, *node.comparators)]
        shown = ast.Compare(operands[0].shown, node.ops, [operand.shown for operand in operands[1:]])
        if len(node.ops) == 1:
            return Pair(shown, self._one_comparison(node.ops[0], operands[0].run, operands[1].run))
        parts: list[ast.expr] = []
        left = operands[0].run
        for position, (op, operand) in enumerate(zip(node.ops, operands[1:], strict=True)):
            right: ast.expr = operand.run
            if position < len(node.ops) - 1 and not isinstance(right, ast.Constant):
                kept = f"@kept {node.lineno}.{node.col_offset}.{position}"
                right = ast.NamedExpr(ast.Name(kept, ast.Store()), right)
                parts.append(self._one_comparison(op, left, right))
                left = name(kept)
                continue
            parts.append(self._one_comparison(op, left, right))
            left = right
        return Pair(shown, ast.BoolOp(ast.And(), parts))

    def _one_comparison(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> ast.expr:
        if isinstance(op, ast.Is | ast.IsNot):
            return ast.Compare(left, [type(op)()], [right])
        return runtime(OPERATORS[type(op)], left, right)

    def _ifexp(self, node: ast.IfExp) -> Pair:
        test, body, orelse = self.emit(node.test), self.emit(node.body), self.emit(node.orelse)
        kind = body.kind if body.kind == orelse.kind else "unknown"
        return Pair(ast.IfExp(test.shown, body.shown, orelse.shown), ast.IfExp(test.run, body.run, orelse.run), kind)

    # --- sequences and indexes ---

    def _tuple(self, node: ast.Tuple) -> Pair:
        parts = [self.emit(element) for element in node.elts]
        return Pair(
            ast.Tuple([part.shown for part in parts], ast.Load()), ast.Tuple([part.run for part in parts], ast.Load())
        )

    def _list(self, node: ast.List) -> Pair:
        parts = [self.emit(element) for element in node.elts]
        return Pair(
            ast.List([part.shown for part in parts], ast.Load()),
            ast.List([part.run for part in parts], ast.Load()),
            "list",
        )

    def _slice(self, node: ast.Slice) -> Pair:
        parts = [None if part is None else self.emit(part) for part in (node.lower, node.upper, node.step)]
        return Pair(
            ast.Slice(*(None if part is None else part.shown for part in parts)),
            ast.Slice(*(None if part is None else part.run for part in parts)),
        )

    def _subscript(self, node: ast.Subscript) -> Pair:
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            return self._of_self(node)
        value, index = self.emit(node.value), self.emit(node.slice)
        kind = "number" if isinstance(node.value, ast.Attribute) and node.value.attr == "shape" else "unknown"
        return Pair(
            ast.Subscript(value.shown, index.shown, ast.Load()), runtime("item", value.run, index_tree(index.run)), kind
        )

    def _of_self(self, node: ast.Subscript) -> Pair:
        if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            found = self.names.of_self(node.slice.value)
            if found is None:
                raise self._unknown(node, repr(node.slice.value), "child or parameter")
            return found
        index = self.emit(node.slice)
        values = call(path("list"), call(path("self._modules.values")))
        return Pair(
            ast.Subscript(values, index.shown, ast.Load()),
            runtime("child_at", name("self"), index_tree(index.run)),
            "module",
        )

    # --- attributes ---

    def _attribute(self, node: ast.Attribute) -> Pair:
        constant = self._constant_of_torch(node)
        if constant is not None:
            return constant
        if isinstance(node.value, ast.Name) and node.value.id == "self" and self.names.read("self") is None:
            return self._self_attribute(node)
        value = self.emit(node.value)
        shown = attribute(value.shown, node.attr)
        if value.kind == "module":
            return Pair(shown, runtime("member", value.run, ast.Constant(node.attr)))
        if node.attr in TENSOR_ATTRIBUTES:
            kind = "number" if node.attr == "ndim" else "unknown"
            return Pair(shown, attribute(runtime("subject", value.run), node.attr), kind)
        if node.attr in METHODS and node.attr not in ("values", "indices"):
            raise refuse(node, f"{node.attr} is a method; call it, as in x.{node.attr}()")
        self._refuse_attribute(node)
        return Pair(shown, runtime("member", value.run, ast.Constant(node.attr)))

    def _refuse_attribute(self, node: ast.Attribute) -> None:
        if node.attr in REFUSED_METHODS:
            raise refuse(node, f"{node.attr} is not in the language{REFUSED_METHODS[node.attr]}")

    def _constant_of_torch(self, node: ast.Attribute) -> Pair | None:
        parts = dotted(node)
        if not parts or not self._is_namespace(parts[0]):
            return None
        if parts[0] == "torch" and len(parts) == 2:
            if parts[1] in LITERALS:
                return Pair(path(f"torch.{parts[1]}"), name("@" + parts[1]), "number")
            if parts[1] in DTYPES | DTYPE_ALIASES:
                return Pair(path(f"torch.{parts[1]}"), name("@torch." + parts[1]))
        text = ".".join(parts)
        if find_dotted(parts) is not None:
            raise refuse(node, f"{text} is a function; call it, as in {text}(x)")
        raise self._unknown(node, text, "name")

    def _is_namespace(self, text: str) -> bool:
        return text in NAMESPACES and self.names.read(text) is None

    def _self_attribute(self, node: ast.Attribute) -> Pair:
        found = self.names.of_self(node.attr)
        if found is None:
            if node.attr in HINTS_OF_SELF:
                raise refuse(node, f"self.{node.attr} is not in the language: {HINTS_OF_SELF[node.attr]}")
            raise self._unknown(node, f"self.{node.attr}", "child, parameter, constant or hyperparameter")
        return found

    # --- calls ---

    def _call(self, node: ast.Call) -> Pair:
        function = node.func
        if isinstance(function, ast.Name):
            return self._call_name(node, function)
        if isinstance(function, ast.Attribute):
            return self._call_attribute(node, function)
        target = self.emit(function)
        return self._apply(node, target.shown, runtime("callable_module", target.run))

    def _call_name(self, node: ast.Call, function: ast.Name) -> Pair:
        target = self.names.call(function.id)
        if target is not None:
            return self._apply(node, target.shown, target.run)
        if function.id == "len" and len(node.args) == 1 and _is_self(node.args[0]):
            return Pair(call(path("len"), path("self._modules")), runtime("count_children", name("self")), "number")
        if function.id in LOOP_FUNCTIONS or function.id == "children":
            raise refuse(node, f"{function.id} stands only after in, as in for i in {function.id}(...)")
        entry = BARE.get(function.id)
        if entry is None:
            raise self._unknown(node, function.id, "function")
        return self._apply_function(node, entry)

    def _call_attribute(self, node: ast.Call, function: ast.Attribute) -> Pair:
        parts = dotted(function)
        if parts and self._is_namespace(parts[0]):
            target = self.names.call(parts[-1]) if parts[:-1] in (("nn",), ("torch", "nn")) else None
            if target is not None and self.names.read(parts[-1]) is None:
                return self._apply(node, target.shown, target.run)
            entry = find_dotted(parts)
            if entry is None:
                raise self._unknown(node, ".".join(parts), "function")
            return self._apply_function(node, entry)
        if _is_self(function.value):
            if function.attr == "children":
                raise refuse(node, "children stands only after in, as in for block in self.children()")
            found = self._self_attribute(function)
            run = found.run if found.kind == "module" else runtime("callable_module", found.run)
            return self._apply(node, found.shown, run)
        return self._call_method(node, function)

    def _call_method(self, node: ast.Call, function: ast.Attribute) -> Pair:
        if isinstance(function.value, ast.Constant):
            raise refuse(function, "numbers and texts have no methods here; tensors have, as in x.abs()")
        value, method = self.emit(function.value), function.attr
        shown = attribute(value.shown, method)
        if value.kind == "module":
            target = runtime("callable_module", runtime("member", value.run, ast.Constant(method)))
            return self._apply(node, shown, target)
        if method in LIST_METHODS:
            pair = self._apply(node, shown, name("@" + method), first=value.run)
            return Pair(pair.shown, pair.run)  # what is popped may be a child
        if method.endswith("_") and (method[:-1] in METHODS or method in REFUSED_METHODS):
            hint = f"write x = x.{method[:-1]}(...)" if method[:-1] in METHODS else "make a new tensor"
            raise refuse(function, f"{method} changes a tensor in place, which no text here does; {hint}")
        entry = METHODS.get(method)
        if entry is None:
            self._refuse_attribute(function)
            self._refuse_method(function, value)
            target = runtime("callable_module", runtime("member", value.run, ast.Constant(method)))
            return self._apply(node, shown, target)
        self._check_arguments(node, entry.method_positions)
        if entry.method is None:
            return self._apply(node, shown, attribute(runtime("subject", value.run), method))
        return self._apply(node, shown, name("@method " + method), first=value.run)

    def _refuse_method(self, function: ast.Attribute, value: Pair) -> None:
        """Refuses a method that nothing has; what may turn out to be a child is asked for its children when run."""
        if value.kind == "list":
            raise refuse(function, f"lists have no method {function.attr!r} here; they have append and pop, + and *")
        if value.kind in ("value", "number"):
            hint = suggest(function.attr, METHODS) or "; GET /v1/catalog/functions lists what there is"
            raise refuse(function, f"no method is named {function.attr!r}{hint}")

    def _apply_function(self, node: ast.Call, entry: Function) -> Pair:
        self._check_arguments(node, entry.positions)
        key = entry.key
        if key in AMBIGUOUS and isinstance(node.func, ast.Attribute) and len(node.args) == 2:
            key += " itself"  # torch.max(x, 0) is PyTorch's alone; a bare max may be Python's
        bare = isinstance(node.func, ast.Name)
        pair = self._apply(node, path(entry.shown, bare=bare), name("@" + key))
        if entry.key in ("len", "int", "float"):
            return Pair(pair.shown, pair.run, "number")
        if entry.name in NUMBER_FUNCTIONS and node.args:
            kinds = {self.emit(argument).kind for argument in node.args}
            if kinds <= {"number"} or kinds == {"list"}:
                assert isinstance(pair.shown, ast.Call)
                pair.shown.func = path(f"math.{entry.name}" if entry.name in ("sqrt", "exp", "log") else entry.name)
                return Pair(pair.shown, pair.run, "number" if kinds == {"number"} else "unknown")
        return pair

    def _check_arguments(self, node: ast.Call, positions: int | None) -> None:
        for keyword in node.keywords:
            assert keyword.arg is not None
            reason = refused_keyword(keyword.arg, keyword.value)
            if reason is not None:
                raise refuse(keyword, reason)
            if keyword.arg == "device" and isinstance(keyword.value, ast.Constant) and keyword.value.value is not None:
                raise refuse(keyword, "tensors are made where the network is; leave device out, or write x.device")
            if keyword.arg.startswith("_"):
                raise refuse(keyword, f"{keyword.arg} is not an argument that can be given")
        if positions is not None and len(node.args) > positions:
            raise refuse(
                node.args[positions],
                f"at most {positions} arguments go by position here (inplace and its like are not in the language); "
                "give the others by name",
            )

    def _apply(self, node: ast.Call, shown: ast.expr, run: ast.expr, first: ast.expr | None = None) -> Pair:
        args = [self.emit(argument) for argument in node.args]
        keywords = [(keyword.arg, self.emit(keyword.value)) for keyword in node.keywords]
        seen = [key for key, _ in keywords]
        if len(set(seen)) != len(seen):
            raise refuse(node, "an argument is given twice")
        leading = [] if first is None else [first]
        return Pair(
            ast.Call(shown, [arg.shown for arg in args], [ast.keyword(key, value.shown) for key, value in keywords]),
            ast.Call(
                run, [*leading, *(arg.run for arg in args)], [ast.keyword(key, value.run) for key, value in keywords]
            ),
            "value",
        )

    # --- what for walks over ---

    def emit_walk(self, node: ast.expr) -> Pair:
        """Gives what stands after `in` of a for: here alone range, enumerate, zip, reversed and children are known."""
        pair = self._walk(node)
        return Pair(placed(pair.shown, node), placed(pair.run, node))

    def _walk(self, node: ast.expr) -> Pair:
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in LOOPS and self.names.call(node.func.id) is None:
                args = [self.emit_walk(a) if node.func.id != "range" else self.emit(a) for a in node.args]
                keywords = [(k.arg, self.emit(k.value)) for k in node.keywords]
                return Pair(
                    ast.Call(
                        outer(node.func.id), [a.shown for a in args], [ast.keyword(k, v.shown) for k, v in keywords]
                    ),
                    ast.Call(
                        name("@" + LOOPS[node.func.id]),
                        [a.run for a in args],
                        [ast.keyword(k, v.run) for k, v in keywords],
                    ),
                )
            if _is_children(node.func) and not node.args and not node.keywords and self.names.call("children") is None:
                return Pair(call(path("self._modules.values")), runtime("children_of", name("self")))
            if isinstance(node.func, ast.Attribute) and node.func.attr in ("items", "values", "keys") and not node.args:
                value = self.emit(node.func.value)
                shown = call(attribute(value.shown, node.func.attr))
                return Pair(shown, runtime("entries", value.run, ast.Constant(node.func.attr)))
        return self.emit(node)


def _is_children(node: ast.expr) -> bool:
    if isinstance(node, ast.Name):
        return node.id == "children"
    return dotted(node) in {("self", "children"), ("self", "_modules", "values")}


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"
