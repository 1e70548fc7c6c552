"""Rules of initialisation: which tensors of a network get which steps, found in its layout.

A rule takes the modules at and below its path (which may hold `*`, `?` and `**`), of its module type, and gives steps
to their parameters by name. Rules run one after the other, each over the modules in the order of `net.apply`, so that
one seed draws what the same code in PyTorch draws. Constants are left alone. Called by the worker.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache

from app.architecture.layout import Layout, Node, TensorGroup
from app.architecture.paths import split
from app.architecture.steps import Step, read_steps
from app.errors import NotFound, in_place, pointer_to
from app.language.errors import suggest
from app.settings import Limits

KEYS = ("path", "module_type", "parameters")
MOST_RULES = 1_000
FORM = 'a rule is an object such as {"module_type": "Linear", "parameters": {"weight": "normal_(std=0.01)"}}'


@dataclass(frozen=True)
class Rule:
    """One checked rule. `parameters` are pairs of a name (or pattern) and its steps, in the order written."""

    path: str | None
    module_type: str | None
    parameters: tuple[tuple[str, tuple[Step, ...]], ...]
    pointer: str


@dataclass(frozen=True)
class Task:
    """Steps for one tensor: `name` is the one the rule met it under, `rule` the rule's number."""

    name: str
    group: TensorGroup
    rule: int
    steps: tuple[Step, ...]


def read_rules(value: object, limits: Limits, pointer: str = "/rules") -> list[Rule]:
    """Reads a list of rules. Raises Unprocessable with the place of what is wrong."""
    if not isinstance(value, list) or not value:
        raise in_place(pointer, f"`rules` is a list of at least one rule; {FORM}", code="bad-request")
    if len(value) > MOST_RULES:
        raise in_place(pointer, f"{len(value)} rules; at most {MOST_RULES} are taken", code="limit-exceeded")
    return [_read_rule(rule, limits, f"{pointer}/{number}") for number, rule in enumerate(value)]


def _read_rule(value: object, limits: Limits, pointer: str) -> Rule:
    if not isinstance(value, Mapping):
        raise in_place(pointer, FORM, code="bad-request")
    for key in value:
        if key not in KEYS:
            message = f"a rule has no {key[:60]!r}{suggest(key, KEYS)}; it has {', '.join(KEYS)}"
            raise in_place(pointer + pointer_to(key), message, code="unknown-key")
    for key in ("path", "module_type"):
        if not isinstance(value.get(key), str | None):
            raise in_place(f"{pointer}/{key}", f"`{key}` is text", code="bad-request")
    parameters = value.get("parameters")
    if not isinstance(parameters, Mapping) or not parameters:
        message = '`parameters` is an object from names to steps, such as {"weight": "zeros_()"}'
        raise in_place(f"{pointer}/parameters", message, code="bad-request")
    steps = tuple(
        (name, read_steps(text, f"{pointer}/parameters{pointer_to(name)}", limits)) for name, text in parameters.items()
    )
    return Rule(value.get("path"), value.get("module_type"), steps, pointer)


def plan_rules(rules: Iterable[Rule], layout: Layout) -> list[Task]:
    """What each rule does to which tensors, in the order it is done. Raises Unprocessable for a rule without effect."""
    return [task for number, rule in enumerate(rules) for task in _plan_rule(number, rule, layout)]


def _plan_rule(number: int, rule: Rule, layout: Layout) -> Iterator[Task]:
    modules = [
        (path, node)
        for path, node in _selected(rule, layout)
        if rule.module_type is None or _matches(_bare(rule.module_type), node.type)
    ]
    if not modules:
        raise in_place(f"{rule.pointer}/module_type", _no_type(rule, layout), code="unknown-name")
    without_effect = {name for name, _ in rule.parameters}
    met: set[tuple[str, ...]] = set()
    for path, _ in modules:
        first_visit = met.copy()
        for wanted, steps in rule.parameters:
            for own in layout.members(path):
                name = f"{path}.{own}" if path else own
                group = layout.group(name)
                if group.kind != "parameter" or not _matches(wanted, own):
                    continue
                without_effect.discard(wanted)
                if group.names not in first_visit:
                    met.add(group.names)
                    yield Task(name, group, number, steps)
    for wanted, _ in rule.parameters:
        if wanted in without_effect:
            pointer = f"{rule.pointer}/parameters{pointer_to(wanted)}"
            raise in_place(pointer, _no_parameter(wanted, modules, layout), code="unknown-name")


def _selected(rule: Rule, layout: Layout) -> Iterator[tuple[str, Node]]:
    """The modules at and below the rule's path, each once, children before parents."""
    if not rule.path:
        yield from layout.post_order("", layout.root)
        return
    if not _has_wildcard(rule.path):
        try:
            path, node = layout.module(rule.path)
        except NotFound as error:
            raise in_place(f"{rule.pointer}/path", error.detail, code="unknown-name") from None
        yield from layout.post_order(path, node)
        return
    roots = set(_glob(layout.root, "", tuple(split(rule.path))))
    if not roots:
        raise in_place(f"{rule.pointer}/path", f"no module is at {rule.path[:200]!r}", code="unknown-name")
    for path, node in layout.post_order("", layout.root):
        parts = path.split(".")
        if any(".".join(parts[:length]) in roots for length in range(1, len(parts) + 1)):
            yield path, node


def _glob(node: Node, path: str, steps: tuple[str, ...]) -> Iterator[str]:
    """Paths of the modules that a pattern names; `**` stands for any number of steps, none too."""
    if not steps:
        if path:
            yield path
        return
    step, *rest = steps
    if step == "**":
        yield from _glob(node, path, tuple(rest))
    for position, (name, child) in enumerate(node.children.items()):
        below = f"{path}.{name}" if path else name
        if step == "**":
            yield from _glob(child, below, steps)
        elif _matches(step, name) or step == f"[{position}]":
            yield from _glob(child, below, tuple(rest))


def _has_wildcard(text: str) -> bool:
    return "*" in text or "?" in text


def _matches(pattern: str, name: str) -> bool:
    return pattern == name or (_has_wildcard(pattern) and _compiled(pattern).match(name) is not None)


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern.replace("[", "[[]")))  # brackets are positions, not sets of letters


def _bare(module_type: str) -> str:
    return module_type.removeprefix("torch.").removeprefix("nn.")


def _no_type(rule: Rule, layout: Layout) -> str:
    assert rule.module_type is not None
    types = sorted({node.type for _, node in _selected(rule, layout)})
    near = suggest(rule.module_type, types)
    where = f" at {rule.path!r}" if rule.path else ""
    return (
        f"there is no module of type {rule.module_type[:100]!r}{where}{near or '; there are ' + ', '.join(types[:20])}"
    )


def _no_parameter(wanted: str, modules: list[tuple[str, Node]], layout: Layout) -> str:
    known: dict[str, str] = {}
    for path, _ in modules:
        for own in layout.members(path):
            known.setdefault(own, layout.group(f"{path}.{own}" if path else own).kind)
    if any(kind == "buffer" and _matches(wanted, own) for own, kind in known.items()):
        return f"{wanted!r} is a constant or another buffer: it is never initialised; PUT or PATCH it"
    names = [own for own, kind in known.items() if kind == "parameter"]
    near = suggest(wanted, names)
    has = f"; they have {', '.join(names[:20])}" if names else "; they have none"
    return f"the modules of this rule have no parameter {wanted[:100]!r}{near or has}"
