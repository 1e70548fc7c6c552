"""Paths into a network: names joined by dots, positions in brackets: `encoder.weight`, `0.block 1`, `[0][1].bias`.

Called by `make.py` (ties), `describe.py` (modules and parameters) and `call.py` (captures).
"""

import re
from collections.abc import Iterable

import torch
from torch import nn

from app.architecture.constructors import suggest
from app.errors import NotFound, in_place

POSITION = re.compile(r"\[(\d{1,9})\]")


class NoSuchStep(Exception):
    """A path leads nowhere. `known` are the names that would have led on."""

    def __init__(self, step: str, at: str, known: Iterable[str]) -> None:
        super().__init__(step)
        self.step = step
        self.at = at
        self.known = list(known)

    @property
    def words(self) -> str:
        where = f"in {self.at!r}" if self.at else "in the network"
        near = suggest(self.step, self.known)
        some = "" if near or not self.known else "; there are " + ", ".join(self.known[:12])
        return f"there is no {self.step!r} {where}{near or some}"


def step(module: nn.Module, name: str, at: str) -> str:
    """Gives the name of the member that `name` (a name, or a position as "[1]") leads to."""
    position = POSITION.fullmatch(name)
    if position is None or name in module._modules:  # noqa: SLF001 - the names as PyTorch keeps them
        return name
    names = list(module._modules)  # noqa: SLF001
    if int(position[1]) >= len(names):
        raise NoSuchStep(name, at, (f"[{index}]" for index in range(min(len(names), 12))))
    return names[int(position[1])]


def split(path: str) -> list[str]:
    """Splits a path into names and positions: `a.b[0].c` is a, b, [0], c."""
    steps: list[str] = []
    for part in path.split("."):
        first = POSITION.search(part)
        while first is not None and POSITION.sub("", part[first.start() :]):
            first = POSITION.search(part, first.end())
        name, positions = (part, "") if first is None else (part[: first.start()], part[first.start() :])
        if name or not positions:
            steps.append(name)
        steps += [match[0] for match in POSITION.finditer(positions)]
    return steps


def walk(net: nn.Module, steps: Iterable[str]) -> tuple[list[str], nn.Module]:
    """Follows `steps` from module to module. Raises NoSuchStep."""
    names: list[str] = []
    for item in steps:
        at = ".".join(names)
        name = step(net, item, at)
        child = net._modules.get(name)  # noqa: SLF001
        if child is None:
            raise NoSuchStep(item, at, [key for key, value in net._modules.items() if value is not None])  # noqa: SLF001
        names.append(name)
        net = child
    return names, net


def member(module: nn.Module, name: str, at: str) -> torch.Tensor | nn.Module:
    """Gives the parameter, buffer or child `name` of `module`. Raises NoSuchStep."""
    name = step(module, name, at)
    for members in (module._parameters, module._buffers, module._modules):  # noqa: SLF001
        found = members.get(name)
        if found is not None:
            return found
    raise NoSuchStep(name, at, [*module._parameters, *module._buffers, *module._modules])  # noqa: SLF001


def lookup(net: nn.Module, path: str, pointer: str) -> torch.Tensor | nn.Module:
    """Finds what a tie names. Raises Unprocessable (unknown-name)."""
    try:
        steps = split(path)
        names, module = walk(net, steps[:-1])
        return member(module, steps[-1], ".".join(names))
    except NoSuchStep as error:
        raise in_place(pointer, f"{path!r}: {error.words}", code="unknown-name") from None


def assign(net: nn.Module, path: str, value: torch.Tensor | nn.Module) -> None:
    """Sets what `path` names, as Python's assignment does."""
    steps = split(path)
    names, module = walk(net, steps[:-1])
    setattr(module, step(module, steps[-1], ".".join(names)), value)


def not_found(kind: str, path: str, error: NoSuchStep) -> NotFound:
    return NotFound(f"no {kind} {path!r}: {error.words}")
