"""Networks that see, made of small blocks: branches side by side, convolutions apart in depth and in place."""

from typing import Any

import torch
from torch import Tensor, nn

from tests.architectures.case import Case, uniform

# Inception as a block over any number of branches, handed over by position.

INCEPTION: dict[str, Any] = {
    "blocks": {
        "Concat": {
            "hyperparameters": {"*branches": [], "dim": 1},
            "children": "branches",
            "inputs": ["x"],
            "forward": [
                "outputs = []",
                "for branch in self.children():",
                "    outputs.append(branch(x))",
                "return cat(outputs, dim)",
            ],
        },
        "Conv": {
            "hyperparameters": {"c": None, "k": None, "size": 1, "pad": 0},
            "type": "Sequential",
            "layers": ["Conv2d(c, k, size, padding=pad)", "ReLU()"],
        },
    },
    "type": "Sequential",
    "layers": [
        {
            "type": "Concat",
            "args": [
                "Conv(3, 4)",
                "Sequential(Conv(3, 2), Conv(2, 4, 3, 1))",
                {"type": "Sequential", "layers": ["Conv(3, 2)", "Conv(2, 4, size=5, pad=2)"]},
                "Sequential(MaxPool2d(3, stride=1, padding=1), Conv(3, 4))",
            ],
        },
        "Concat(AdaptiveAvgPool2d(1), AdaptiveMaxPool2d(1))",
        "Flatten()",
    ],
}


class Concat(nn.Module):
    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        for index, branch in enumerate(branches):
            self.add_module(str(index), branch)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.children()], 1)


def inception() -> nn.Module:
    def conv(c: int, k: int, size: int = 1, pad: int = 0) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(c, k, size, padding=pad), nn.ReLU())

    return nn.Sequential(
        Concat(
            conv(3, 4),
            nn.Sequential(conv(3, 2), conv(2, 4, 3, 1)),
            nn.Sequential(conv(3, 2), conv(2, 4, size=5, pad=2)),
            nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), conv(3, 4)),
        ),
        Concat(nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(1)),
        nn.Flatten(),
    )


# MobileNet: depthwise convolutions with groups, a table of stages walked by index.

MOBILENET: dict[str, Any] = {
    "hyperparameters": {"c": [8, 16, 16, 32], "s": [1, 2, 1]},
    "blocks": {
        "Separable": {
            "hyperparameters": ["c", "k", "s"],
            "type": "Sequential",
            "layers": {
                "depthwise": "Conv2d(c, c, 3, s, 1, groups=c, bias=False)",
                "bn1": "BatchNorm2d(c)",
                "act1": "ReLU6(inplace=True)",
                "pointwise": "Conv2d(c, k, 1, bias=False)",
                "bn2": "BatchNorm2d(k)",
                "act2": "Hardswish()",
            },
        }
    },
    "type": "Sequential",
    "layers": [
        "Conv2d(3, c[0], 3, 2, 1, bias=False)",
        "BatchNorm2d(c[0])",
        "ReLU6()",
        {"repeat": "len(s)", "block": "Separable(c[i], c[i + 1], s[i])"},
        "AdaptiveAvgPool2d(1)",
        "Flatten()",
        "Linear(c[-1], 7)",
    ],
}


def mobilenet() -> nn.Module:
    def separable(c: int, k: int, s: int) -> nn.Sequential:
        net = nn.Sequential()
        net.add_module("depthwise", nn.Conv2d(c, c, 3, s, 1, groups=c, bias=False))
        net.add_module("bn1", nn.BatchNorm2d(c))
        net.add_module("act1", nn.ReLU6(inplace=True))
        net.add_module("pointwise", nn.Conv2d(c, k, 1, bias=False))
        net.add_module("bn2", nn.BatchNorm2d(k))
        net.add_module("act2", nn.Hardswish())
        return net

    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        separable(8, 16, 1),
        separable(16, 16, 2),
        separable(16, 32, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 7),
    )


CASES = [
    Case("inception", INCEPTION, inception, {"input": uniform(2, 3, 8, 8)}),
    Case("mobilenet", MOBILENET, mobilenet, {"input": uniform(2, 3, 16, 16)}),
]
