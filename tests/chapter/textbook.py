"""The chapter's own classes, written by hand as the chapter writes them, and the JSON that says the same."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(20, 256)
        self.out = nn.Linear(256, 10)

    def forward(self, X: Tensor) -> Tensor:
        return self.out(F.relu(self.hidden(X)))


class MySequential(nn.Module):
    def __init__(self, *args: nn.Module) -> None:
        super().__init__()
        for idx, module in enumerate(args):
            self._modules[str(idx)] = module

    def forward(self, X: Tensor) -> Tensor:
        for block in self._modules.values():
            X = block(X)
        return X


class FixedHiddenMLP(nn.Module):
    """As in the chapter, save that the constant is a buffer, so that `state_dict` has it too."""

    rand_weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rand_weight", torch.rand((20, 20), requires_grad=False))
        self.linear = nn.Linear(20, 20)

    def forward(self, X: Tensor) -> Tensor:
        X = self.linear(X)
        X = F.relu(torch.mm(X, self.rand_weight) + 1)
        X = self.linear(X)
        while X.abs().sum() > 1:
            X /= 2
        return X.sum()


class NestMLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
        self.linear = nn.Linear(32, 16)

    def forward(self, X: Tensor) -> Tensor:
        return self.linear(self.net(X))


class CenteredLayer(nn.Module):
    def forward(self, X: Tensor) -> Tensor:
        return X - X.mean()


class MyLinear(nn.Module):
    def __init__(self, in_units: int, units: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(in_units, units))
        self.bias = nn.Parameter(torch.randn(units))

    def forward(self, X: Tensor) -> Tensor:
        linear = torch.matmul(X, self.weight.data) + self.bias.data
        return F.relu(linear)


def block1() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU())


def block2() -> nn.Sequential:
    net = nn.Sequential()
    for i in range(4):
        net.add_module(f"block {i}", block1())
    return net


def rgnet() -> nn.Sequential:
    return nn.Sequential(block2(), nn.Linear(4, 1))


MLP_JSON: dict[str, Any] = {
    "children": {"hidden": "Linear(20, 256)", "out": "Linear(256, 10)"},
    "inputs": ["X"],
    "forward": "return self.out(F.relu(self.hidden(X)))",
}
MY_SEQUENTIAL_JSON: dict[str, Any] = {
    "hyperparameters": ["*args"],
    "children": "args",
    "inputs": ["X"],
    "forward": ["for block in children():", "    X = block(X)", "return X"],
}
FIXED_HIDDEN_MLP_JSON: dict[str, Any] = {
    "constants": {"rand_weight": "torch.rand((20, 20), requires_grad=False)"},
    "children": {"linear": "nn.Linear(20, 20)"},
    "inputs": ["X"],
    "forward": [  # pasted from the chapter, comments and indentation included
        "        X = self.linear(X)",
        "        # 使用创建的常量参数以及relu和mm函数(乘法)",
        "        X = F.relu(torch.mm(X, self.rand_weight) + 1)",
        "        # 复用全连接层。这相当于两个全连接层共享参数",
        "        X = self.linear(X)",
        "        # 控制流",
        "        while X.abs().sum() > 1:",
        "            X /= 2",
        "        return X.sum()",
    ],
}
NEST_MLP_JSON: dict[str, Any] = {
    "children": {
        "net": "nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())",
        "linear": "nn.Linear(32, 16)",
    },
    "inputs": ["X"],
    "forward": ["return self.linear(self.net(X))"],
}
CENTERED_LAYER_JSON: dict[str, Any] = {"inputs": ["X"], "forward": ["return X - X.mean()"]}
MY_LINEAR_JSON: dict[str, Any] = {
    "hyperparameters": ["in_units", "units"],
    "parameters": {"weight": "torch.randn(in_units, units)", "bias": "torch.randn(units,)"},
    "inputs": ["X"],
    "forward": [
        "linear = torch.matmul(X, self.weight.data) + self.bias.data",
        "return F.relu(linear)",
    ],
}
RGNET_JSON: list[Any] = [
    {
        "type": "Sequential",
        "layers": [
            {"repeat": 4, "name": "block {i}", "block": ["Linear(4, 8)", "ReLU()", "Linear(8, 4)", "ReLU()"]},
        ],
    },
    "Linear(4, 1)",
]
