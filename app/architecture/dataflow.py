"""The data flow of a whole forward: statements one after another, loops and branches as boxes of their own.

A loop is walked once and its values go back to its beginning; of a branch both ways are drawn. Called by
`diagram.py`.
"""

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.architecture.flow_expressions import Expressions
from app.architecture.flow_values import (
    NOTHING,
    Value,
    assigned_in,
    children_of,
    flowing_in,
    is_spread,
    merged,
    read_in,
    replaced,
    shown,
    sources_of,
)
from app.language.trees import is_outer
from app.pictures.graph import Edge, Node

WALKED = "\0walked"  # among the entries of a loop: what it walks over


@dataclass
class Flow(Expressions):
    """The graph of one body: a forward, or what is in a loop or a branch (then with the flow around it)."""

    outer: "Flow | None" = None
    entries: dict[str, tuple[str, Value]] = field(default_factory=dict)  # names from around: the node here, the value
    returned: list[Value] = field(default_factory=list)
    keys: tuple[str, ...] = ()  # names of the outputs, where a dict is returned
    carried: frozenset[str] = frozenset()  # names that one round of a loop gives to the next

    def find(self, name: str) -> Value | None:
        """The value of a local; one from around this body comes in through a node of its name."""
        if name in self.names or self.outer is None:
            return self.names.get(name)
        around = self.outer.find(name)
        if around is not None:
            self.names[name] = self.enter(name, name, around)
        return self.names.get(name)

    def enter(self, key: str, title: str, around: Value) -> Value:
        """A value from around as it is known in here: its parts keep their modules."""
        if key in self.carried and not around.modules:
            entry = self.add("input", title)
            self.entries[key] = (entry, around)
            return Value((entry,))
        if not sources_of(around):
            return around
        entry = self.add("input", title)
        self.entries[key] = (entry, around)
        return replaced(around, dict.fromkeys(sources_of(around), (entry,)))

    def bind(self, target: ast.expr, value: Value) -> None:
        if isinstance(target, ast.Name):
            self.names[target.id] = value
        elif isinstance(target, ast.Tuple | ast.List):
            parts = value.parts
            if parts is None or len(parts) != len(target.elts):
                parts = (merged([value]),) * len(target.elts)
            for element, part in zip(target.elts, parts, strict=True):
                self.bind(element, part)

    # --- statements ---

    def block(self, statements: Sequence[ast.stmt], later: frozenset[str]) -> None:
        """Walks statements; `later` are the names that are read after them."""
        for number, statement in enumerate(statements):
            self.statement(statement, later | read_in(statements[number + 1 :]))

    def statement(self, statement: ast.stmt, later: frozenset[str]) -> None:
        if isinstance(statement, ast.Assign):
            self.bind(statement.targets[0], self.value(statement.value))
        elif isinstance(statement, ast.Expr):
            self.value(statement.value)
        elif isinstance(statement, ast.Return) and statement.value is not None:
            self.leave(statement.value)
        elif isinstance(statement, ast.If):
            self.branches(statement, later)
        elif isinstance(statement, ast.While):
            self.loop(f"while {shown(statement.test)}", statement.body, None, later)
        elif isinstance(statement, ast.For):
            header = f"for {shown(statement.target)} in {shown(statement.iter)}"
            self.loop(header, statement.body, (statement.target, self.walked(statement.iter)), later)

    def leave(self, returned: ast.expr) -> None:
        if isinstance(returned, ast.Dict):
            self.keys = tuple(str(key.value) for key in returned.keys if isinstance(key, ast.Constant))
            self.returned.append(Value(parts=tuple(map(self.value, returned.values))))
        else:
            self.returned.append(self.value(returned))

    def branches(self, statement: ast.If, later: frozenset[str]) -> None:
        test = shown(statement.test)
        ends = [self.inner(f"if {test}", statement.body, None, later)]
        ends.append(self.inner(f"if not ({test})", statement.orelse, None, later) if statement.orelse else {})
        for name in dict.fromkeys(name for end in ends for name in end):
            self.names[name] = merged([end[name] if name in end else self.find(name) or NOTHING for end in ends])

    def loop(
        self, header: str, body: Sequence[ast.stmt], each: tuple[ast.expr, Value] | None, later: frozenset[str]
    ) -> None:
        for name, value in self.inner(header, body, each, later, again=True).items():
            skipped = self.find(name) if each is None else None  # a `for` is drawn as if it had something to walk over
            self.names[name] = merged([value, skipped or NOTHING])

    def inner(
        self,
        header: str,
        body: Sequence[ast.stmt],
        each: tuple[ast.expr, Value] | None,
        later: frozenset[str],
        *,
        again: bool = False,
    ) -> dict[str, Value]:
        """Draws a body as a box, and gives the names that it assigns as they are after it."""
        read = read_in(body) if again else frozenset()
        carried = flowing_in(body, ()) & read & frozenset(assigned_in(body))
        flow = Flow(self.module, self.painter, outer=self, keys=self.keys, carried=carried)
        if each is not None:
            target, walked = each
            flow.bind(target, flow.enter(WALKED, shown(target), walked))
        flow.block(body, later | read)
        self.keys = flow.keys
        results = {name: flow.names[name] for name in assigned_in(body) if name in flow.names}
        if all(node.kind == "input" for node in flow.nodes):  # nothing happens in there: values pass, no box
            passed = {entry: sources_of(around) for entry, around in flow.entries.values()}
            self.returned += [replaced(value, passed) for value in flow.returned]
            return {name: replaced(value, passed) for name, value in results.items()}
        flow.go_out(results, later, again=again)
        node = Node(self.painter.new_id(), "loop", (header,), flow.graph())
        self.put(node, merged([around for _, around in flow.entries.values()]).sources)
        if flow.returned:
            self.returned.append(Value((node.id,)))
        return {name: Value((node.id,)) if sources_of(value) else value for name, value in results.items()}

    def go_out(self, results: dict[str, Value], later: frozenset[str], *, again: bool) -> None:
        """Ends a body: what is used later goes out through a node of its name, and in a loop back to the beginning."""
        for name, value in results.items():
            entry = self.entries[name][0] if name in self.entries else None
            sources = sources_of(value)
            carried = again and entry is not None and sources != (entry,)
            if sources and sources != (entry,) and (name in later or carried):
                end = self.add("output", name, sources)
                if carried and entry is not None:
                    self.edges.append(Edge(end, entry, back=True))
        for value in self.returned:
            self.add("output", "return", sources_of(value))

    # --- what for walks over ---

    def walked(self, node: ast.expr) -> Value:
        """What stands after `in`, as the value of one round."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and is_outer(node.func):
            name = node.func.id
            if name == "enumerate":
                return Value(parts=(NOTHING, self.walked(node.args[0])))
            if name == "zip":
                return Value(parts=tuple(map(self.walked, node.args)))
            if name == "reversed":
                return self.walked(node.args[0])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if ast.unparse(node.func) == "self._modules.values":
                return Value(modules=children_of(self.module, ""))
            if node.func.attr in ("items", "values", "keys") and not node.args:
                each = self.walked(node.func.value)
                return Value(parts=(NOTHING, each)) if node.func.attr == "items" else each
        value = self.value(node)
        if value.modules and not (isinstance(node, ast.Attribute) and is_spread(node.attr, self.module)):
            return Value(modules=tuple(child for path, module in value.modules for child in children_of(module, path)))
        return merged(value.parts) if value.parts is not None else value
