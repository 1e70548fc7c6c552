"""How a bare name is looked up: in a block's forward, and in an expression.

Called by `compile.py` and `bodies.py`; `emit.py` asks through its `Names` protocol.
"""

import ast
from dataclasses import dataclass
from keyword import iskeyword

from app.language.expressions import IDENTIFIER
from app.language.syntax import Input
from app.language.trees import Pair, attribute, call, name, outer, runtime


@dataclass(frozen=True)
class Scope:
    """The names a forward sees besides its locals. Members (children, parameters, constants) may hold spaces."""

    inputs: tuple[Input, ...]
    hyperparameters: frozenset[str] = frozenset()
    children: frozenset[str] = frozenset()
    parameters: frozenset[str] = frozenset()
    constants: frozenset[str] = frozenset()

    @property
    def members(self) -> frozenset[str]:
        """Everything that the module itself holds."""
        return self.children | self.parameters | self.constants


def member_tree(member: str) -> ast.expr:
    """`self.linear`, or `getattr(self, 'block 0')` where the name is no identifier, or one that Python changes."""
    if IDENTIFIER.match(member) and not iskeyword(member) and not member.startswith("__"):
        return attribute(name("self"), member)
    return call(outer("getattr"), name("self"), ast.Constant(member))


@dataclass
class ForwardNames:
    """Names of a forward: locals and inputs first, then the block's own."""

    scope: Scope
    locals: frozenset[str]
    lists: frozenset[str] = frozenset()  # locals that surely hold lists: sum of one is printed as Python's own
    values: frozenset[str] = frozenset()  # locals and inputs that surely hold no child

    def read(self, text: str) -> Pair | None:
        if text in self.locals:
            kind = "list" if text in self.lists else "value" if text in self.values else "unknown"
            return Pair(name(text), name(text), kind)
        return self._own(text)

    def call(self, text: str) -> Pair | None:
        """What is called by a bare name: a child, or a local that holds a module."""
        if text in self.locals:
            return Pair(name(text), runtime("callable_module", name(text)))
        found = self._own(text)
        if found is None or found.kind == "module":
            return found
        return Pair(found.shown, runtime("callable_module", found.run))

    def of_self(self, text: str) -> Pair | None:
        if text == "training":
            return Pair(attribute(name("self"), text), attribute(name("self"), text))
        return self._own(text)

    def _own(self, text: str) -> Pair | None:
        if text in self.scope.members:
            kind = "module" if text in self.scope.children else "unknown"
            return Pair(member_tree(text), attribute(name("self"), text), kind)
        if text in self.scope.hyperparameters:
            return Pair(attribute(name("self"), text), name(f"@value {text}"), "number")
        return None

    def known(self) -> set[str]:
        return {*self.locals, *self.scope.members, *self.scope.hyperparameters}


@dataclass
class ExpressionNames:
    """Names of one expression: the values it is given, then what may be called."""

    values: frozenset[str]
    calls: frozenset[str]

    def read(self, text: str) -> Pair | None:
        if text not in self.values:
            return None
        return Pair(name(text), ast.Subscript(name("@values"), ast.Constant(text), ast.Load()))

    def call(self, text: str) -> Pair | None:
        if text in self.calls:
            return Pair(name(text), ast.Subscript(name("@calls"), ast.Constant(text), ast.Load()))
        found = self.read(text)
        return None if found is None else Pair(found.shown, runtime("callable_module", found.run))

    def of_self(self, text: str) -> Pair | None:  # noqa: ARG002  # no expression has a self
        return None

    def known(self) -> set[str]:
        return {*self.values, *self.calls}
