"""Networks that choose or share: experts, gates, early exits, layers used twice, weights made by other weights."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.architectures.case import Case, uniform

# A mixture of experts: a loop over children beside a softmax gate.

EXPERTS: dict[str, Any] = {
    "hyperparameters": {"d": 6, "n": 4, "top": 2},
    "children": {
        "gate": "Linear(d, n)",
        "experts": {
            "type": "ModuleList",
            "layers": [{"repeat": "n", "block": "Sequential(Linear(d, 2 * d), ReLU(), Linear(2 * d, d))"}],
        },
    },
    "inputs": ["x"],
    "forward": [
        "scores = self.gate(x)",
        "kept, chosen = scores.topk(top, dim=-1)",
        "weights = full_like(scores, -inf).scatter(-1, chosen, kept).softmax(-1)",
        "y = zeros_like(x)",
        "for i, expert in enumerate(self.experts):",
        "    y = y + weights[:, i:i + 1] * expert(x)",
        "balance = weights.mean(0).std()",
        "return y, balance, chosen",
    ],
}


class Experts(nn.Module):
    def __init__(self, d: int = 6, n: int = 4) -> None:
        super().__init__()
        self.gate = nn.Linear(d, n)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(d, 2 * d), nn.ReLU(), nn.Linear(2 * d, d)) for _ in range(n)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        scores = self.gate(x)
        kept, chosen = scores.topk(2, dim=-1)
        weights = torch.full_like(scores, -torch.inf).scatter(-1, chosen, kept).softmax(-1)
        y = torch.zeros_like(x)
        for i, expert in enumerate(self.experts):
            y = y + weights[:, i : i + 1] * expert(x)
        return y, weights.mean(0).std(), chosen


# Highway layers: carry or transform; the carry bias is negative from the start.

HIGHWAY: dict[str, Any] = {
    "blocks": {
        "Highway": {
            "hyperparameters": {"d": None, "carry": -2.0},
            "children": {"H": "Linear(d, d)", "T": "Linear(d, d)"},
            "parameters": {"b_T": "full((d,), carry)"},
            "inputs": ["x"],
            "forward": ["t = sigmoid(T(x) + b_T)", "return t * tanh(H(x)) + (1 - t) * x"],
        }
    },
    "type": "Sequential",
    "layers": [{"repeat": 2, "block": "Highway(5)"}, {"repeat": 2, "block": {"type": "Highway", "args": [5, -1.0]}}],
}


class Highway(nn.Module):
    def __init__(self, d: int, carry: float = -2.0) -> None:
        super().__init__()
        self.H = nn.Linear(d, d)
        self.T = nn.Linear(d, d)
        self.b_T = nn.Parameter(torch.full((d,), carry))

    def forward(self, x: Tensor) -> Tensor:
        t = torch.sigmoid(self.T(x) + self.b_T)
        return t * torch.tanh(self.H(x)) + (1 - t) * x


# FiLM: one network makes the scale and shift of another's maps.

FILM: dict[str, Any] = {
    "hyperparameters": {"c": 4, "k": 3, "n": 2},
    "children": {
        "condition": ["Linear(k, 8)", "ReLU()", "Linear(8, 2 * c * n)"],
        "convs": {"type": "ModuleList", "layers": [{"repeat": "n", "block": "Conv2d(c, c, 3, padding=1, bias=False)"}]},
        "norm": "GroupNorm(2, c, affine=False)",
    },
    "inputs": ["image", "code"],
    "forward": [
        "films = self.condition(code).view(-1, n, 2, c, 1, 1)",
        "x = image",
        "for conv, film in zip(convs, films.unbind(1)):",
        "    gamma, beta = film.unbind(1)",
        "    x = F.relu((1 + gamma) * norm(conv(x)) + beta)",
        "return x.mean((-2, -1))",
    ],
}


class Film(nn.Module):
    def __init__(self, c: int = 4, k: int = 3, n: int = 2) -> None:
        super().__init__()
        self.c, self.n = c, n
        self.condition = nn.Sequential(nn.Linear(k, 8), nn.ReLU(), nn.Linear(8, 2 * c * n))
        self.convs = nn.ModuleList(nn.Conv2d(c, c, 3, padding=1, bias=False) for _ in range(n))
        self.norm = nn.GroupNorm(2, c, affine=False)

    def forward(self, image: Tensor, code: Tensor) -> Tensor:
        films = self.condition(code).view(-1, self.n, 2, self.c, 1, 1)
        x = image
        for conv, film in zip(self.convs, films.unbind(1), strict=True):
            gamma, beta = film.unbind(1)
            x = F.relu((1 + gamma) * self.norm(conv(x)) + beta)
        return x.mean((-2, -1))


# A hypernetwork: parameters that make the weights of a layer which has none.

HYPER: dict[str, Any] = {
    "hyperparameters": {"n": 4, "m": 3, "z": 2},
    "parameters": {"code": "randn(z)", "W": "randn(z, n * m) * 0.1", "U": "torch.randn(z, m).mul(0.1)"},
    "inputs": ["x"],
    "forward": [
        "weight = (code @ W).reshape(m, n)",
        "bias = self.code @ self.U",
        "return F.linear(x, weight, bias)",
    ],
}


class Hyper(nn.Module):
    def __init__(self, n: int = 4, m: int = 3, z: int = 2) -> None:
        super().__init__()
        self.n, self.m = n, m
        self.code = nn.Parameter(torch.randn(z))
        self.W = nn.Parameter(torch.randn(z, n * m) * 0.1)
        self.U = nn.Parameter(torch.randn(z, m).mul(0.1))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, (self.code @ self.W).reshape(self.m, self.n), self.code @ self.U)


# Early exit: as many rounds as the halting needs, with break, continue and a conditional expression.

EARLY: dict[str, Any] = {
    "hyperparameters": {"d": 5, "most": 12, "eps": 0.05},
    "children": {"cell": "GRUCell(d, d)", "halt": "Linear(d, 1)", "out": "Linear(d, 2)"},
    "inputs": ["x"],
    "forward": [
        "h, total, y, n = zeros_like(x), 0.0, 0, 0",
        "while n < most:",
        "    n += 1",
        "    h = cell(x, h)",
        "    p = sigmoid(halt(h)).mean()",
        "    if n == 1 and p < 0:",
        "        continue",
        "    if total + p >= 1 - eps or n == most:",
        "        y = y + (1 - total) * out(h)",
        "        break",
        "    elif not p > 1:",
        "        y = y + p * out(h)",
        "    total = total + p",
        "return {'y': y, 'steps': n, 'ponder': total if n > 1 else 0.0}",
    ],
}


class Early(nn.Module):
    def __init__(self, d: int = 5) -> None:
        super().__init__()
        self.cell = nn.GRUCell(d, d)
        self.halt = nn.Linear(d, 1)
        self.out = nn.Linear(d, 2)

    def forward(self, x: Tensor) -> dict[str, Any]:
        h, n = torch.zeros_like(x), 0
        total: Any = 0.0
        y: Any = 0
        while n < 12:
            n += 1
            h = self.cell(x, h)
            p = torch.sigmoid(self.halt(h)).mean()
            if total + p >= 1 - 0.05 or n == 12:
                y = y + (1 - total) * self.out(h)
                break
            y = y + p * self.out(h)
            total = total + p
        return {"y": y, "steps": n, "ponder": total}


# One layer at three places, by ref: a plain Sequential, and refs below the block that names them.

SHARED: dict[str, Any] = {
    "type": "Sequential",
    "shared": {"shared": "Linear(8, 8)", "act": "PReLU()"},
    "layers": [
        "Linear(4, 8)",
        {"ref": "act"},
        {"ref": "shared"},
        {"ref": "act"},
        {"type": "Sequential", "layers": {"again": {"ref": "shared"}, "act": {"ref": "act"}}},
        {"repeat": 2, "block": {"ref": "shared"}},
        "Linear(8, 1)",
    ],
}


def shared() -> nn.Module:
    layer, act = nn.Linear(8, 8), nn.PReLU()
    inner = nn.Sequential()
    inner.add_module("again", layer)
    inner.add_module("act", act)
    return nn.Sequential(nn.Linear(4, 8), act, layer, act, inner, layer, layer, nn.Linear(8, 1))


# Deep sets over a block that is a hyperparameter, used at two places: one module under two names.

SETS: dict[str, Any] = {
    "blocks": {
        "DeepSet": {
            "hyperparameters": ["phi", "rho"],
            "children": {"phi": "phi", "rho": "rho", "again": "phi"},
            "inputs": ["x", "mask=None"],
            "forward": [
                "h = phi(x) + again(-x)",
                "h = h if mask is None else h * mask[..., None]",
                "return rho(h.sum(-2))",
            ],
        }
    },
    "type": "DeepSet",
    "args": [{"type": "Sequential", "layers": ["Linear(3, 6)", "ReLU()"]}, "Linear(6, 2)"],
}


class DeepSet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.phi = nn.Sequential(nn.Linear(3, 6), nn.ReLU())
        self.rho = nn.Linear(6, 2)
        self.again = self.phi

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        h = self.phi(x) + self.again(-x)
        h = h if mask is None else h * mask[..., None]
        return self.rho(h.sum(-2))


# Capsules: routing by agreement, three rounds, over einsum.

CAPSULES: dict[str, Any] = {
    "hyperparameters": {"i_n": 6, "o_n": 3, "i_d": 4, "o_d": 5, "rounds": 3},
    "parameters": {"W": "0.1 * randn(o_n, i_n, o_d, i_d)"},
    "inputs": ["u"],
    "forward": [
        "u_hat = einsum('oidk,bik->boid', W, u)",
        "b = torch.zeros(u.size(0), o_n, i_n)",
        "for r in range(rounds):",
        "    c = F.softmax(b, dim=1)",
        "    s = (c[..., None] * u_hat).sum(dim=2)",
        "    n2 = s.square().sum(-1, keepdim=True)",
        "    v = n2 / (1 + n2) * s / torch.sqrt(n2 + 1e-8)",
        "    if r < rounds - 1:",
        "        b = b + einsum('boid,bod->boi', u_hat, v)",
        "return v, linalg.norm(v, dim=-1)",
    ],
}


class Capsules(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.W = nn.Parameter(0.1 * torch.randn(3, 6, 5, 4))

    def forward(self, u: Tensor) -> tuple[Tensor, Tensor]:
        u_hat = torch.einsum("oidk,bik->boid", self.W, u)
        b = torch.zeros(u.size(0), 3, 6)
        for r in range(3):
            c = F.softmax(b, dim=1)
            s = (c[..., None] * u_hat).sum(dim=2)
            n2 = s.square().sum(-1, keepdim=True)
            v = n2 / (1 + n2) * s / torch.sqrt(n2 + 1e-8)
            if r < 2:
                b = b + torch.einsum("boid,bod->boi", u_hat, v)
        return v, torch.linalg.norm(v, dim=-1)


CASES = [
    Case("experts", EXPERTS, Experts, {"x": uniform(5, 6)}),
    Case(
        "highway",
        HIGHWAY,
        lambda: nn.Sequential(Highway(5), Highway(5), Highway(5, -1.0), Highway(5, -1.0)),
        {"input": uniform(3, 5)},
    ),
    Case("film", FILM, Film, {"image": uniform(2, 4, 6, 6), "code": uniform(2, 3)}),
    Case("hyper", HYPER, Hyper, {"x": uniform(3, 4)}),
    Case("early", EARLY, Early, {"x": uniform(3, 5)}),
    Case("shared", SHARED, shared, {"input": uniform(3, 4)}),
    Case("sets", SETS, DeepSet, {"x": uniform(2, 4, 3)}),
    Case(
        "sets_masked", SETS, DeepSet, {"x": uniform(2, 4, 3), "mask": torch.tensor([[True] * 3 + [False], [True] * 4])}
    ),
    Case("capsules", CAPSULES, Capsules, {"u": uniform(2, 6, 4)}),
]
