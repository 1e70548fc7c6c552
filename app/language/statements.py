"""The allow-list of statements in a forward: each is built afresh, or refused in words that help.

Called by `compile.py`. Like `expressions.py` it knows form alone, not names.
"""

import ast

from app.language.errors import LanguageError
from app.language.expressions import BINARY, ExpressionCleaner, place, refuse
from app.language.reader import read_program
from app.language.words import NAMESPACES
from app.settings import Limits

REFUSED: dict[type[ast.AST], str] = {
    ast.Import: "nothing is imported; the functions of torch and torch.nn.functional are there already",
    ast.ImportFrom: "nothing is imported; the functions of torch and torch.nn.functional are there already",
    ast.FunctionDef: "functions cannot be defined here; forward is the lines alone, without def",
    ast.AsyncFunctionDef: "functions cannot be defined here; forward is the lines alone, without def",
    ast.ClassDef: "classes cannot be defined here; define a block",
    ast.Delete: "del is not in the language; let the name be",
    ast.With: "with is not in the language; cut a gradient with x.detach()",
    ast.AsyncWith: "with is not in the language",
    ast.AsyncFor: "async is not in the language",
    ast.Try: "try is not in the language; test with if before",
    ast.TryStar: "try is not in the language; test with if before",
    ast.Raise: "raise is not in the language",
    ast.Assert: "assert is not in the language",
    ast.Global: "global is not in the language; every name is local",
    ast.Nonlocal: "nonlocal is not in the language; every name is local",
    ast.AnnAssign: "annotations are not in the language; write x = value",
    ast.Match: "match is not in the language; use if and elif",
}


def parse_program(source: object, limits: Limits) -> list[ast.stmt]:
    """Reads and checks a forward; gives fresh statements. Raises LanguageError with line and column."""
    if not isinstance(source, str | tuple | list):
        raise LanguageError("forward is text: a string or a list of lines")
    cleaner = StatementCleaner(limits)
    body = cleaner.block(read_program(source, limits))
    if not body:
        raise LanguageError(
            "forward is empty; it ends with a line such as return x", code="bad-output", line=1, column=1
        )
    if not cleaner.returns:
        raise LanguageError(
            "forward returns nothing; end it with a line such as return x", code="bad-output", line=1, column=1
        )
    return body


class StatementCleaner:
    """Checks statements and rebuilds them; `returns` tells whether a return was seen."""

    def __init__(self, limits: Limits) -> None:
        self.expressions = ExpressionCleaner(limits)
        self.returns = False
        self._loops = 0

    def block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        return [self.clean(statement) for statement in statements]

    def clean(self, node: ast.stmt) -> ast.stmt:
        """Gives a fresh statement equal to `node`."""
        self.expressions.enter(node)
        build = getattr(self, f"_{type(node).__name__.lower()}", None)
        if type(node) in REFUSED or build is None:
            raise refuse(node, REFUSED.get(type(node), f"{type(node).__name__} is not in the language"))
        fresh: ast.stmt = ast.copy_location(build(node), node)
        self.expressions.leave()
        return fresh

    def _assign(self, node: ast.Assign) -> ast.stmt:
        value = self.expressions.clean(node.value)
        return ast.Assign([self._target(target) for target in node.targets], value)

    def _augassign(self, node: ast.AugAssign) -> ast.stmt:
        if not isinstance(node.op, BINARY):
            raise refuse(node, "<<= and >>= are not in the language")
        if not isinstance(node.target, ast.Name):
            self._target(node.target)
            raise refuse(node, "an augmented assignment has one name on its left, as in x += 1")
        target = self._target(node.target)
        assert isinstance(target, ast.Name)
        return ast.AugAssign(target, type(node.op)(), self.expressions.clean(node.value))

    def _target(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Name):
            self.expressions.enter(node)
            self.expressions.leave()
            name = self.expressions.name(node.id, *place(node))
            if name in NAMESPACES - {"fft", "linalg", "special", "nn"} or name == "self":
                raise refuse(node, f"{name} cannot be assigned to: the language uses that name", "bad-name")
            return ast.copy_location(ast.Name(name, ast.Store()), node)
        if isinstance(node, ast.Tuple | ast.List) and node.elts:
            self.expressions.enter(node)
            fresh = ast.Tuple([self._target(element) for element in node.elts], ast.Store())
            self.expressions.leave()
            return ast.copy_location(fresh, node)
        if isinstance(node, ast.Subscript):
            raise refuse(
                node,
                "assignment to an index would change a tensor in place; make a new one, "
                "with where(mask, a, b), cat, index_fill, masked_fill or scatter",
            )
        if isinstance(node, ast.Attribute):
            raise refuse(node, "attributes cannot be assigned to; use a local name, as in y = ...")
        if isinstance(node, ast.Starred):
            raise refuse(node, "* unpacking is not in the language; name each element")
        raise refuse(node, "this cannot be assigned to; a name or a tuple of names can")

    def _expr(self, node: ast.Expr) -> ast.stmt:
        value = node.value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return ast.Pass()  # a comment in quotes
        if not isinstance(value, ast.Call):
            self.expressions.clean(value)
            raise refuse(node, "this line has no effect; assign its value, as in y = ..., or return it")
        return ast.Expr(self.expressions.clean(value))

    def _return(self, node: ast.Return) -> ast.stmt:
        self.returns = True
        if node.value is None:
            raise refuse(node, "return needs a value, as in return x", "bad-output")
        if isinstance(node.value, ast.Dict):
            return ast.Return(self._named_outputs(node.value))
        return ast.Return(self.expressions.clean(node.value))

    def _named_outputs(self, node: ast.Dict) -> ast.expr:
        keys: list[ast.expr | None] = []
        seen: set[str] = set()
        for key in node.keys:
            if not isinstance(key, ast.Constant) or not isinstance(key.value, str) or not key.value:
                raise refuse(key or node, 'outputs are named by quoted text, as in return {"mean": m}', "bad-output")
            if key.value in seen:
                raise refuse(key, f"the output {key.value!r} is named twice", "duplicate-name")
            seen.add(key.value)
            keys.append(self.expressions.clean(key))
        if not keys:
            raise refuse(node, "a dict of outputs needs at least one", "bad-output")
        self.expressions.enter(node)
        fresh = ast.Dict(keys, [self.expressions.clean(value) for value in node.values])
        self.expressions.leave()
        return ast.copy_location(fresh, node)

    def _if(self, node: ast.If) -> ast.stmt:
        return ast.If(self.expressions.clean(node.test), self.block(node.body), self.block(node.orelse))

    def _while(self, node: ast.While) -> ast.stmt:
        if node.orelse:
            raise refuse(node, "else after a loop is not in the language; set a name and test it after the loop")
        test = self.expressions.clean(node.test)
        return ast.While(test, self._loop(node.body), [])

    def _for(self, node: ast.For) -> ast.stmt:
        if node.orelse:
            raise refuse(node, "else after a loop is not in the language; set a name and test it after the loop")
        target, values = self._target(node.target), self.expressions.clean(node.iter)
        return ast.For(target, values, self._loop(node.body), [])

    def _loop(self, body: list[ast.stmt]) -> list[ast.stmt]:
        self._loops += 1
        try:
            return self.block(body)
        finally:
            self._loops -= 1

    def _break(self, node: ast.Break) -> ast.stmt:
        if not self._loops:
            raise refuse(node, "break stands outside a loop")
        return ast.Break()

    def _continue(self, node: ast.Continue) -> ast.stmt:
        if not self._loops:
            raise refuse(node, "continue stands outside a loop")
        return ast.Continue()

    def _pass(self, _node: ast.Pass) -> ast.stmt:
        return ast.Pass()
