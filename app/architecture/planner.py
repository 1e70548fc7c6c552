"""From specs to a plan: names looked up, texts evaluated, repeats expanded, every size known and within limits.

Works on equal parts once: a repeat whose block does not mention `i` is planned once, and so is a named block used
again with the same arguments; sizes are summed before anything is made, so nothing that is too large is expanded.
Called by `resolve.py` and `build.py`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import nn

from app.architecture.binding import bind_hyperparameters, frozen
from app.architecture.constructors import BadArguments, in_words, suggest
from app.architecture.containers import plan_container
from app.architecture.layers import CONTAINERS, LAYERS
from app.architecture.plan import Child, ContainerPlan, Plan, ScopePlan, Slot, SlotPlan
from app.architecture.plan_layers import LayerPlanner
from app.architecture.plan_own import plan_own
from app.architecture.scopes import Definition, Library, Scope, define, find_block
from app.architecture.shapes import refuse
from app.architecture.spec import (
    Block,
    Container,
    Header,
    Hyperparameter,
    Items,
    Literal,
    Own,
    Reference,
    Scoped,
    Text,
    Use,
    Value,
    Word,
)
from app.errors import LabError, in_place
from app.language.compile import evaluate
from app.language.errors import LanguageError
from app.language.running import running
from app.language.syntax import Expression
from app.settings import Limits

ARGUMENT_BYTES = 16 * 2**20  # of a tensor among the arguments of a layer
BODY = frozenset({"layers", "children", "parameters", "constants", "args", "kwargs", "block", "nodes", "ref"})


def plan_network(block: Block, library: Library, limits: Limits) -> Plan:
    """Plans a whole network. Raises Unprocessable. Draws no random numbers."""
    before = torch.get_rng_state()
    small = limits.model_copy(update={"tensor_bytes": min(limits.tensor_bytes, ARGUMENT_BYTES)})
    try:
        with running(device="cpu", dtype=torch.float32, limits=small):
            plan = Planner(library, limits).block(block, Scope())
        if not torch.equal(before, torch.get_rng_state()):
            message = "arguments hold no random numbers; draw them in parameters or constants"
            raise in_place(block.pointer, message, code="bad-expression")
        return plan
    finally:
        torch.set_rng_state(before)


class Planner:
    """Plans one network."""

    def __init__(self, library: Library, limits: Limits) -> None:
        self.library = library
        self.limits = limits
        self.layers = LayerPlanner(limits)
        self.work = 0
        self.depth = 0
        self.sharing: set[Block] = set()
        self.uses: dict[object, Plan] = {}
        self.calls_of: dict[int, tuple[object, Mapping[str, Callable[..., Plan]]]] = {}

    # --- blocks ---

    def block(self, block: Block, scope: Scope, name: str | None = None) -> Plan:
        """Plans one block in `scope`; `name` is its own where it has one."""
        self.step(block.pointer)
        if isinstance(block, Text):
            return self.as_plan(self.evaluate(block.expression, scope, block.pointer), block.pointer)
        if block.header.empty:
            return self.form(block, scope, name)
        given: dict[str, object] = {}
        inner = Scope(scope.values, scope.blocks, scope.shared)
        for hyperparameter in block.header.hyperparameters:
            given[hyperparameter.name] = self.default(hyperparameter, inner)
            inner = Scope({**inner.values, hyperparameter.name: given[hyperparameter.name]}, scope.blocks, scope.shared)
        return self.enter(block, scope, given, name)

    def default(self, hyperparameter: Hyperparameter, scope: Scope) -> object:
        if hyperparameter.default is not None:
            return self.value(hyperparameter.default, scope)
        if hyperparameter.rest:
            return ()
        message = f"hyperparameter {hyperparameter.name!r} must be given: nothing here gives it, so write a value"
        raise in_place(hyperparameter.pointer, message, code="missing-hyperparameter")

    def enter(self, block: Block, scope: Scope, given: Mapping[str, object], name: str | None) -> Plan:
        """Plans `block` with the names of its header, its hyperparameters having the values `given`."""
        assert not isinstance(block, Text)
        slots: list[Slot] = []
        values = {key: _in_slots(value, key, slots) for key, value in given.items()}
        inner = Scope({**scope.values, **values}, scope.blocks, dict(scope.shared))
        if block.header.blocks:
            define(block.header.blocks, inner)
        shared = self.shared(block.header, inner)
        body = self.form(block, inner, name)
        if not slots and not shared:
            return body
        parts = [slot.plan for slot in (*slots, *shared)]
        first = _comes_first(block.header.sections)
        size = max(body.size, sum(part.size for part in parts))  # a slot in use is counted where it is used
        memory = body.bytes + sum(part.bytes for part in parts)
        self.check_size(size, block.pointer)
        self.check_bytes(memory, block.pointer)
        return ScopePlan(size, memory, tuple(slots), tuple(shared), first, body)

    def shared(self, header: Header, scope: Scope) -> list[Slot]:
        """Plans the entries of `shared`, in the order in which they need one another."""
        made: list[Slot] = []
        waiting = dict(header.shared)
        scope.shared = {**scope.shared, **dict.fromkeys(waiting)}
        shared = dict(scope.shared)
        scope.shared = shared
        for name, block in waiting.items():
            self.share(name, block, waiting, scope, shared)
            slot = shared[name]
            assert slot is not None
            made.append(slot)
        return made

    def share(
        self, name: str, block: Block, waiting: Mapping[str, Block], scope: Scope, shared: dict[str, Slot | None]
    ) -> None:
        if shared[name] is not None:
            return
        if block in self.sharing:
            message = f"the shared module {name!r} would hold itself"
            raise in_place(block.pointer, message, code="cycle")
        self.sharing.add(block)
        for other in sorted(_references(block) & waiting.keys()):
            if shared[other] is None:
                self.share(other, waiting[other], waiting, scope, shared)
        shared[name] = Slot(name, self.block(block, scope))

    def form(self, block: Block, scope: Scope, name: str | None) -> Plan:
        if isinstance(block, Use):
            return self.use(block, scope)
        if isinstance(block, Container | Own):
            self.depth += 1
            try:
                self.check_depth(block.pointer)
                if isinstance(block, Container):
                    return plan_container(self, block, scope, name)
                return plan_own(self, block, scope, name or "Block")
            finally:
                self.depth -= 1
        if isinstance(block, Scoped):
            return self.block(block.block, scope, name)
        assert isinstance(block, Reference)
        slot = scope.shared.get(block.name)
        if slot is None:
            message = f'nothing in "shared" is named {block.name!r}{suggest(block.name, scope.shared)}'
            raise in_place(block.pointer + "/ref", message, code="unknown-name")
        return SlotPlan(slot.plan.size, 0, slot)

    def as_plan(self, value: object, pointer: str) -> Plan:
        """Reads what a text gave where a block is wanted: a block, or blocks in a row (a Sequential)."""
        if isinstance(value, Plan):
            return value
        if isinstance(value, tuple) and value and all(isinstance(item, Plan) for item in value):
            return self.sequence(nn.Sequential, value, pointer)
        message = f"here a block is needed, and this text gives {in_words(value)}"
        raise in_place(pointer, message, code="bad-arguments")

    def sequence(self, kind: type[nn.Module], plans: Sequence[Plan], pointer: str) -> ContainerPlan:
        children = tuple(Child(str(index), plan, pointer) for index, plan in enumerate(plans))
        return ContainerPlan(*self.total(plans, pointer), kind, children)

    # --- layers and named blocks ---

    def use(self, block: Use, scope: Scope) -> Plan:
        args = tuple(self.value(value, scope) for value in block.args)
        kwargs = {name: self.value(value, scope) for name, value in block.kwargs.items()}
        try:
            return self.call(block.type, scope, args, kwargs)
        except BadArguments as error:
            raise in_place(_argument_pointer(block, error.key), error.message, code=error.code) from None

    def call(self, name: str, scope: Scope, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Plan:
        """Plans a use of a layer or a named block. Raises BadArguments."""
        layer = LAYERS.get(name)
        if layer is None:
            definition = find_block(name, scope, self.library)
            if definition is None:
                raise BadArguments(
                    f"no layer or block is named {name!r}{suggest(name, [*LAYERS, *scope.blocks])}",
                    "type",
                    "unknown-layer",
                )
            return self.named(definition, args, kwargs)
        if layer.reason is not None:
            raise BadArguments(f"{name} cannot be used: {layer.reason}", "type", "unknown-layer")
        if name in CONTAINERS:
            return self.sequence(CONTAINERS[name], self.layers.blocks_of(layer, args, kwargs), "")
        return self.layers.plan(layer, args, kwargs)

    def named(self, definition: Definition, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Plan:
        block = definition.block
        hyperparameters = () if isinstance(block, Text) else block.header.hyperparameters
        blocks, shared = definition.scope.blocks, definition.scope.shared
        given = bind_hyperparameters(
            definition.name,
            hyperparameters,
            args,
            kwargs,
            lambda one, known: self.default(one, Scope(known, blocks, shared)),
        )
        key = (definition, frozen(given))
        if key not in self.uses:
            self.uses[key] = self.define(definition, given)
        return self.uses[key]

    def define(self, definition: Definition, given: Mapping[str, object]) -> Plan:
        scope = Scope({}, definition.scope.blocks, definition.scope.shared)
        try:
            if isinstance(definition.block, Text):
                plan = self.block(definition.block, scope, definition.name)
            else:
                plan = self.enter(definition.block, scope, given, definition.name)
            return ScopePlan(plan.size, plan.bytes, (), (), shared_first=True, body=plan, named=True)
        except LabError as error:
            where = "" if error.detail.startswith("in block ") else f"in block {definition.name}: "
            raise BadArguments(where + error.detail, None, error.code) from None

    # --- texts ---

    def evaluate(self, expression: Expression, scope: Scope, pointer: str) -> object:
        """Gives the value of a text in `scope`: a number, a text, a plan, ... Each text is evaluated once a scope."""
        if expression.text in scope.results:
            return scope.results[expression.text]
        try:
            value = _as_tuple(evaluate(expression, scope.values, calls=self.calls(scope), limits=self.limits))
        except BadArguments as error:
            raise in_place(pointer, error.message, code=error.code) from None
        except LanguageError as error:
            raise refuse(error, pointer) from None
        except LabError as error:
            if error.places and error.places[0].pointer:
                raise
            raise in_place(pointer, error.detail, code=error.code) from None
        scope.results[expression.text] = value
        return value

    def calls(self, scope: Scope) -> Mapping[str, Callable[..., Plan]]:
        """Gives what may be called in `scope` besides functions."""
        key = id(scope.blocks)
        if key not in self.calls_of:
            self.calls_of[key] = (scope.blocks, Calls(self, scope))
        return self.calls_of[key][1]

    def value(self, value: Value, scope: Scope) -> object:
        """Gives the value of an argument."""
        if isinstance(value, Literal):
            return value.value
        if isinstance(value, Items):
            return tuple(self.value(item, scope) for item in value.items)
        if not isinstance(value, Word):
            return self.block(value, scope)
        expression = value.expression
        if expression is None or not expression.names <= scope.values.keys():
            return value.text
        return self.evaluate(expression, scope, value.pointer)

    # --- limits ---

    def step(self, pointer: str) -> None:
        self.work += 1
        if self.work > 2 * (self.limits.layers + self.limits.expansion):
            raise in_place(pointer, "the architecture takes too many steps to expand", code="limit-exceeded")

    def check_depth(self, pointer: str) -> None:
        if self.depth > self.limits.nesting:
            message = f"blocks stand at most {self.limits.nesting} deep in one another"
            raise in_place(pointer, message, code="limit-exceeded")

    def check_size(self, size: int, pointer: str) -> None:
        if size > self.limits.layers:
            message = f"the network would have more than {self.limits.layers} modules"
            raise in_place(pointer, message, code="limit-exceeded")

    def total(self, parts: Sequence[Plan], pointer: str) -> tuple[int, int]:
        """Gives the size and bytes of a container of `parts`, within the limits."""
        size = sum(part.size for part in parts) + 1
        memory = sum(part.bytes for part in parts)
        self.check_size(size, pointer)
        self.check_bytes(memory, pointer)
        return size, memory

    def check_bytes(self, memory: int, pointer: str) -> None:
        if memory > self.limits.parameter_bytes:
            message = f"the parameters would take {memory:,} bytes; at most {self.limits.parameter_bytes:,} are allowed"
            raise in_place(pointer, message, code="limit-exceeded")


class Calls(Mapping[str, Callable[..., Plan]]):
    """What texts of one scope may call: layers, and blocks looked up when they are asked for."""

    def __init__(self, planner: Planner, scope: Scope) -> None:
        self.planner = planner
        self.scope = scope
        self.made: dict[str, Callable[..., Plan]] = {}

    def __getitem__(self, name: str) -> Callable[..., Plan]:
        if name not in self.made:
            self.made[name] = partial(self.call, name)
        return self.made[name]

    def call(self, name: str, /, *args: object, **kwargs: object) -> Plan:
        taken = {key: _as_tuple(value) for key, value in kwargs.items()}
        return self.planner.call(name, self.scope, tuple(map(_as_tuple, args)), taken)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (
            name in LAYERS or find_block(name, self.scope, self.planner.library) is not None
        )

    def __iter__(self) -> Iterator[str]:
        return iter([*LAYERS, *self.scope.blocks])

    def __len__(self) -> int:
        return len(LAYERS) + len(self.scope.blocks)


def _as_tuple(value: object) -> object:
    """Gives lists of the language as the tuples that lists of JSON are."""
    return tuple(map(_as_tuple, value)) if isinstance(value, tuple | list) else value


def _in_slots(value: object, name: str, slots: list[Slot]) -> object:
    """Puts each block in `value` into a slot, so that naming it twice gives one module."""
    if isinstance(value, tuple):
        return tuple(_in_slots(item, name, slots) for item in value)
    if isinstance(value, Plan):
        slots.append(Slot(name, value))
        return SlotPlan(value.size, 0, slots[-1])
    return value


def _comes_first(sections: Sequence[str]) -> bool:
    before = sections[: sections.index("shared")] if "shared" in sections else ()
    return not BODY & set(before)


def _references(block: object) -> set[str]:
    """Names of the `ref`s inside a block."""
    found: set[str] = set()
    waiting = [block]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Reference):
            found.add(item.name)
        elif isinstance(item, Mapping):
            waiting += item.values()
        elif isinstance(item, tuple):
            waiting += item
        elif hasattr(item, "__dataclass_fields__") and not isinstance(item, Expression):
            waiting += vars(item).values()
    return found


def _argument_pointer(block: Use, key: int | str | None) -> str:
    if key == "type":
        return block.pointer + "/type"
    if isinstance(key, int) and key < len(block.args):
        return f"{block.pointer}/args/{key}"
    if isinstance(key, str) and key in block.kwargs:
        return block.kwargs[key].pointer
    return block.pointer
