"""Networks that see: convolutions, residual and dense blocks."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.architectures.case import Case, uniform

# LeNet: a list of calls, as one would type them.

LENET = [
    "Conv2d(1, 6, kernel_size=5, padding=2)",
    "Sigmoid()",
    "AvgPool2d(kernel_size=2, stride=2)",
    "Conv2d(6, 16, kernel_size=5)",
    "Sigmoid()",
    "AvgPool2d(kernel_size=2, stride=2)",
    "Flatten()",
    "Linear(16 * 5 * 5, 120)",
    "Sigmoid()",
    "Linear(120, 84)",
    "Sigmoid()",
    "Linear(84, 10)",
]


def lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, kernel_size=5, padding=2),
        nn.Sigmoid(),
        nn.AvgPool2d(kernel_size=2, stride=2),
        nn.Conv2d(6, 16, kernel_size=5),
        nn.Sigmoid(),
        nn.AvgPool2d(kernel_size=2, stride=2),
        nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120),
        nn.Sigmoid(),
        nn.Linear(120, 84),
        nn.Sigmoid(),
        nn.Linear(84, 10),
    )


# AlexNet: torchvision's own lines, named parts, objects with args and kwargs, torch.flatten between them.

ALEXNET: dict[str, Any] = {
    "hyperparameters": {"num_classes": 10, "dropout": 0.5, "w": 8},
    "children": {
        "features": [
            "nn.Conv2d(3, w, kernel_size=11, stride=4, padding=2)",
            "nn.ReLU(inplace=True)",
            "nn.MaxPool2d(kernel_size=3, stride=2)",
            {"type": "Conv2d", "args": ["w", "3 * w"], "kwargs": {"kernel_size": 5, "padding": 2}},
            {"type": "ReLU", "kwargs": {"inplace": True}},
            {"type": "nn.MaxPool2d", "args": [3, 2]},
            {"type": "torch.nn.Conv2d", "args": ["3 * w", "4 * w", [3, 3]], "kwargs": {"padding": "same"}},
            "nn.ReLU(inplace=True)",
        ],
        "avgpool": "nn.AdaptiveAvgPool2d((2, 2))",
        "classifier": [
            "nn.Dropout(p=dropout)",
            "nn.Linear(4 * w * 2 * 2, 32)",
            "nn.ReLU(inplace=True)",
            "nn.Dropout(p=dropout)",
            "nn.Linear(32, num_classes)",
        ],
    },
    "inputs": ["x"],
    "forward": """
        x = self.features(x)
        x = self.avgpool(x)
        x = torch.flatten(x, 1)
        x = self.classifier(x)
        return x
    """,
}


class AlexNet(nn.Module):
    def __init__(self, num_classes: int = 10, dropout: float = 0.5, w: int = 8) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, w, kernel_size=11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(w, 3 * w, kernel_size=5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(3 * w, 4 * w, (3, 3), padding="same"),
            nn.ReLU(inplace=True),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((2, 2))
        self.classifier = nn.Sequential(
            nn.Dropout(p=dropout),
            nn.Linear(4 * w * 2 * 2, 32),
            nn.ReLU(inplace=True),
            nn.Dropout(p=dropout),
            nn.Linear(32, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        x = self.avgpool(x)
        x = torch.flatten(x, 1)
        return self.classifier(x)


# VGG: a factory of blocks; the repeat counts with i, and a Sequential of hyperparameters of its own.

VGG: dict[str, Any] = {
    "blocks": {
        "VGGBlock": {
            "hyperparameters": ["num_convs", "c_in", "c_out"],
            "type": "Sequential",
            "layers": [
                {
                    "repeat": "num_convs",
                    "name": "conv{i}",
                    "block": ["Conv2d(c_in if i == 0 else c_out, c_out, 3, padding=1)", "ReLU()"],
                },
                "MaxPool2d(2, stride=2)",
            ],
        }
    },
    "type": "Sequential",
    "layers": [
        "VGGBlock(1, 1, 4)",
        {"type": "VGGBlock", "args": [2, 4], "kwargs": {"c_out": 8}},
        "Flatten()",
        "Linear(8 * 4 * 4, 16)",
        "ReLU()",
        "Dropout(0.5)",
        "Linear(16, 10)",
    ],
}


def vgg_block(num_convs: int, c_in: int, c_out: int) -> nn.Sequential:
    block = nn.Sequential()
    for i in range(num_convs):
        block.add_module(
            f"conv{i}", nn.Sequential(nn.Conv2d(c_in if i == 0 else c_out, c_out, 3, padding=1), nn.ReLU())
        )
    block.add_module(str(num_convs), nn.MaxPool2d(2, stride=2))
    return block


def vgg() -> nn.Module:
    return nn.Sequential(
        vgg_block(1, 1, 4),
        vgg_block(2, 4, 8),
        nn.Flatten(),
        nn.Linear(8 * 4 * 4, 16),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(16, 10),
    )


# ResNet: a wrapper that is handed its block and a shortcut, an expression that chooses a layer, stages by repeat.

RESNET: dict[str, Any] = {
    "blocks": {
        "Residual": {
            "hyperparameters": ["fn", "shortcut"],
            "children": {"fn": "fn", "shortcut": "shortcut"},
            "inputs": ["x"],
            "forward": ["return F.relu(fn(x) + shortcut(x))"],
        },
        "ConvBN": {
            "hyperparameters": {"c": None, "k": None, "size": 3, "s": 1},
            "type": "Sequential",
            "layers": [
                "Conv2d(c, k, size, stride=s, padding=size // 2, bias=False)",
                "BatchNorm2d(k)",
            ],
        },
        "BasicBlock": {
            "hyperparameters": {"c": None, "k": None, "s": 1},
            "type": "Residual",
            "args": [
                "Sequential(ConvBN(c, k, s=s), ReLU(inplace=True), ConvBN(k, k))",
                "ConvBN(c, k, 1, s) if s != 1 or c != k else Identity()",
            ],
        },
        "Stage": {
            "hyperparameters": ["c", "k", "s", "n"],
            "type": "Sequential",
            "layers": [{"repeat": "n", "block": "BasicBlock(c if i == 0 else k, k, s if i == 0 else 1)"}],
        },
    },
    "hyperparameters": {"widths": [4, 4, 8, 16], "depth": 2, "num_classes": 10},
    "type": "Sequential",
    "layers": {
        "stem": "Sequential(ConvBN(3, widths[0]), ReLU())",
        "stages": {
            "type": "Sequential",
            "layers": [
                {
                    "repeat": "len(widths) - 1",
                    "name": "layer{i + 1}",
                    "block": "Stage(widths[i], widths[i + 1], 1 if i == 0 else 2, depth)",
                }
            ],
        },
        "pool": "AdaptiveAvgPool2d(1)",
        "flat": "Flatten()",
        "fc": "Linear(widths[-1], num_classes)",
    },
}


def conv_bn(c: int, k: int, size: int = 3, s: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(c, k, size, stride=s, padding=size // 2, bias=False), nn.BatchNorm2d(k))


class BasicBlock(nn.Module):
    def __init__(self, c: int, k: int, s: int = 1) -> None:
        super().__init__()
        self.fn = nn.Sequential(conv_bn(c, k, s=s), nn.ReLU(inplace=True), conv_bn(k, k))
        self.shortcut = conv_bn(c, k, 1, s) if s != 1 or c != k else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.fn(x) + self.shortcut(x))


def resnet() -> nn.Module:
    widths = [4, 4, 8, 16]
    stages = nn.Sequential()
    net = nn.Sequential()
    net.add_module("stem", nn.Sequential(conv_bn(3, widths[0]), nn.ReLU()))
    for i in range(3):
        c, k, s = widths[i], widths[i + 1], 1 if i == 0 else 2
        stages.add_module(f"layer{i + 1}", nn.Sequential(BasicBlock(c, k, s), BasicBlock(k, k)))
    net.add_module("stages", stages)
    net.add_module("pool", nn.AdaptiveAvgPool2d(1))
    net.add_module("flat", nn.Flatten())
    net.add_module("fc", nn.Linear(widths[-1], 10))
    return net


# DenseNet: channels grow with i, and forward keeps a list of all maps so far.

DENSENET: dict[str, Any] = {
    "blocks": {
        "DenseBlock": {
            "hyperparameters": ["n", "c", "growth"],
            "children": {
                "convs": {
                    "type": "ModuleList",
                    "layers": [
                        {
                            "repeat": "n",
                            "block": [
                                "BatchNorm2d(c + i * growth)",
                                "ReLU()",
                                "Conv2d(c + i * growth, growth, kernel_size=3, padding=1)",
                            ],
                        }
                    ],
                }
            },
            "inputs": ["x"],
            "forward": [
                "maps = [x]",
                "for conv in convs:",
                "    maps.append(conv(torch.cat(maps, dim=1)))",
                "return torch.cat(maps, 1)",
            ],
        }
    },
    "type": "Sequential",
    "layers": [
        "Conv2d(1, 6, 3, padding=1)",
        "DenseBlock(n=3, c=6, growth=4)",
        {"type": "Sequential", "layers": ["BatchNorm2d(18)", "ReLU()", "Conv2d(18, 9, 1)", "AvgPool2d(2)"]},
        "DenseBlock(2, 9, 4)",
        "AdaptiveAvgPool2d((1, 1))",
        "Flatten(start_dim=1)",
        "Linear(17, 5)",
    ],
}


class DenseBlock(nn.Module):
    def __init__(self, n: int, c: int, growth: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(c + i * growth), nn.ReLU(), nn.Conv2d(c + i * growth, growth, kernel_size=3, padding=1)
            )
            for i in range(n)
        )

    def forward(self, x: Tensor) -> Tensor:
        maps = [x]
        for conv in self.convs:
            maps.append(conv(torch.cat(maps, dim=1)))
        return torch.cat(maps, 1)


def densenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        DenseBlock(n=3, c=6, growth=4),
        nn.Sequential(nn.BatchNorm2d(18), nn.ReLU(), nn.Conv2d(18, 9, 1), nn.AvgPool2d(2)),
        DenseBlock(2, 9, 4),
        nn.AdaptiveAvgPool2d((1, 1)),
        nn.Flatten(start_dim=1),
        nn.Linear(17, 5),
    )


CASES = [
    Case("lenet", LENET, lenet, {"input": uniform(2, 1, 28, 28)}),
    Case("alexnet", ALEXNET, AlexNet, {"x": uniform(2, 3, 63, 63)}),
    Case("vgg", VGG, vgg, {"input": uniform(2, 1, 16, 16)}),
    Case("resnet", RESNET, resnet, {"input": uniform(2, 3, 16, 16)}),
    Case("densenet", DENSENET, densenet, {"input": uniform(2, 1, 8, 8)}),
]
