"""Checks every name in an architecture, used or not, whatever its hyperparameters will be.

Finds unknown layers, blocks, names and refs, names used twice, recursion among blocks, and errors in forwards; and
tells which blocks of the library are used. What depends on values (arguments, sizes) is for `planner.py`. Called by
`resolve.py`.
"""

from collections.abc import Mapping, Sequence

from app.architecture.constructors import suggest
from app.architecture.forwards import check_forward
from app.architecture.layers import LAYERS
from app.architecture.names import FUNCTIONS, child_name_problem
from app.architecture.scopes import Definition, Library, Scope, define
from app.architecture.spec import (
    Block,
    Container,
    Header,
    Items,
    Own,
    Reference,
    Repeat,
    Scoped,
    Text,
    Use,
    Value,
    Word,
)
from app.errors import LabError, in_place, pointer_to
from app.language.syntax import Expression
from app.settings import Limits

PARAMETER_HINT = "; what stands under parameters is one already: write randn(3, 4), not nn.Parameter(randn(3, 4))"


class Checker:
    """Checks one document. `uses` maps each definition (None: the network itself) to those it uses."""

    def __init__(self, library: Library, limits: Limits) -> None:
        self.library = library
        self.limits = limits
        self.uses: dict[Definition | None, dict[Definition, str]] = {None: {}}
        self.inside: Definition | None = None
        self.ties = False

    def network(self, block: Block) -> None:
        """Checks a whole document. Raises Unprocessable."""
        self.block(block, Scope())
        done: set[Definition] = set()
        self.circles(None, [], done)
        for definition in self.uses:  # blocks that nothing uses may not use themselves either
            if definition is not None and definition not in done:
                self.circles(definition, [definition], done)
                done.add(definition)

    def library_names(self, of: Definition | None = None) -> list[str]:
        """Names of library blocks that `of` uses itself, in the order of their first use."""
        return [definition.name for definition in self.uses[of] if definition.from_library]

    def all_library_names(self) -> list[str]:
        """Names of all library blocks in use, also by one another."""
        return [definition.name for definition in self.uses if definition is not None and definition.from_library]

    # --- blocks ---

    def block(self, block: Block, scope: Scope) -> None:
        if isinstance(block, Text):
            self.text(block.expression, scope, block.pointer)
            return
        inner = self.header(block.header, scope)
        if isinstance(block, Container):
            for entry in block.entries:
                self.entry(entry.block, inner)
        elif isinstance(block, Use):
            self.called(block.type, inner, block.pointer + "/type")
            for value in (*block.args, *block.kwargs.values()):
                self.value(value, inner)
        elif isinstance(block, Own):
            self.own(block, inner)
        elif isinstance(block, Scoped):
            self.block(block.block, inner)
        elif block.name not in inner.shared:
            message = f'nothing in "shared" is named {block.name!r}{suggest(block.name, inner.shared)}'
            raise in_place(block.pointer + "/ref", message, code="unknown-name")

    def header(self, header: Header, scope: Scope) -> Scope:
        """Checks what stands beside a form, and gives the scope inside it."""
        if header.empty:
            return scope
        inner = Scope(dict(scope.values), scope.blocks, scope.shared)
        if header.blocks:
            define(header.blocks, inner)
        values = dict(scope.values)
        for hyperparameter in header.hyperparameters:
            if hyperparameter.default is not None:
                self.value(hyperparameter.default, Scope(values, inner.blocks, scope.shared))
            values[hyperparameter.name] = None
        inner.values = values
        inner.shared = {**scope.shared, **dict.fromkeys(header.shared)}
        for name in header.blocks:
            self.definition(inner.blocks[name])
        for block in header.shared.values():
            self.block(block, inner)
        return inner

    def definition(self, definition: Definition) -> None:
        """Checks a named block where it is defined: it sees its own hyperparameters only."""
        if definition in self.uses:
            return
        self.uses[definition] = {}
        before, self.inside = self.inside, definition
        self.block(definition.block, Scope({}, definition.scope.blocks, definition.scope.shared))
        self.inside = before

    def entry(self, block: Block | Repeat, scope: Scope) -> None:
        if not isinstance(block, Repeat):
            self.block(block, scope)
            return
        inner = self.header(block.header, scope)
        if isinstance(block.count, Text):
            self.text(block.count.expression, inner, block.count.pointer)
        counted = Scope({**inner.values, "i": None}, inner.blocks, inner.shared)
        if block.name is not None:
            for part in block.name.parts:
                if not isinstance(part, str):
                    self.text(part, counted, block.name.pointer)
        self.entry(block.block, counted)

    # --- blocks of one's own ---

    def own(self, block: Own, scope: Scope) -> None:
        self.ties = self.ties or bool(block.ties)
        self.apart(block)
        spread: str | None = None
        if isinstance(block.children, Text):
            self.text(block.children.expression, scope, block.children.pointer)
            text = block.children.expression.text.strip()
            spread = text if text in scope.values else None
            problem = None if spread is None else child_name_problem(spread)
            if problem is not None:
                raise in_place(block.children.pointer, problem, code="bad-name")
        else:
            for child in block.children.values():
                self.block(child, scope)
        self.first_values(block, scope)
        children = () if isinstance(block.children, Text) else tuple(block.children)
        check_forward(block, children, spread, scope.values.keys(), self.limits)

    def apart(self, block: Own) -> None:
        """A hyperparameter and a member share a name only where the member is that hyperparameter."""
        names = {one.name for one in block.header.hyperparameters}
        children = {} if isinstance(block.children, Text) else block.children
        for section, members in (
            ("children", children),
            ("parameters", block.parameters),
            ("constants", block.constants),
        ):
            for name, member in members.items():
                same = isinstance(member, Text) and member.expression.text.strip() == name
                if name in names and not same:
                    message = f"{name!r} is a hyperparameter too; they share a name only where the text is {name!r}"
                    raise in_place(block.pointer + pointer_to(section, name), message, code="duplicate-name")

    def first_values(self, block: Own, scope: Scope) -> None:
        known = set(scope.values)
        for section in block.header.sections:
            members = {"parameters": block.parameters, "constants": block.constants}.get(section, {})
            for name, value in members.items():
                if isinstance(value, Text):
                    for later in sorted((value.expression.names & block.constants.keys()) - known):
                        message = f"the constant {later!r} is not there yet; first values see the constants before them"
                        raise in_place(value.pointer, message, code="bad-expression")
                    self.names(value.expression, known, value.pointer)
                    for called in sorted(value.expression.called - FUNCTIONS):
                        hint = PARAMETER_HINT if called == "Parameter" else suggest(called, FUNCTIONS)
                        raise in_place(value.pointer, f"no function is named {called!r}{hint}", code="bad-expression")
                if section == "constants":
                    known.add(name)

    # --- texts ---

    def value(self, value: Value, scope: Scope) -> None:
        if isinstance(value, Items):
            for item in value.items:
                self.value(item, scope)
        elif isinstance(value, Word):
            if value.expression is not None and value.expression.names <= scope.values.keys():
                self.text(value.expression, scope, value.pointer)
        elif isinstance(value, Use | Own | Container | Reference | Scoped):
            self.block(value, scope)

    def text(self, expression: Expression, scope: Scope, pointer: str) -> None:
        self.names(expression, scope.values, pointer)
        for name in sorted(expression.called):
            if name not in FUNCTIONS and name not in scope.values:
                self.called(name, scope, pointer)

    def names(self, expression: Expression, known: Mapping[str, object] | set[str], pointer: str) -> None:
        for name in sorted(expression.names - frozenset(known)):
            if name in ("true", "false", "null"):
                word = {"true": "True", "false": "False", "null": "None"}[name]
                raise in_place(pointer, f"inside a text {name} is written {word}", code="bad-expression")
            if name in LAYERS:
                message = f"{name} is a layer; a layer is made by a call: {LAYERS[name].signature}"
                raise in_place(pointer, message, code="bad-expression")
            message = f"no hyperparameter is named {name!r}{suggest(name, [*known, *LAYERS])}"
            raise in_place(pointer, message, code="bad-expression")

    def called(self, name: str, scope: Scope, pointer: str) -> None:
        """Looks up a layer or a block, and notes the use of a block."""
        if name in LAYERS:
            if LAYERS[name].reason is not None:
                raise in_place(pointer, f"{name} cannot be used: {LAYERS[name].reason}", code="unknown-layer")
            return
        definition = self.find(name, scope, pointer)
        if definition is None:
            message = f"no layer or block is named {name!r}{suggest(name, [*LAYERS, *scope.blocks])}"
            raise in_place(pointer, message, code="unknown-layer")
        self.uses[self.inside].setdefault(definition, pointer)

    def find(self, name: str, scope: Scope, pointer: str) -> Definition | None:
        if name in scope.blocks:
            return scope.blocks[name]
        try:
            definition = self.library(name)
            if definition is not None:
                self.definition(definition)
        except LabError as error:
            where = "" if error.detail.startswith("in block ") else f"in block {name}: "
            raise in_place(pointer, where + error.detail, code=error.code) from None
        return definition

    # --- recursion ---

    def circles(self, at: Definition | None, path: Sequence[Definition], done: set[Definition]) -> None:
        """Refuses blocks that use themselves, directly or through others."""
        for definition, pointer in self.uses[at].items():
            if definition in path:
                names = [one.name for one in (*path[path.index(definition) :], definition)]
                place = definition.block.pointer if not definition.from_library else self.root_use(path, pointer)
                raise in_place(place, f"blocks use one another in a circle: {' -> '.join(names)}", code="cycle")
            if len(path) >= self.limits.nesting:
                message = f"blocks use one another more than {self.limits.nesting} deep"
                raise in_place(pointer or self.root_use(path, pointer), message, code="limit-exceeded")
            if definition not in done:
                self.circles(definition, [*path, definition], done)
                done.add(definition)

    def root_use(self, path: Sequence[Definition], pointer: str) -> str:
        """The place in this document where the way to a library block begins."""
        return self.uses[None].get(path[0], pointer) if path else pointer
