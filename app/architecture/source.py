"""A network as one file of plain PyTorch: a class for each block, and `build` and `load`. It needs nothing of ours.

Written from the plan of the network, so that modules are made in the same order, under the same names and from the
same random numbers as here; a forward is its own printed tree. Called by the worker.
"""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from app.architecture.own import WRITTEN, Written
from app.architecture.paths import split, walk
from app.architecture.plan import (
    BlockPlan,
    Child,
    ContainerPlan,
    FirstValue,
    LayerPlan,
    Plan,
    ScopePlan,
    Slot,
    SlotPlan,
)
from app.architecture.source_file import assemble
from app.architecture.source_text import block_text, call_text, fresh_name, is_hidden, is_plain, value_text
from app.architecture.spec import TensorLiteral, Tie
from app.language.emit import Emitter
from app.language.making import MAKERS
from app.language.printed import EITHER, is_number, literal, print_forward, tensor_text, user_names
from app.language.trees import Pair, attribute, is_outer, name

FRESH = frozenset(f"torch.{name}" for name in (*MAKERS, "tensor"))  # what they make shares memory with nothing
SQUARE, CURLY = ("[", "]"), ("{", "}")
COPY = ".clone(memory_format=torch.contiguous_format)"


def write_source(
    plan: Plan, net: nn.Module, *, title: str, dtype: torch.dtype, changed: dict[str, bool], version: str
) -> str:
    """Writes the file. `net` is the network made of `plan`, on any device; `changed` says for the first names of
    parameters whether they are trained, where that is not as they were built."""
    writer = Writer(net)
    body = Body()
    made = writer.expression(plan, body, start=True)
    return assemble(
        writer.classes,
        [*body.lines, made],
        title=title,
        dtype=dtype,
        changed=changed,
        version=version,
        outer=writer.outer,
        helpers=writer.helpers,
        makers=writer.makers,
        aliases=writer.aliases,
    )


@dataclass
class Body:
    """The body of one function as it is written: its lines, and the variables that hold modules of slots."""

    taken: set[str] = field(default_factory=set)
    lines: list[str] = field(default_factory=list)
    known: dict[Slot, str] = field(default_factory=dict)
    waiting: dict[Slot, str] = field(default_factory=dict)  # made where they are first used


class Writer:
    """Writes one network; `classes` are the definitions so far, each once."""

    def __init__(self, net: nn.Module) -> None:
        self.classes: list[str] = []
        self.outer: set[str] = set()
        self.helpers: set[str] = set()
        self.makers: set[str] = set()
        self.made_of = {type(module): module for module in net.modules()}
        written = (vars(kind).get(WRITTEN) for kind in self.made_of)
        forwards = [one.forward for one in written if isinstance(one, Written) and one.forward is not None]
        self.user_names = {text for forward in forwards for text in user_names(forward)}
        self.aliases: dict[str, str] = {}
        self.outside = set(EITHER)  # names at the top of the file
        self.variables: set[str] = set()
        self.named: dict[str, str] = {}  # classes and functions by their text
        self.kinds: dict[tuple[Plan, ScopePlan | None], str] = {}
        self.free_slots: dict[Plan, tuple[Slot, ...]] = {}

    def alias(self, text: str) -> str:
        """The name under which a forward knows something from outside: another one where it has such a local."""
        if text not in self.user_names:
            return text
        if text not in self.aliases:
            self.aliases[text] = fresh_name(f"{text}_", self.user_names | self.outside)
        return self.aliases[text]

    # --- expressions ---

    def expression(self, plan: Plan, body: Body, *, start: bool = False) -> str:
        """The text that makes the module of `plan`; `start`: nothing of this text is evaluated before it."""
        if isinstance(plan, LayerPlan):
            return self.layer(plan, body)
        if isinstance(plan, ContainerPlan):
            return self.container(plan, body)
        if isinstance(plan, SlotPlan):
            return self.slot(plan.slot, body)
        if isinstance(plan, BlockPlan):
            return self.block(plan, None, body)
        assert isinstance(plan, ScopePlan)
        return self.scope(plan, body, start=start)

    def layer(self, plan: LayerPlan, body: Body) -> str:
        parts = [self.argument(value, body) for value in plan.args]
        parts += [f"{key}={self.argument(value, body)}" for key, value in plan.kwargs.items()]
        return call_text(f"nn.{plan.layer.name}", parts)

    def argument(self, value: object, body: Body) -> str:
        return self.expression(value, body) if isinstance(value, Plan) else value_text(value)

    def container(self, plan: ContainerPlan, body: Body) -> str:
        base = next(kind for kind in (nn.Sequential, nn.ModuleList, nn.ModuleDict) if issubclass(plan.kind, kind))
        if plan.kind is base:
            return self.contents(f"nn.{base.__name__}", plan.children, body, base)
        slots = self.free(plan)
        key = (plan, None)
        if key not in self.kinds:
            inner = self.function_body(slots)
            call = self.contents("super().__init__", plan.children, inner, base)
            header = f"def __init__(self{_parameters(inner, slots)}) -> None:"
            init = block_text(header, [*inner.lines, call])
            self.kinds[key] = self.define(plan.kind.__name__, f"(nn.{base.__name__}):\n", init)
        return call_text(self.kinds[key], [self.slot(slot, body) for slot in slots])

    def contents(self, head: str, children: Sequence[Child], body: Body, base: type[nn.Module]) -> str:
        """A container's call with its children, equal ones in a row as many times as they are there."""
        numbered = [child.name for child in children] == [str(number) for number in range(len(children))]
        if not numbered or base is nn.ModuleDict:
            pairs = [(child.name, self.expression(child.plan, body)) for child in children]
            if base is nn.ModuleDict:
                entries = call_text("", [f"{key!r}: {text}" for key, text in pairs], CURLY)
                return call_text(head, [entries])
            self.outer.add("OrderedDict")
            entries = call_text("", [call_text("", [repr(key), text]) for key, text in pairs], SQUARE)
            return call_text(head, [call_text("OrderedDict", [entries])])
        texts: list[tuple[str, int]] = []
        for child in children:
            text = self.expression(child.plan, body)
            again = bool(texts) and texts[-1][0] == text and not self.free(child.plan)
            texts[-1:] = [(text, texts[-1][1] + 1)] if again else [*texts[-1:], (text, 1)]
        if base is nn.ModuleList and len(texts) == 1 and texts[0][1] > 1:
            return call_text(head, [f"{texts[0][0]} for _ in range({texts[0][1]})"])
        parts = [text if count == 1 else f"*({text} for _ in range({count}))" for text, count in texts]
        return call_text(head, [call_text("", parts, SQUARE)] if base is nn.ModuleList else parts)

    def slot(self, slot: Slot, body: Body) -> str:
        """The variable that holds a slot's module; where it is first met it is made."""
        if slot in body.waiting:
            body.known[slot] = body.waiting.pop(slot)
            return f"({body.known[slot]} := {self.expression(slot.plan, body)})"
        return body.known[slot]

    def scope(self, plan: ScopePlan, body: Body, *, start: bool) -> str:
        if not plan.given and not plan.shared:
            return self.expression(plan.body, body, start=start)
        if isinstance(plan.body, BlockPlan):
            return self.block(plan.body, plan, body)
        if not start:
            return self.call_of_function(plan, body)
        self.open(plan, body)
        return self.expression(plan.body, body, start=True)

    def open(self, plan: ScopePlan, body: Body) -> None:
        """Makes the modules that come before the body of a scope, and remembers those that come with it."""
        for slot in plan.given:
            self.assign(slot, self.variable(slot, body), body)
        body.waiting |= {slot: self.variable(slot, body) for slot in plan.shared}
        if plan.shared_first:
            for slot in plan.shared:
                self.settle(slot, body)

    def variable(self, slot: Slot, body: Body) -> str:
        """A name for the variable that holds a slot's module: no other variable's there, and no class's."""
        name = fresh_name(slot.name, body.taken | self.outside)
        body.taken.add(name)
        self.variables.add(name)
        return name

    def settle(self, slot: Slot, body: Body) -> None:
        if slot in body.waiting:
            self.assign(slot, body.waiting.pop(slot), body)

    def assign(self, slot: Slot, variable: str, body: Body) -> None:
        body.lines.append(f"{variable} = {self.expression(slot.plan, body, start=True)}")
        body.known[slot] = variable

    def call_of_function(self, plan: ScopePlan, body: Body) -> str:
        """A scope in the midst of an expression: a function of its own, so that all is made in its turn."""
        slots = self.free(plan)
        inner = self.function_body(slots)
        made = self.scope(plan, inner, start=True)
        parameters = _parameters(inner, slots).removeprefix(", ")
        text = block_text("", [*inner.lines, f"return {made}"])
        function = self.define("build_part", f"({parameters}) -> nn.Module:", text, word="def")
        return call_text(function, [self.slot(slot, body) for slot in slots])

    def function_body(self, slots: Sequence[Slot]) -> Body:
        body = Body()
        body.known = {slot: self.variable(slot, body) for slot in slots}
        return body

    # --- classes ---

    def block(self, plan: BlockPlan, scope: ScopePlan | None, body: Body) -> str:
        """A call of a block's class; modules from around go in as arguments."""
        given = () if scope is None else scope.given
        others = tuple(slot for slot in self.free(plan if scope is None else scope) if slot not in given)
        if (plan, scope) not in self.kinds:
            self.kinds[plan, scope] = self.own_class(plan, scope, (*given, *others))
        arguments = [self.expression(slot.plan, body) for slot in given] + [self.slot(slot, body) for slot in others]
        return call_text(self.kinds[plan, scope], arguments)

    def own_class(self, plan: BlockPlan, scope: ScopePlan | None, slots: Sequence[Slot]) -> str:
        body = self.function_body(slots)
        written = vars(plan.kind)[WRITTEN]
        assert isinstance(written, Written)
        methods: list[str] = []
        members: list[str] = []
        if written.forward is not None:
            hidden = frozenset(key for key in written.hyperparameters if is_hidden(key))
            printed = print_forward(written.forward, written.hyperparameters, hidden.__contains__, self.alias)
            self.outer |= printed.outer
            self.helpers |= printed.helpers
            self.makers |= printed.makers
            members = [
                f"self.{key} = {value_text(written.hyperparameters[key])}" for key in sorted(printed.hyperparameters)
            ]
            methods.append(f"@made_here\n{printed.text}" if printed.makers else printed.text)
        if written.spread is not None:
            lines = [f"def {written.spread}(self):", "    return tuple(self._modules.values())"]
            methods.insert(0, "@property\n" + "\n".join(lines))
        if scope is not None:
            self.open(ScopePlan(0, 0, (), scope.shared, scope.shared_first, plan), body)
        body.lines += members
        drawn: set[str] = set()
        for section in plan.sections:
            for part in section:
                self.part(part, plan, drawn, body)
        body.lines += [self.tie(plan, tie) for tie in plan.ties]
        init = block_text(f"def __init__(self{_parameters(body, slots)}) -> None:", ["super().__init__()", *body.lines])
        return self.define(plan.kind.__name__, "(nn.Module):\n", "\n\n".join([init, *methods]))

    def part(self, part: Child | FirstValue | Slot, plan: BlockPlan, drawn: set[str], body: Body) -> None:
        """One entry of a section; `drawn` are the constants that are there already."""
        if isinstance(part, Slot):
            self.settle(part, body)
        elif isinstance(part, Child):
            text = self.expression(part.plan, body, start=True)
            plain = is_plain(part.name)
            body.lines.append(f"self.{part.name} = {text}" if plain else f"self.add_module({part.name!r}, {text})")
        else:
            body.lines.append(self.first_value(part, plan, drawn))

    def first_value(self, value: FirstValue, plan: BlockPlan, drawn: set[str]) -> str:
        text = self.value(value, plan, drawn)
        if not value.trained:
            drawn.add(value.name)
            return f"self.register_buffer({value.name!r}, {text})"
        if is_plain(value.name):
            return f"self.{value.name} = nn.Parameter({text})"
        return f"self.register_parameter({value.name!r}, nn.Parameter({text}))"

    def value(self, value: FirstValue, plan: BlockPlan, constants: set[str]) -> str:
        if isinstance(value.source, TensorLiteral):
            return tensor_text(value.source.tensor)
        pair = Emitter(InitNames(plan, frozenset(constants))).emit(value.source.tree)
        self.outer |= {node.id for node in ast.walk(pair.shown) if isinstance(node, ast.Name) and is_outer(node)}
        text = ast.unparse(pair.shown)
        if pair.kind == "number":
            return f"torch.tensor({text})"
        if _is_fresh(pair.shown):
            return text
        return f"{text}{COPY}" if isinstance(pair.shown, ast.Call) else f"({text}){COPY}"

    def tie(self, plan: BlockPlan, tie: Tie) -> str:
        """`self.decoder.weight = self.encoder.weight`."""
        module = self.made_of[plan.kind]
        places = []
        for text in (tie.left, tie.right):
            *steps, last = split(text)
            names, _ = walk(module, steps)
            plain = all(is_plain(step) for step in names)
            places.append((".".join(["self", *names]) if plain else f"self.get_submodule({'.'.join(names)!r})", last))
        (left, name_left), (right, name_right) = places
        source = f"{right}.{name_right}" if is_plain(name_right) else f"getattr({right}, {name_right!r})"
        if is_plain(name_left):
            return f"{left}.{name_left} = {source}"
        return f"setattr({left}, {name_left!r}, {source})"

    def define(self, wanted: str, header: str, text: str, word: str = "class") -> str:
        """Puts a class or function at the top of the file, and gives its name; equal ones are one."""
        key = f"{word} {wanted}{header}{text}"
        if key not in self.named:
            self.named[key] = fresh_name(wanted, self.outside | self.user_names | self.variables)
            self.outside.add(self.named[key])
            body = text if word == "def" else block_text("", [text]).lstrip("\n")
            self.classes.append(f"{word} {self.named[key]}{header}{body}")
        return self.named[key]

    # --- slots ---

    def free(self, plan: Plan) -> tuple[Slot, ...]:
        """The slots that a plan uses and does not make itself, in the order of their first use."""
        if plan not in self.free_slots:
            self.free_slots[plan] = tuple(dict.fromkeys(self._free(plan)))
        return self.free_slots[plan]

    def _free(self, plan: Plan) -> Iterator[Slot]:
        if isinstance(plan, SlotPlan):
            yield plan.slot
        elif isinstance(plan, LayerPlan):
            for value in (*plan.args, *plan.kwargs.values()):
                if isinstance(value, Plan):
                    yield from self.free(value)
        elif isinstance(plan, ContainerPlan):
            for child in plan.children:
                yield from self.free(child.plan)
        elif isinstance(plan, BlockPlan):
            for section in plan.sections:
                for part in section:
                    if isinstance(part, Child):
                        yield from self.free(part.plan)
        elif isinstance(plan, ScopePlan):
            own = {*plan.given, *plan.shared}
            parts = [*(slot.plan for slot in (*plan.given, *plan.shared)), plan.body]
            yield from (slot for part in parts for slot in self.free(part) if slot not in own)


@dataclass(frozen=True)
class InitNames:
    """Names in the text of a first value: hyperparameters stand as their values, constants as members."""

    plan: BlockPlan
    constants: frozenset[str]

    def read(self, text: str) -> Pair | None:
        if text in self.constants:
            tree = attribute(name("self"), text) if is_plain(text) else None
            return None if tree is None else Pair(tree, tree)
        if text not in self.plan.values:
            return None
        value = self.plan.values[text]
        return Pair(literal(value), literal(value), "number" if is_number(value) else "unknown")

    def call(self, text: str) -> Pair | None:
        return self.read(text)

    def of_self(self, text: str) -> Pair | None:  # noqa: ARG002  # no expression has a self
        return None

    def known(self) -> set[str]:
        return {*self.plan.values, *self.constants}


def _parameters(body: Body, slots: Sequence[Slot]) -> str:
    return "".join(f", {body.known[slot]}: nn.Module" for slot in slots)


def _is_fresh(tree: ast.expr) -> bool:
    """Tells whether an expression surely makes a tensor that shares memory with nothing."""
    if isinstance(tree, ast.BinOp):
        return True
    return isinstance(tree, ast.Call) and ast.unparse(tree.func) in FRESH
