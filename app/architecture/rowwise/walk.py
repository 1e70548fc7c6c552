"""Follows a network over forms: blocks of one's own statement by statement, Sequential child by child, layers by rules.

Where a choice is not known both ways are followed and joined; a loop of unknown length is followed until its turns
change nothing any more. What cannot be followed is refused, never guessed. Called by `proof.py`.
"""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from app.architecture.own import OwnBlock, written_of
from app.architecture.rowwise.expressions import Expressions
from app.architecture.rowwise.forms import ANYTHING, Elements, Mixed, Value, fork, join, mixed
from app.architecture.rowwise.layers import follow_layer
from app.architecture.rowwise.lists import elements_of
from app.architecture.rowwise.numbers import truth

MOST_STEPS = 50_000  # statements followed in one network
MOST_TURNS = 12  # of a loop of unknown length, until nothing changes
Env = dict[str, Value]


class Walk:
    """Follows calls of the modules of one network."""

    def __init__(self) -> None:
        self.steps = 0

    def call(self, module: Value, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
        """What a call of `module` gives. Raises Mixed, with the innermost module."""
        if not isinstance(module, nn.Module):
            return mixed("a call", "is of something that is not known beforehand")
        try:
            if isinstance(module, OwnBlock):
                return _Forward(self, module).run(args, kwargs)
            if isinstance(module, nn.Sequential):
                return self._chain(module, args, kwargs)
            return follow_layer(module, args, kwargs)
        except Mixed as error:
            error.module = error.module or module
            raise

    def _chain(self, module: nn.Sequential, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
        given = [*args, *kwargs.values()]
        if len(given) != 1:
            mixed(type(module).__name__, f"takes one value, not {len(given)}")
        value = given[0]
        for child in module._modules.values():  # noqa: SLF001  # every child, also one that stands twice
            self.step()
            value = self.call(child, (value,), {})
        return value

    def step(self) -> None:
        self.steps += 1
        if self.steps > MOST_STEPS:
            mixed("the forward", f"takes more than {MOST_STEPS} steps to follow")


@dataclass
class _Loop:
    """The names at each `break` and `continue` of one loop."""

    breaks: list[Env] = field(default_factory=list)
    continues: list[Env] = field(default_factory=list)


class _Forward:
    """One call of a block of one's own."""

    def __init__(self, walk: Walk, module: OwnBlock) -> None:
        self.walk = walk
        self.module = module
        self.loops: list[_Loop] = []
        self.returned: list[Value] = []
        written = written_of(module)
        if written.forward is None:
            mixed(type(module).__name__, "has no forward")
        self.inputs = written.inputs
        self.tree = written.forward.tree
        self.expressions = Expressions(module, written.hyperparameters, walk.call)

    def run(self, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
        env: Env = {given.name: given.default for given in self.inputs if not given.required}
        env |= dict(zip((given.name for given in self.inputs), args, strict=False)) | dict(kwargs)
        end = self.block(self.tree.body, env)
        if end is not None:
            self.returned.append(None)
        result = self.returned[0]
        for value in self.returned[1:]:
            result = join(result, value)
        return result

    def block(self, statements: Sequence[ast.stmt], env: Env | None) -> Env | None:
        """Follows statements; None where none of them is left by its end."""
        for statement in statements:
            if env is None:
                return None
            self.walk.step()
            self.expressions.env = env
            try:
                env = getattr(self, f"_{type(statement).__name__.lower()}")(statement, env)
            except Mixed as error:
                if error.module is None:
                    error.module, error.line = self.module, statement.lineno
                raise
        return env

    def follow(self, node: ast.expr, env: Env) -> Value:
        self.expressions.env = env
        return self.expressions.follow(node)

    # --- statements ---

    def _assign(self, node: ast.Assign, env: Env) -> Env:
        value = self.follow(node.value, env)
        for target in node.targets:
            self._bind(target, value, env)
        return env

    def _bind(self, target: ast.expr, value: Value, env: Env) -> None:
        if isinstance(target, ast.Name):
            env[target.id] = value
            return
        assert isinstance(target, ast.Tuple)
        parts = (ANYTHING,) * len(target.elts) if value == ANYTHING else elements_of(value)
        if isinstance(parts, Elements):
            parts = (parts.each,) * len(target.elts)
        if len(parts) != len(target.elts):
            mixed("an assignment", f"has {len(target.elts)} names for {len(parts)} values")
        for inner, part in zip(target.elts, parts, strict=True):
            self._bind(inner, part, env)

    def _expr(self, node: ast.Expr, env: Env) -> Env:
        self.follow(node.value, env)
        return env

    def _pass(self, node: ast.Pass, env: Env) -> Env:  # noqa: ARG002  # every statement is followed so
        return env

    def _return(self, node: ast.Return, env: Env) -> None:
        assert node.value is not None
        self.returned.append(self.follow(node.value, env))

    def _break(self, node: ast.Break, env: Env) -> None:  # noqa: ARG002  # as above
        self.loops[-1].breaks.append(env)

    def _continue(self, node: ast.Continue, env: Env) -> None:  # noqa: ARG002  # as above
        self.loops[-1].continues.append(env)

    def _if(self, node: ast.If, env: Env) -> Env | None:
        decided = truth("if", self.follow(node.test, env))
        if decided is not None:
            return self.block(node.body if decided else node.orelse, env)
        other = _fork(env)
        return _join(self.block(node.body, env), self.block(node.orelse, other))

    def _for(self, node: ast.For, env: Env) -> Env | None:
        values = elements_of(self.follow(node.iter, env))
        if isinstance(values, Elements):
            return self._turns(node, env, values.each)
        loop = self._enter()
        state: Env | None = env
        for value in values:
            if state is None:
                break
            self._bind(node.target, value, state)
            state = self._turn(node, state, loop)
        self.loops.pop()
        return _join(state, *loop.breaks)

    def _while(self, node: ast.While, env: Env) -> Env | None:
        loop = self._enter()
        state: Env | None = env
        while state is not None:
            decided = truth("while", self.follow(node.test, state))
            if decided is None:
                self.loops.pop()
                return _join(self._turns(node, state), *loop.breaks)
            if not decided:
                break
            state = self._turn(node, state, loop)
        self.loops.pop()
        return _join(state, *loop.breaks)

    def _enter(self) -> _Loop:
        self.loops.append(_Loop())
        return self.loops[-1]

    def _turn(self, node: ast.For | ast.While, env: Env, loop: _Loop) -> Env | None:
        loop.continues.clear()
        self.walk.step()
        return _join(self.block(node.body, env), *loop.continues)

    def _turns(self, node: ast.For | ast.While, env: Env, each: Value = None) -> Env | None:
        """Follows a loop that may end after any turn, until one more turn changes nothing."""
        loop = self._enter()
        state = env
        for _ in range(MOST_TURNS):
            inside = _fork(state)
            if isinstance(node, ast.For):
                self._bind(node.target, each, inside)
            elif truth("while", self.follow(node.test, inside)) is False:
                break
            after = self._turn(node, inside, loop)
            joined = _join(_fork(state), after)
            if joined is None or _alike(joined, state):
                break
            state = joined
        else:
            mixed("for" if isinstance(node, ast.For) else "while", "gives its values another form in each turn")
        self.loops.pop()
        return _join(state, *loop.breaks)


def _fork(env: Env) -> Env:
    copies: dict[int, Elements] = {}
    return {name: fork(value, copies) for name, value in env.items()}


def _join(*ways: Env | None) -> Env | None:
    """What is known where several ways meet. Read after a way that gives it no value, a name fails in any batch."""
    found: Env | None = None
    for way in ways:
        if found is None or way is None:
            found = way if found is None else found
            continue
        seen: dict[tuple[int, int], Elements] = {}
        both = {name: join(found[name], way[name], seen) for name in found if name in way}
        found = {**found, **way, **both}
    return found


def _alike(a: Value, b: Value) -> bool:
    """Whether the same is known of two values."""
    if isinstance(a, Elements) and isinstance(b, Elements):
        return _alike(a.known, b.known) and _alike(a.each, b.each)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_alike(a[key], b[key]) for key in a)
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(map(_alike, a, b))
    return a is b or (type(a) is type(b) and a == b)
