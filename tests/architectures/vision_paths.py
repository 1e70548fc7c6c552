"""Networks that see, with more than one way through: skips, graphs, gates, warps, shared towers."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.architectures.case import Case, uniform

# U-Net: lists of children of one length, a stack of skips, reversed by pop.

UNET: dict[str, Any] = {
    "hyperparameters": {"widths": [4, 8, 16], "c": 1, "classes": 2},
    "blocks": {
        "Double": {
            "hyperparameters": ["c", "k"],
            "type": "Sequential",
            "layers": ["Conv2d(c, k, 3, padding=1)", "ReLU()", "Conv2d(k, k, 3, padding=1)", "ReLU()"],
        }
    },
    "children": {
        "down": {
            "type": "ModuleList",
            "layers": [{"repeat": "len(widths)", "block": "Double(c if i == 0 else widths[i - 1], widths[i])"}],
        },
        "up": {
            "type": "ModuleList",
            "layers": [{"repeat": "len(widths) - 1", "block": "ConvTranspose2d(widths[-1 - i], widths[-2 - i], 2, 2)"}],
        },
        "merge": {
            "type": "ModuleList",
            "layers": [{"repeat": "len(widths) - 1", "block": "Double(2 * widths[-2 - i], widths[-2 - i])"}],
        },
        "head": "Conv2d(widths[0], classes, kernel_size=1)",
    },
    "inputs": ["x"],
    "forward": [
        "skips = []",
        "for i, block in enumerate(down):",
        "    x = block(x)",
        "    if i < len(down) - 1:",
        "        skips.append(x)",
        "        x = F.max_pool2d(x, 2)",
        "for up_conv, block in zip(up, merge):",
        "    x = block(torch.cat([skips.pop(), up_conv(x)], dim=1))",
        "return self.head(x)",
    ],
}


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        widths = [4, 8, 16]

        def double(c: int, k: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(c, k, 3, padding=1), nn.ReLU(), nn.Conv2d(k, k, 3, padding=1), nn.ReLU())

        self.down = nn.ModuleList(double(1 if i == 0 else widths[i - 1], widths[i]) for i in range(3))
        self.up = nn.ModuleList(nn.ConvTranspose2d(widths[-1 - i], widths[-2 - i], 2, 2) for i in range(2))
        self.merge = nn.ModuleList(double(2 * widths[-2 - i], widths[-2 - i]) for i in range(2))
        self.head = nn.Conv2d(widths[0], 2, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for i, block in enumerate(self.down):
            x = block(x)
            if i < len(self.down) - 1:
                skips.append(x)
                x = F.max_pool2d(x, 2)
        for up, block in zip(self.up, self.merge, strict=True):
            x = block(torch.cat([skips.pop(), up(x)], dim=1))
        return self.head(x)


# GoogLeNet as a graph: nodes in no order, list inputs, args and kwargs of nodes, outputs by name.

GOOGLENET: dict[str, Any] = {
    "children": {
        "stem": ["Conv2d(3, 8, 3, padding=1)", "ReLU()"],
        "b1": "Conv2d(8, 4, 1)",
        "b2": ["Conv2d(8, 2, 1)", "ReLU()", "Conv2d(2, 4, 3, padding=1)"],
        "b3": "MaxPool2d(3, stride=1, padding=1)",
        "main": "Linear(16, 5)",
        "aux": "Linear(8, 5)",
    },
    "inputs": ["image"],
    "nodes": [
        {"id": "logits", "call": "main", "inputs": ["pooled"]},
        {"id": "pooled", "call": "mean", "inputs": ["mixed"], "kwargs": {"dim": [2, 3]}},
        {"id": "mixed", "call": "torch.cat", "inputs": [["one", "two", "three"]], "kwargs": {"dim": 1}},
        {"id": "one", "call": "F.relu", "inputs": ["o"]},
        {"id": "o", "call": "b1", "inputs": ["s"]},
        {"id": "two", "call": "b2", "inputs": ["s"]},
        {"id": "three", "call": "b3", "inputs": ["s"]},
        {"id": "s", "call": "stem", "inputs": ["image"]},
        {"id": "side", "call": "adaptive_avg_pool2d", "inputs": ["s"], "args": [1]},
        {"id": "flat", "call": "flatten", "inputs": ["side"], "args": [1]},
        {"id": "helper", "call": "aux", "inputs": ["flat"]},
        {"id": "probabilities", "call": "softmax", "inputs": ["logits"], "kwargs": {"dim": -1}},
    ],
    "outputs": {"logits": "logits", "aux": "helper", "p": "probabilities"},
}


class GoogLeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
        self.b1 = nn.Conv2d(8, 4, 1)
        self.b2 = nn.Sequential(nn.Conv2d(8, 2, 1), nn.ReLU(), nn.Conv2d(2, 4, 3, padding=1))
        self.b3 = nn.MaxPool2d(3, stride=1, padding=1)
        self.main = nn.Linear(16, 5)
        self.aux = nn.Linear(8, 5)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        s = self.stem(image)
        mixed = torch.cat([F.relu(self.b1(s)), self.b2(s), self.b3(s)], dim=1)
        logits = self.main(mixed.mean(dim=(2, 3)))
        helper = self.aux(F.adaptive_avg_pool2d(s, 1).flatten(1))
        return {"logits": logits, "aux": helper, "p": torch.softmax(logits, dim=-1)}


# Squeeze-and-excitation: a gate over channels, wrapped around any block that is given.

SQUEEZE: dict[str, Any] = {
    "blocks": {
        "SE": {
            "hyperparameters": {"c": None, "r": 4},
            "children": {
                "gate": {
                    "type": "Sequential",
                    "layers": {
                        "squeeze": "AdaptiveAvgPool2d(1)",
                        "fc1": "Conv2d(c, max(c // r, 1), 1)",
                        "relu": "ReLU()",
                        "fc2": "Conv2d(max(c // r, 1), c, 1)",
                        "sigmoid": "Sigmoid()",
                    },
                }
            },
            "inputs": ["x"],
            "forward": "return x * gate(x)",
        },
        "Excited": {
            "hyperparameters": ["inner", "c"],
            "children": {"inner": "inner", "se": "SE(c)"},
            "inputs": ["x"],
            "forward": ["y = self.inner(x)", "y = self.se(y)", "y += x", "return y.relu()"],
        },
    },
    "type": "Sequential",
    "layers": [
        "Excited(Conv2d(8, 8, 3, padding=1), 8)",
        {"type": "Excited", "kwargs": {"c": 8, "inner": {"type": "Conv2d", "args": [8, 8, 1]}}},
    ],
}


class Excited(nn.Module):
    class SE(nn.Module):
        def __init__(self, c: int, r: int = 4) -> None:
            super().__init__()
            self.gate = nn.Sequential()
            self.gate.add_module("squeeze", nn.AdaptiveAvgPool2d(1))
            self.gate.add_module("fc1", nn.Conv2d(c, max(c // r, 1), 1))
            self.gate.add_module("relu", nn.ReLU())
            self.gate.add_module("fc2", nn.Conv2d(max(c // r, 1), c, 1))
            self.gate.add_module("sigmoid", nn.Sigmoid())

        def forward(self, x: Tensor) -> Tensor:
            return x * self.gate(x)

    def __init__(self, inner: nn.Module, c: int) -> None:
        super().__init__()
        self.inner = inner
        self.se = Excited.SE(c)

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(x)
        y = self.se(y)
        y += x
        return y.relu()


def squeeze() -> nn.Module:
    return nn.Sequential(Excited(nn.Conv2d(8, 8, 3, padding=1), 8), Excited(nn.Conv2d(8, 8, 1), 8))


# A spatial transformer: parameters given as a tensor's text, a grid, a warp.

SPATIAL: dict[str, Any] = {
    "children": {"localise": ["Conv2d(1, 4, 5)", "MaxPool2d(2, 2)", "ReLU(True)", "Flatten()", "Linear(4 * 4 * 4, 8)"]},
    "parameters": {
        "weight": "zeros(6, 8) + 0.01 * randn(6, 8)",
        "bias": "tensor([1, 0, 0, 0, 1, 0], dtype=torch.float32)",
    },
    "inputs": ["x"],
    "forward": [
        "theta = F.linear(self.localise(x), self.weight, self.bias)",
        "theta = theta.view(-1, 2, 3)",
        "grid = F.affine_grid(theta, x.size(), align_corners=False)",
        "return F.grid_sample(x, grid, mode='bilinear', align_corners=False), theta",
    ],
}


class Spatial(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.localise = nn.Sequential(
            nn.Conv2d(1, 4, 5), nn.MaxPool2d(2, 2), nn.ReLU(True), nn.Flatten(), nn.Linear(4 * 4 * 4, 8)
        )
        self.weight = nn.Parameter(torch.zeros(6, 8) + 0.01 * torch.randn(6, 8))
        self.bias = nn.Parameter(torch.tensor([1, 0, 0, 0, 1, 0], dtype=torch.float32))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        theta = F.linear(self.localise(x), self.weight, self.bias).view(-1, 2, 3)
        grid = F.affine_grid(theta, list(x.size()), align_corners=False)
        return F.grid_sample(x, grid, mode="bilinear", align_corners=False), theta


# MLP-Mixer: patches by reshape and permute, two mixings in a repeated residual block.

MIXER: dict[str, Any] = {
    "hyperparameters": {"size": 8, "patch": 4, "dim": 12, "depth": 2, "classes": 3},
    "blocks": {
        "Mlp": {
            "hyperparameters": {"d": None, "factor": 2.0},
            "type": "Sequential",
            "layers": ["Linear(d, int(d * factor))", "GELU()", "Dropout(0.1)", "Linear(int(d * factor), d)"],
        },
        "MixerLayer": {
            "hyperparameters": ["tokens", "d"],
            "children": {
                "norm1": "LayerNorm(d)",
                "token mixing": "Mlp(tokens)",
                "norm2": "LayerNorm(d)",
                "channel mixing": "Mlp(d, factor=4)",
            },
            "inputs": ["x"],
            "forward": [
                "y = norm1(x).transpose(1, 2)",
                'x = x + self["token mixing"](y).transpose(1, 2)',
                'return x + self["channel mixing"](norm2(x))',
            ],
        },
    },
    "children": {
        "embed": "Linear(3 * patch ** 2, dim)",
        "layers": {
            "type": "Sequential",
            "layers": [{"repeat": "depth", "name": "mixer {i}", "block": "MixerLayer((size // patch) ** 2, dim)"}],
        },
        "norm": "LayerNorm(dim)",
        "head": "Linear(dim, classes)",
    },
    "inputs": ["image"],
    "forward": [
        "n, c, h, w = image.shape",
        "x = image.reshape(n, c, h // patch, patch, w // patch, patch)",
        "x = x.permute(0, 2, 4, 1, 3, 5).flatten(1, 2).flatten(2)",
        "x = layers(embed(x))",
        "return head(norm(x).mean(dim=1))",
    ],
}


class MixerLayer(nn.Module):
    def __init__(self, tokens: int, d: int) -> None:
        super().__init__()

        def mlp(d: int, factor: float = 2.0) -> nn.Sequential:
            hidden = int(d * factor)
            return nn.Sequential(nn.Linear(d, hidden), nn.GELU(), nn.Dropout(0.1), nn.Linear(hidden, d))

        self.add_module("norm1", nn.LayerNorm(d))
        self.add_module("token mixing", mlp(tokens))
        self.add_module("norm2", nn.LayerNorm(d))
        self.add_module("channel mixing", mlp(d, 4))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x).transpose(1, 2)
        x = x + self.get_submodule("token mixing")(y).transpose(1, 2)
        return x + self.get_submodule("channel mixing")(self.norm2(x))


class Mixer(nn.Module):
    def __init__(self, size: int = 8, patch: int = 4, dim: int = 12, depth: int = 2, classes: int = 3) -> None:
        super().__init__()
        self.patch = patch
        self.embed = nn.Linear(3 * patch**2, dim)
        self.layers = nn.Sequential()
        for i in range(depth):
            self.layers.add_module(f"mixer {i}", MixerLayer((size // patch) ** 2, dim))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)

    def forward(self, image: Tensor) -> Tensor:
        n, c, h, w = image.shape
        patch = self.patch
        x = image.reshape(n, c, h // patch, patch, w // patch, patch)
        x = x.permute(0, 2, 4, 1, 3, 5).flatten(1, 2).flatten(2)
        return self.head(self.norm(self.layers(self.embed(x))).mean(dim=1))


# Siamese: one tower called twice; two towers of one text, with two inputs and an option.

SIAMESE: dict[str, Any] = {
    "children": {
        "tower": ["Conv2d(1, 4, 3)", "BatchNorm2d(4)", "ReLU()", "AdaptiveMaxPool2d(2)", "Flatten()", "Linear(16, 8)"],
    },
    "parameters": {"scale": "ones(1)", "shift": "tensor(0.0)"},
    "inputs": ["left", "right"],
    "forward": [
        "a, b = tower(left), tower(right)",
        "distance = (a - b).abs().sum(-1)",
        "return {'similarity': torch.sigmoid(shift - scale * distance), 'a': a, 'b': b}",
    ],
}


class Siamese(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.AdaptiveMaxPool2d(2),
            nn.Flatten(),
            nn.Linear(16, 8),
        )
        self.scale = nn.Parameter(torch.ones(1))
        self.shift = nn.Parameter(torch.tensor(0.0))

    def forward(self, left: Tensor, right: Tensor) -> dict[str, Tensor]:
        a, b = self.tower(left), self.tower(right)
        distance = (a - b).abs().sum(-1)
        return {"similarity": torch.sigmoid(self.shift - self.scale * distance), "a": a, "b": b}


CASES = [
    Case("unet", UNET, UNet, {"x": uniform(1, 1, 16, 16)}),
    Case("googlenet", GOOGLENET, GoogLeNet, {"image": uniform(2, 3, 8, 8)}),
    Case("squeeze", SQUEEZE, squeeze, {"input": uniform(2, 8, 5, 5)}),
    Case("spatial", SPATIAL, Spatial, {"x": uniform(2, 1, 12, 12)}),
    Case("mixer", MIXER, Mixer, {"image": uniform(2, 3, 8, 8)}),
    Case("siamese", SIAMESE, Siamese, {"left": uniform(2, 1, 9, 9), "right": uniform(2, 1, 9, 9)}),
]
