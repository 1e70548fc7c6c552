"""The catalogue of functions, made from PyTorch itself over the allow-list of `names.py`.

`BARE`, `find_dotted` and `METHODS` answer for the three spellings; `catalogue()` describes all of it. A function
that needs guarding (it makes tensors, could change one, or could grow without bound) is bound to a wrapper of
`making.py`, `bounds.py` or `members.py`; the others are PyTorch's own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.language.bounds import BOUNDED, BOUNDED_METHODS
from app.language.making import MAKERS, maker, new_maker, tensor
from app.language.members import NUMBER_FUNCTIONS
from app.language.names import FFT, FUNCTIONAL, LINALG, SPECIAL, TORCH
from app.language.names import METHODS as METHOD_NAMES
from app.language.signatures import Signature, positions_before_refused, read_signature

SPACES: dict[str, Any] = {
    "torch": torch,
    "F": functional,
    "linalg": torch.linalg,
    "fft": torch.fft,
    "special": torch.special,
}
ALIASES: dict[tuple[str, ...], str] = {
    ("torch",): "torch",
    ("F",): "F",
    ("nn", "functional"): "F",
    ("torch", "nn", "functional"): "F",
    **{(space,): space for space in ("linalg", "fft", "special")},
    **{("torch", space): space for space in ("linalg", "fft", "special")},
}


@dataclass(frozen=True)
class Function:
    """One function of the catalogue.

    `key` names what compiled code binds ("F.relu"); `shown` is how it is printed; `run` is what is called; `method`
    wraps the method form where that needs guarding; positions are how many arguments may go by position (None: any).
    """

    key: str
    name: str
    shown: str
    category: str
    run: Callable[..., Any]
    positions: int | None = None
    method: Callable[..., Any] | None = None
    method_positions: int | None = None


def _function(space: str, name: str, category: str) -> Function:
    key = f"{space}.{name}"
    original = getattr(SPACES[space], name)
    run = original
    if key in BOUNDED:
        run = BOUNDED[key]
    elif space == "torch" and name in MAKERS:
        run = maker(original)
    elif key == "torch.tensor" or key == "torch.as_tensor":
        run = tensor
    elif key in ("fft.fftfreq", "fft.rfftfreq"):
        run = maker(original)
    elif space == "torch" and name in NUMBER_FUNCTIONS:
        run = NUMBER_FUNCTIONS[name]
    prefix = {"torch": "torch", "F": "F"}.get(space, f"torch.{space}")
    return Function(key, name, f"{prefix}.{name}", category, run, positions_before_refused(original))


def _build() -> dict[str, Function]:
    table: dict[str, Function] = {}
    for space, groups in (("torch", TORCH), ("F", FUNCTIONAL)):
        for category, names in groups.items():
            for name in names.split():
                if hasattr(SPACES[space], name):
                    table[f"{space}.{name}"] = _function(space, name, category)
    for space, category, names in (
        ("linalg", "linear algebra", LINALG),
        ("fft", "Fourier transforms", FFT),
        ("special", "special functions", SPECIAL),
    ):
        for name in names.split():
            if hasattr(SPACES[space], name):
                table[f"{space}.{name}"] = _function(space, name, category)
    return table


DOTTED: dict[str, Function] = _build()


def _bare() -> dict[str, Function]:
    """Bare names: `torch.nn.functional` before `torch`; numbers have their own."""
    table = {entry.name: entry for key, entry in DOTTED.items() if key.startswith("torch.")}
    table |= {entry.name: entry for key, entry in DOTTED.items() if key.startswith("F.")}
    for name in ("len", "int", "float"):
        table[name] = Function(name, name, name, "numbers", NUMBER_FUNCTIONS[name])
    return table


BARE: dict[str, Function] = _bare()


def _methods() -> dict[str, Function]:
    table: dict[str, Function] = {}
    named = [(name, category) for category, names in TORCH.items() for name in names.split()]
    named += [(name, category) for category, names in FUNCTIONAL.items() for name in names.split()]
    named += [(name, category) for category, names in METHOD_NAMES.items() for name in names.split()]
    for name, category in named:
        original = getattr(Tensor, name, None)
        if original is None or name in table:
            continue
        wrapped = BOUNDED_METHODS.get(name)
        if category == "method: creation":
            wrapped = new_maker(name)
        table[name] = Function(
            f"method.{name}",
            name,
            name,
            category,
            original,
            method=wrapped,
            method_positions=positions_before_refused(original),
        )
    return table


METHODS: dict[str, Function] = _methods()

_HINTS = {
    "cuda": "; where a network runs is set by PUT .../device",
    "cpu": "; where a network runs is set by PUT .../device",
    "numpy": "; return the tensor",
    "tolist": "; return the tensor, or take x.item() of one element",
    "backward": "; gradients come from the backward route",
    "requires_grad": "; cut a gradient with x.detach()",
    "requires_grad_": "; cut a gradient with x.detach()",
    "grad": "; gradients come from the backward route",
    "copy_": "; assign to the name, as in x = y",
    "type": "; write x.to(torch.float64)",
    "apply": "; call the function on the tensor itself",
}
_RESULT_FIELDS = {field for kind in vars(torch.return_types).values() for field in getattr(kind, "__match_args__", ())}
REFUSED_METHODS: dict[str, str] = {
    name: _HINTS.get(name, "")
    for name in {*dir(Tensor), *dir(nn.Module)} - set(METHODS) - _RESULT_FIELDS
    if not name.startswith("__")
}


def find_dotted(parts: tuple[str, ...]) -> Function | None:
    """Finds `("torch", "nn", "functional", "relu")`, or None."""
    space = ALIASES.get(parts[:-1])
    return None if space is None else DOTTED.get(f"{space}.{parts[-1]}")


@dataclass(frozen=True)
class Described:
    """One function as the catalogue shows it. `arguments` is a JSON Schema, None where PyTorch does not say."""

    name: str
    spellings: tuple[str, ...]
    category: str
    signature: str
    arguments: dict[str, Any] | None
    doc: str


_OWN_NAMES = frozenset({"linalg", "fft", "special"})  # linalg.norm is another function than norm


@lru_cache(maxsize=1)
def catalogue() -> list[Described]:
    """Describes every function, by name. A name that stands in several places is described once."""
    entries: dict[str, list[Function]] = {}
    for entry in [*BARE.values(), *DOTTED.values(), *METHODS.values()]:
        space = entry.key.partition(".")[0]
        group = entries.setdefault(f"{space}.{entry.name}" if space in _OWN_NAMES else entry.name, [])
        if entry not in group:
            group.append(entry)
    return [_describe(name, entries[name]) for name in sorted(entries)]


def _describe(name: str, entries: list[Function]) -> Described:
    first = entries[0]
    space = first.key.partition(".")[0]
    spellings = [name] if name in BARE or space in _OWN_NAMES else []
    spellings += [entry.shown for entry in entries if entry.key in DOTTED]
    spellings += [f"x.{name}()"] if name in METHODS else []
    original = getattr(SPACES[space], first.name) if space in SPACES else first.run
    operator = f"{space}_{first.name}" if space in _OWN_NAMES else first.name
    described: Signature = read_signature(original, first.name, operator, method=space == "method")
    return Described(name, tuple(spellings), first.category, described.text, described.schema, described.doc)
