"""Giving parameters first values by rules: of a network that is being built, or as a new revision of one that is there.

The second works on the store alone, one tensor at a time. Numbers are drawn on the CPU, in the order of the rules and
of `net.apply`. Called by the handlers and by the building of networks.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import orjson
import torch
from torch import Tensor, nn

from app.architecture.layout import Layout
from app.architecture.rules import Task, plan_rules, read_rules
from app.architecture.steps import apply_steps
from app.messages import Initialize, Initialized, InitializedParameter
from app.settings import Limits
from app.store.tensors import TensorBytes
from app.tensors.buffers import bytes_of
from app.tensors.torch_dtypes import torch_dtype
from app.worker.context import Worker
from app.worker.parameters import read_part
from app.worker.seeding import seeded


def initialize(worker: Worker, task: Initialize) -> Initialized:
    """Runs rules over a network's parameters and keeps what comes out. Raises: Unprocessable with the place."""
    layout = worker.layouts.find(task.network.network_id)
    plan = plan_rules(read_rules(orjson.loads(task.rules), worker.limits), layout)
    stored = worker.store.manifest(task.network.manifest)

    def start(step: Task) -> Tensor:
        entry = stored[step.name]
        if step.steps[0].fills is not None:
            return torch.empty(entry.shape, dtype=torch_dtype(entry.dtype))
        return read_part(worker, entry, None)

    def contents() -> Iterator[tuple[tuple[str, ...], TensorBytes]]:
        count = len({step.group.names for step in plan})
        for done, (names, tensor) in enumerate(_run(plan, start, worker.limits), 1):
            yield names, TensorBytes(stored[names[0]].dtype, stored[names[0]].shape, bytes_of(tensor))
            worker.turn.report(done / count)

    with seeded(task.seed):
        manifest = worker.store.derive(task.network.manifest, contents())
    items = [InitializedParameter(step.name, list(stored[step.name].shape), step.rule) for step in plan]
    return Initialized(manifest=manifest, items=items)


def initialize_module(net: nn.Module, layout: Layout, rules: object, limits: Limits, pointer: str) -> None:
    """Runs rules over a module on the CPU, in place. Raises: Unprocessable with the place, below `pointer`."""
    tensors = net.state_dict(keep_vars=True)
    plan = plan_rules(read_rules(rules, limits, pointer), layout)
    for _ in _run(plan, lambda step: tensors[step.name].detach(), limits):
        pass


def _run(
    plan: Sequence[Task], start: Callable[[Task], Tensor], limits: Limits
) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    """Runs a plan and yields (all names, tensor) as each tensor is done; only those met again are held."""
    to_come = Counter(step.group.names for step in plan)
    held: dict[tuple[str, ...], Tensor] = {}
    for step in plan:
        names = step.group.names
        tensor = held.pop(names) if names in held else start(step)
        apply_steps(tensor, step.steps, limits)
        to_come[names] -= 1
        if to_come[names]:
            held[names] = tensor
        else:
            yield names, tensor
