"""From checked statements to two bodies: one to print and one to run. Called by `compile.py`.

In the body that runs, loops count their steps and the language's own errors get their line and column on the way
out; both cost nothing where there is no loop and no error.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from app.language.emit import Emitter
from app.language.expressions import refuse
from app.language.scope import ForwardNames, Scope
from app.language.trees import attribute, call, name, runtime
from app.language.words import LIST_METHODS

BUDGET = "@budget"


@dataclass(frozen=True)
class Body:
    shown: list[ast.stmt]
    run: list[ast.stmt]


def emit_body(statements: list[ast.stmt], scope: Scope) -> Body:
    """Writes both bodies of a forward over `scope`. Raises LanguageError."""
    assigned = frozenset(_assigned(statements))
    inputs = frozenset(given.name for given in scope.inputs)
    values = (assigned | inputs) - _may_be_children(statements) - (scope.members - inputs)
    emitter = BodyEmitter(ForwardNames(scope, assigned | inputs, _lists(statements), values))
    first = _own_first(sorted((assigned - inputs) & (scope.members | scope.hyperparameters)), scope)
    body = emitter.block(statements)
    prologue = [_budget()] if emitter.loops else []
    return Body([*first.shown, *body.shown], [_settled([*prologue, *first.run, *body.run])])


def _own_first(names: list[str], scope: Scope) -> Body:
    """A name of the block that is assigned to starts with the block's own value: `units = units * 2`."""
    own = ForwardNames(scope, frozenset())
    shown: list[ast.stmt] = []
    run: list[ast.stmt] = []
    for text in names:
        pair = own.read(text)
        assert pair is not None
        shown.append(ast.Assign([ast.Name(text, ast.Store())], pair.shown))
        run.append(ast.Assign([ast.Name(text, ast.Store())], pair.run))
    return Body(shown, run)


def _budget() -> ast.stmt:
    return ast.Assign([ast.Name(BUDGET, ast.Store())], runtime("call"))


def _settled(body: list[ast.stmt]) -> ast.stmt:
    """Wraps a body so that errors of the language leave it with line and column."""
    caught = ast.Tuple([name("@LanguageError"), name("@UnboundLocalError")], ast.Load())
    handler = ast.ExceptHandler(caught, "@error", [ast.Raise(runtime("settle", name("@error")), ast.Constant(None))])
    return ast.Try(body, [handler], [], [])


def _refuse_text(returned: ast.expr) -> None:
    """Refuses a quoted text among what is returned; `members.output` refuses what only shows when it runs."""
    if isinstance(returned, ast.Constant) and isinstance(returned.value, str):
        message = "forward returns a text; outputs are tensors, numbers, tuples and lists of them"
        raise refuse(returned, message, "bad-output")
    if isinstance(returned, ast.Tuple | ast.List):
        parts = returned.elts
    else:
        parts = returned.values if isinstance(returned, ast.Dict) else []
    for part in parts:
        _refuse_text(part)


def _assigned(statements: list[ast.stmt]) -> Iterator[str]:
    for statement in statements:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id


def _lists(statements: list[ast.stmt]) -> frozenset[str]:
    """Names that are assigned lists, as in `outs = []` or `sums = [0] * n`, and nothing else."""
    lists: set[str] = set()
    others: set[str] = set()
    for statement in statements:
        for node in ast.walk(statement):
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                value = node.value.left if isinstance(node.value, ast.BinOp) else node.value
                (lists if isinstance(value, ast.List) else others).add(node.targets[0].id)
            elif isinstance(node, ast.Tuple | ast.For):
                others |= set(_assigned([ast.Expr(node)] if isinstance(node, ast.Tuple) else [ast.Expr(node.target)]))
    return frozenset(lists - others)


def _may_be_children(statements: list[ast.stmt]) -> frozenset[str]:
    """Names that are assigned what may be a child: not a literal, nor what an operator or a call (save `pop`) gives."""
    found: set[str] = set()
    for statement in statements:
        for node in ast.walk(statement):
            if isinstance(node, ast.For):
                found |= set(_assigned([ast.Expr(node.target)]))
            elif isinstance(node, ast.Assign):
                popped = isinstance(node.value, ast.Call) and getattr(node.value.func, "attr", "") in LIST_METHODS
                if popped or not isinstance(
                    node.value, ast.Call | ast.BinOp | ast.UnaryOp | ast.Compare | ast.Constant
                ):
                    found |= set(_assigned([node]))
    return frozenset(found)


class BodyEmitter:
    """Writes statements; `loops` tells whether any was a loop."""

    def __init__(self, names: ForwardNames) -> None:
        self.names = names
        self.expressions = Emitter(names)
        self.loops = False

    def block(self, statements: list[ast.stmt]) -> Body:
        """Writes both forms of a block, each statement at the place of its text."""
        shown: list[ast.stmt] = []
        run: list[ast.stmt] = []
        for statement in statements:
            written: Body = getattr(self, f"_{type(statement).__name__.lower()}")(statement)
            shown += [ast.copy_location(part, statement) for part in written.shown]
            run += [ast.copy_location(part, statement) for part in written.run]
        return Body(shown, run)

    def _assign(self, node: ast.Assign) -> Body:
        value = self.expressions.emit(node.value)
        return Body([ast.Assign(node.targets, value.shown)], [ast.Assign(node.targets, value.run)])

    def _augassign(self, node: ast.AugAssign) -> Body:
        assert isinstance(node.target, ast.Name)
        value = self.expressions.emit(node.value)
        before = self.expressions.emit(ast.copy_location(ast.Name(node.target.id, ast.Load()), node))
        result = self.expressions.binary(node.op, before, value)
        return Body([ast.Assign([node.target], result.shown)], [ast.Assign([node.target], result.run)])

    def _expr(self, node: ast.Expr) -> Body:
        value = self.expressions.emit(node.value)
        return Body([ast.Expr(value.shown)], [ast.Expr(value.run)])

    def _return(self, node: ast.Return) -> Body:
        assert node.value is not None
        _refuse_text(node.value)
        if isinstance(node.value, ast.Dict):
            values = [self.expressions.emit(value) for value in node.value.values]
            shown: ast.expr = ast.Dict(node.value.keys, [value.shown for value in values])
            run: ast.expr = ast.Dict(node.value.keys, [value.run for value in values])
        else:
            pair = self.expressions.emit(node.value)
            if pair.kind == "module":
                raise refuse(node, "forward returns a child; call it, as in return linear(x)", "bad-output")
            shown, run = pair.shown, pair.run
        return Body([ast.Return(shown)], [ast.Return(runtime("output", run))])

    def _if(self, node: ast.If) -> Body:
        test = self.expressions.emit(node.test)
        body, orelse = self.block(node.body), self.block(node.orelse)
        return Body([ast.If(test.shown, body.shown, orelse.shown)], [ast.If(test.run, body.run, orelse.run)])

    def _while(self, node: ast.While) -> Body:
        self.loops = True
        test, body = self.expressions.emit(node.test), self.block(node.body)
        step = ast.copy_location(ast.Expr(call(attribute(name(BUDGET), "step"))), node)
        return Body([ast.While(test.shown, body.shown, [])], [ast.While(test.run, [step, *body.run], [])])

    def _for(self, node: ast.For) -> Body:
        self.loops = True
        values, body = self.expressions.emit_walk(node.iter), self.block(node.body)
        counted = call(attribute(name(BUDGET), "each"), runtime("walk", values.run))
        return Body([ast.For(node.target, values.shown, body.shown, [])], [ast.For(node.target, counted, body.run, [])])

    def _break(self, _node: ast.Break) -> Body:
        return Body([ast.Break()], [ast.Break()])

    def _continue(self, _node: ast.Continue) -> Body:
        return Body([ast.Continue()], [ast.Continue()])

    def _pass(self, _node: ast.Pass) -> Body:
        return Body([ast.Pass()], [ast.Pass()])
