"""The chapter's networks as clients of the Open Inference Protocol run them: JSON, class, and the input's name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import torch
from torch import Tensor, nn

from tests.architectures.case import uniform
from tests.chapter import textbook
from tests.chapter.nets import TIED_JSON, tied

SEED = 7


@dataclass(frozen=True)
class Net:
    """One network of the chapter. `make` is called after `torch.manual_seed(SEED)`."""

    name: str
    architecture: Any
    make: Callable[[], nn.Module]
    input: str
    X: Tensor

    def wanted(self) -> Tensor:
        """What PyTorch's own network gives for X."""
        torch.manual_seed(SEED)
        net = self.make().eval()
        with torch.no_grad():
            return net(self.X.clone())


NETS = [
    Net("mlp", textbook.MLP_JSON, textbook.MLP, "X", uniform(2, 20)),
    Net(
        "my_sequential",
        {
            "blocks": {"MySequential": textbook.MY_SEQUENTIAL_JSON},
            "type": "MySequential",
            "args": ["Linear(20, 256)", "ReLU()", "Linear(256, 10)"],
        },
        lambda: textbook.MySequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10)),
        "X",
        uniform(2, 20),
    ),
    Net("fixed_hidden", textbook.FIXED_HIDDEN_MLP_JSON, textbook.FixedHiddenMLP, "X", uniform(2, 20)),
    Net(
        "chimera",
        {
            "blocks": {"NestMLP": textbook.NEST_MLP_JSON, "FixedHiddenMLP": textbook.FIXED_HIDDEN_MLP_JSON},
            "type": "Sequential",
            "layers": ["NestMLP()", "Linear(16, 20)", "FixedHiddenMLP()"],
        },
        lambda: nn.Sequential(textbook.NestMLP(), nn.Linear(16, 20), textbook.FixedHiddenMLP()),
        "input",
        uniform(2, 20),
    ),
    Net("rgnet", textbook.RGNET_JSON, textbook.rgnet, "input", uniform(2, 4)),
    Net("tied", TIED_JSON, tied, "input", uniform(2, 4)),
    Net(
        "centered",
        ["Linear(8, 128)", textbook.CENTERED_LAYER_JSON],
        lambda: nn.Sequential(nn.Linear(8, 128), textbook.CenteredLayer()),
        "input",
        uniform(4, 8),
    ),
    Net(
        "my_linear",
        {
            "blocks": {"MyLinear": textbook.MY_LINEAR_JSON},
            "type": "Sequential",
            "layers": ["MyLinear(64, 8)", "MyLinear(8, 1)"],
        },
        lambda: nn.Sequential(textbook.MyLinear(64, 8), textbook.MyLinear(8, 1)),
        "input",
        uniform(2, 64),
    ),
]


def create_all(service: httpx.Client, prefix: str) -> None:
    """Makes them all; `mlp` is then called `{prefix}_mlp`."""
    for net in NETS:
        body = {"name": f"{prefix}_{net.name}", "architecture": net.architecture, "seed": SEED}
        reply = service.post("/v1/networks", json=body)
        assert reply.status_code == 201, reply.text
