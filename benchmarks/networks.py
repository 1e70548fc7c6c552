"""The networks that are measured, in plain PyTorch and as JSON."""

from torch import nn


def chapter_mlp() -> nn.Module:
    """The first network of the textbook's chapter: inputs (n, 20), outputs (n, 10)."""
    return nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10))


CHAPTER_MLP = ["Linear(20, 256)", "ReLU()", "Linear(256, 10)"]
