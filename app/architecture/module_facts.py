"""What a diagram asks of a network's modules: which are shared, which parameters are tied, which modules are alike.

Looked up once a network, however often it is drawn. Called by `diagram.py`.
"""

from dataclasses import dataclass, field

from torch import nn

from app.architecture.own import OwnBlock, written_of


def opens(module: nn.Module) -> bool:
    """Tells whether something is drawn inside a module; a layer of PyTorch is drawn by its name alone."""
    if isinstance(module, OwnBlock):
        return written_of(module).forward is not None or bool(module._modules)  # noqa: SLF001 - as PyTorch keeps them
    return isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict) and len(module) > 0


@dataclass
class Facts:
    """The modules of one network. `places`: in how many each stands; `tied`: words on parameters that are another's."""

    places: dict[int, int]
    tied: dict[int, list[str]]
    alike: dict[object, int] = field(default_factory=dict)
    likeness: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, net: nn.Module) -> "Facts":
        return cls(_places(net), _tied(net))

    def is_shared(self, module: nn.Module) -> bool:
        return self.places.get(id(module), 0) > 1

    def like(self, module: nn.Module) -> int:
        """A number that modules have in common if they differ in the numbers of their tensors alone."""
        if id(module) not in self.likeness:
            own = [*module._parameters.items(), *module._buffers.items()]  # noqa: SLF001 - as PyTorch keeps them
            tensors = tuple((name, None if value is None else tuple(value.shape)) for name, value in own)
            children = tuple(
                (name, None if child is None else self.like(child))
                for name, child in module._modules.items()  # noqa: SLF001 - as above
            )
            key = (type(module), module.extra_repr(), tensors, children)
            self.likeness[id(module)] = self.alike.setdefault(key, len(self.alike))
        return self.likeness[id(module)]


def _places(net: nn.Module) -> dict[int, int]:
    counts: dict[int, int] = {}
    for module in net.modules():
        for child in module._modules.values():  # noqa: SLF001 - children() drops repeats
            if child is not None:
                counts[id(child)] = counts.get(id(child), 0) + 1
    return counts


def _tied(net: nn.Module) -> dict[int, list[str]]:
    first: dict[int, str] = {}
    words: dict[int, list[str]] = {}
    for path, module in net.named_modules():
        for name, value in module._parameters.items():  # noqa: SLF001 - named_parameters drops repeats
            if value is None:
                continue
            if id(value) in first:
                words.setdefault(id(module), []).append(f"{name} is {first[id(value)]}")
            first.setdefault(id(value), f"{path}.{name}" if path else name)
    return words
