"""The networks that are measured, in plain PyTorch and as JSON."""

import torch
from torch import Tensor, nn
from torch.nn import functional


def chapter_mlp() -> nn.Module:
    """The first network of the textbook's chapter: inputs (n, 20), outputs (n, 10)."""
    return nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10))


CHAPTER_MLP = ["Linear(20, 256)", "ReLU()", "Linear(256, 10)"]


class MLP(nn.Module):
    """The chapter's MLP with a written forward."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(20, 256)
        self.out = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(functional.relu(self.hidden(x)))


class Residual(nn.Module):
    """Two layers, a sum and a norm, of width 256."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(256, 256)
        self.second = nn.Linear(256, 256)
        self.norm = nn.LayerNorm(256)

    def forward(self, x: Tensor) -> Tensor:
        h = functional.gelu(self.first(x))
        return self.norm(x + 0.5 * self.second(h))


class Tower(nn.Module):
    """Six layers walked by a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(256, 256) for _ in range(6)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + torch.tanh(layer(x))
        return x


# name -> (architecture, the same class by hand, shape of its input)
TWINS: dict[str, tuple[dict[str, object], type[nn.Module], tuple[int, ...]]] = {
    "the chapter's MLP": (
        {
            "children": {"hidden": "Linear(20, 256)", "out": "Linear(256, 10)"},
            "inputs": ["x"],
            "forward": "return out(relu(hidden(x)))",
        },
        MLP,
        (2, 20),
    ),
    "residual block, d = 256": (
        {
            "children": {"first": "Linear(256, 256)", "second": "Linear(256, 256)", "norm": "LayerNorm(256)"},
            "inputs": ["x"],
            "forward": ["h = gelu(first(x))", "return norm(x + 0.5 * second(h))"],
        },
        Residual,
        (32, 256),
    ),
    "loop over 6 layers, d = 256": (
        {
            "children": {
                "layers": {"type": "ModuleList", "layers": [{"repeat": 6, "block": "Linear(256, 256)"}]},
            },
            "inputs": ["x"],
            "forward": ["for layer in layers:", "    x = x + tanh(layer(x))", "return x"],
        },
        Tower,
        (32, 256),
    ),
}
