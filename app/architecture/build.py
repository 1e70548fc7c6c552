"""Builds networks from resolved architectures: planned and measured first, then made in PyTorch's order.

Called by the worker.
"""

from collections.abc import Mapping

from torch import nn

from app.architecture.make import make
from app.architecture.plan import Plan
from app.architecture.planner import plan_network
from app.architecture.read import read_block
from app.architecture.scopes import Library
from app.architecture.shapes import not_too_deep
from app.settings import Limits


def build(resolved: Mapping[str, object], *, limits: Limits, pointer: str = "/architecture") -> nn.Module:
    """Builds a network on the CPU, its first values (float32) drawn from the default generator in PyTorch's order.

    Seed that generator first: `torch.manual_seed(7)` gives the parameters that the same classes written by hand
    give after it. Raises Unprocessable with the place of what is wrong or too large.
    """
    return _build(resolved, "cpu", limits, pointer)


def build_on_meta(resolved: Mapping[str, object], *, limits: Limits, pointer: str = "/architecture") -> nn.Module:
    """Builds a network on the `meta` device: all of it but the memory. Draws nothing. Raises Unprocessable."""
    return _build(resolved, "meta", limits, pointer)


def plan_and_build(
    resolved: Mapping[str, object], *, limits: Limits, pointer: str = "/architecture"
) -> tuple[Plan, nn.Module]:
    """Gives the plan of a network besides the network itself, built on `meta` from it. Raises Unprocessable."""
    with not_too_deep(pointer):
        plan = _plan(resolved, limits, pointer)
        return plan, make(plan, "meta", limits, pointer)


def _build(resolved: Mapping[str, object], device: str, limits: Limits, pointer: str) -> nn.Module:
    with not_too_deep(pointer):
        return make(_plan(resolved, limits, pointer), device, limits, pointer)


def _plan(resolved: Mapping[str, object], limits: Limits, pointer: str) -> Plan:
    return plan_network(read_block(dict(resolved), limits, pointer), Library(lambda _: None, limits), limits)
