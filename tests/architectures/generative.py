"""Networks that make or match things: autoencoders, flows, differential equations, towers, factors, graphs."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.architectures.case import Case, integers, uniform

# An autoencoder whose decoder is the encoder backwards, its weights tied across a transpose by forward.

AUTOENCODER: dict[str, Any] = {
    "hyperparameters": {"sizes": [12, 8, 3]},
    "children": {
        "encoder": {
            "type": "ModuleList",
            "layers": [{"repeat": "len(sizes) - 1", "block": "Linear(sizes[i], sizes[i + 1])"}],
        },
    },
    "parameters": {"b0": "zeros(sizes[1])", "b1": "full((sizes[0],), 0.5)"},
    "inputs": ["x"],
    "forward": [
        "for layer in encoder:",
        "    x = sigmoid(layer(x))",
        "code = x",
        "biases = [b0, b1]",
        "for i, layer in enumerate(reversed(encoder)):",
        "    x = sigmoid(F.linear(x, layer.weight.T, biases[i]))",
        "return {'code': code, 'reconstruction': x}",
    ],
}


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleList([nn.Linear(12, 8), nn.Linear(8, 3)])
        self.b0 = nn.Parameter(torch.zeros(8))
        self.b1 = nn.Parameter(torch.full((12,), 0.5))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        for layer in self.encoder:
            x = torch.sigmoid(layer(x))
        code = x
        for layer, bias in zip(reversed(self.encoder), [self.b0, self.b1], strict=True):
            x = torch.sigmoid(F.linear(x, layer.weight.T, bias))  # type: ignore[union-attr, arg-type]
        return {"code": code, "reconstruction": x}


# A variational autoencoder: noise in forward, a dict of results.

VAE: dict[str, Any] = {
    "hyperparameters": {"n": 10, "h": 6, "z": 2},
    "children": {
        "encoder": "Sequential(Linear(n, h), ReLU())",
        "mu": "Linear(h, z)",
        "logvar": "Linear(h, z)",
        "decoder": "Sequential(Linear(z, h), ReLU(), Linear(h, n), Sigmoid())",
    },
    "inputs": ["x"],
    "forward": [
        "h = encoder(x)",
        "mean, log_variance = mu(h), logvar(h)",
        "std = exp(0.5 * log_variance)",
        "sample = mean + torch.randn_like(std) * std",
        "kl = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())",
        "return {'x': decoder(sample), 'mean': mean, 'logvar': log_variance, 'kl': kl}",
    ],
}


class Vae(nn.Module):
    def __init__(self, n: int = 10, h: int = 6, z: int = 2) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(n, h), nn.ReLU())
        self.mu = nn.Linear(h, z)
        self.logvar = nn.Linear(h, z)
        self.decoder = nn.Sequential(nn.Linear(z, h), nn.ReLU(), nn.Linear(h, n), nn.Sigmoid())

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = self.encoder(x)
        mean, logvar = self.mu(h), self.logvar(h)
        std = torch.exp(0.5 * logvar)
        sample = mean + torch.randn_like(std) * std
        kl = -0.5 * torch.sum(1 + logvar - mean.pow(2) - logvar.exp())
        return {"x": self.decoder(sample), "mean": mean, "logvar": logvar, "kl": kl}


# A normalising flow: layers that give pairs, masks that alternate with i, the sum of log-determinants.

FLOW: dict[str, Any] = {
    "hyperparameters": {"d": 6, "n": 3},
    "blocks": {
        "Coupling": {
            "hyperparameters": ["d", "odd"],
            "constants": {"mask": "(arange(d) % 2 == odd).float()"},
            "children": {
                "s": ["Linear(d, 8)", "Tanh()", "Linear(8, d)", "Tanh()"],
                "t": ["Linear(d, 8)", "Tanh()", "Linear(8, d)"],
            },
            "inputs": ["x"],
            "forward": [
                "kept = x * mask",
                "s_, t_ = s(kept) * (1 - mask), t(kept) * (1 - mask)",
                "return kept + (1 - mask) * (x * s_.exp() + t_), s_.sum(-1)",
            ],
        }
    },
    "children": {"layers": {"type": "ModuleList", "layers": [{"repeat": "n", "block": "Coupling(d, i % 2)"}]}},
    "inputs": ["x"],
    "forward": [
        "log_det = zeros(x.shape[:-1])",
        "for layer in layers:",
        "    x, det = layer(x)",
        "    log_det += det",
        "log_p = -0.5 * (x ** 2).sum(-1) - 0.5 * d * log(2 * pi)",
        "return x, log_p + log_det",
    ],
}


class Coupling(nn.Module):
    mask: Tensor

    def __init__(self, d: int, odd: int) -> None:
        super().__init__()
        self.register_buffer("mask", (torch.arange(d) % 2 == odd).float())
        self.s = nn.Sequential(nn.Linear(d, 8), nn.Tanh(), nn.Linear(8, d), nn.Tanh())
        self.t = nn.Sequential(nn.Linear(d, 8), nn.Tanh(), nn.Linear(8, d))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        kept, other = x * self.mask, 1 - self.mask
        s, t = self.s(kept) * other, self.t(kept) * other
        return kept + other * (x * s.exp() + t), s.sum(-1)


class Flow(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Coupling(6, i % 2) for i in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log_det = torch.zeros(x.shape[:-1])
        for layer in self.layers:
            x, det = layer(x)
            log_det = log_det + det
        log_p = -0.5 * (x**2).sum(-1) - 0.5 * 6 * math.log(2 * math.pi)
        return x, log_p + log_det


# A neural differential equation: Euler's steps while time is left, and a time embedding as diffusion has.

ODE: dict[str, Any] = {
    "hyperparameters": {"d": 4, "steps": 5, "f": ["Linear(5, 16)", "Tanh()", "Linear(16, 4)"]},
    "children": {"field": "f"},
    "inputs": ["y", "t_end=1.0"],
    "forward": [
        "t, dt = 0.0, t_end / steps",
        "path = [y]",
        "while t < t_end - 1e-9:",
        "    y = y + dt * field(torch.cat([y, t + zeros(len(y), 1)], -1))",
        "    path.append(y)",
        "    t += dt",
        "return stack(path)",
    ],
}


class Ode(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.field = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 4))

    def forward(self, y: Tensor, t_end: Any = 1.0) -> Tensor:
        t, dt = 0.0, t_end / 5
        path = [y]
        while t < t_end - 1e-9:
            y = y + dt * self.field(torch.cat([y, t + torch.zeros(len(y), 1)], -1))
            path.append(y)
            t = t + dt
        return torch.stack(path)


DIFFUSION: dict[str, Any] = {
    "hyperparameters": {"d": 8, "T": 10},
    "constants": {
        "betas": "linspace(1e-4, 0.02, T)",
        "alphas_bar": "cumprod(1 - betas, 0)",
        "frequencies": "exp(arange(d // 2) * (-log(10000.0) / (d // 2 - 1)))",
        "scale": {"dtype": "float32", "shape": [1], "data": [0.5]},
    },
    "children": {"time": ["Linear(d, d)", "SiLU()"], "eps": "Sequential(Linear(2 * d, 16), Mish(), Linear(16, d))"},
    "inputs": ["x0", "t"],
    "forward": [
        "noise = torch.randn_like(x0)",
        "a = alphas_bar[t][:, None]",
        "x = a.sqrt() * x0 + (1 - a).sqrt() * noise",
        "angles = t[:, None] * frequencies[None, :]",
        "emb = time(cat([angles.sin(), angles.cos()], dim=-1))",
        "return scale * F.mse_loss(eps(cat([x, emb], 1)), noise)",
    ],
}


class Diffusion(nn.Module):
    betas: Tensor
    alphas_bar: Tensor
    frequencies: Tensor
    scale: Tensor

    def __init__(self, d: int = 8, T: int = 10) -> None:
        super().__init__()
        self.register_buffer("betas", torch.linspace(1e-4, 0.02, T))
        self.register_buffer("alphas_bar", torch.cumprod(1 - self.betas, 0))
        frequencies = torch.exp(torch.arange(d // 2) * (-math.log(10000.0) / (d // 2 - 1)))
        self.register_buffer("frequencies", frequencies)
        self.register_buffer("scale", torch.tensor([0.5]))
        self.time = nn.Sequential(nn.Linear(d, d), nn.SiLU())
        self.eps = nn.Sequential(nn.Linear(2 * d, 16), nn.Mish(), nn.Linear(16, d))

    def forward(self, x0: Tensor, t: Tensor) -> Tensor:
        noise = torch.randn_like(x0)
        a = self.alphas_bar[t][:, None]
        x = a.sqrt() * x0 + (1 - a).sqrt() * noise
        angles = t[:, None] * self.frequencies[None, :]
        emb = self.time(torch.cat([angles.sin(), angles.cos()], dim=-1))
        return self.scale * F.mse_loss(self.eps(torch.cat([x, emb], 1)), noise)


# Two towers of one named block, with a bag of words and a cosine.

TWO_TOWERS: dict[str, Any] = {
    "blocks": {
        "Tower": {
            "hyperparameters": {"n": None, "hidden": [8, 4]},
            "type": "Sequential",
            "layers": [
                {"repeat": "len(hidden)", "block": "Linear(n if i == 0 else hidden[i - 1], hidden[i])"},
                "Tanh()",
            ],
        }
    },
    "children": {"words": "EmbeddingBag(30, 6, mode='mean')", "user": "Tower(5)", "item": "Tower(6, hidden=[7, 4])"},
    "parameters": {"temperature": "tensor(0.07)"},
    "inputs": ["features", "ids"],
    "forward": [
        "u = F.normalize(user(features), dim=-1)",
        "v = item(words(ids))",
        "return F.cosine_similarity(u, v, dim=-1) / temperature.clamp(min=0.01), einsum('id,jd->ij', u, v)",
    ],
}


class TwoTowers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.EmbeddingBag(30, 6, mode="mean")
        self.user = nn.Sequential(nn.Linear(5, 8), nn.Linear(8, 4), nn.Tanh())
        self.item = nn.Sequential(nn.Linear(6, 7), nn.Linear(7, 4), nn.Tanh())
        self.temperature = nn.Parameter(torch.tensor(0.07))

    def forward(self, features: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        u = F.normalize(self.user(features), dim=-1)
        v = self.item(self.words(ids))
        return F.cosine_similarity(u, v, dim=-1) / self.temperature.clamp(min=0.01), torch.einsum("id,jd->ij", u, v)


# Matrix factorisation, and a graph convolution whose adjacency comes with each call.

FACTORS: dict[str, Any] = {
    "hyperparameters": ["users", "items", "k"],
    "children": {
        "P": "Embedding(users, k)",
        "Q": "Embedding(items, k)",
        "user_bias": "Embedding(users, 1)",
        "item_bias": "Embedding(items, 1)",
    },
    "inputs": ["user_id", "item_id"],
    "forward": [
        "P_u = self.P(user_id)",
        "Q_i = self.Q(item_id)",
        "b_u = self.user_bias(user_id)",
        "b_i = self.item_bias(item_id)",
        "outputs = (P_u * Q_i).sum(dim=1) + torch.squeeze(b_u) + torch.squeeze(b_i)",
        "return outputs.flatten()",
    ],
}


class Factors(nn.Module):
    def __init__(self, users: int = 9, items: int = 7, k: int = 3) -> None:
        super().__init__()
        self.P = nn.Embedding(users, k)
        self.Q = nn.Embedding(items, k)
        self.user_bias = nn.Embedding(users, 1)
        self.item_bias = nn.Embedding(items, 1)

    def forward(self, user_id: Tensor, item_id: Tensor) -> Tensor:
        b_u, b_i = self.user_bias(user_id), self.item_bias(item_id)
        outputs = (self.P(user_id) * self.Q(item_id)).sum(dim=1) + torch.squeeze(b_u) + torch.squeeze(b_i)
        return outputs.flatten()


GCN: dict[str, Any] = {
    "hyperparameters": {"sizes": [5, 8, 3]},
    "blocks": {
        "GraphConv": {
            "hyperparameters": {"n": None, "m": None, "bias": True},
            "parameters": {"weight": "randn(n, m) / sqrt(n)", "shift": "zeros(m)"},
            "inputs": ["x", "a"],
            "forward": ["y = a @ (x @ weight)", "return y + shift if bias else y"],
        }
    },
    "children": {"c1": "GraphConv(sizes[0], sizes[1])", "c2": "GraphConv(sizes[1], sizes[2], bias=False)"},
    "inputs": ["x", "adjacency"],
    "forward": [
        "a = adjacency.float() + eye(len(adjacency))",
        "d = a.sum(1).pow(-0.5)",
        "a = d[:, None] * a * d[None, :]",
        "h = F.dropout(F.relu(c1(x, a)), p=0.5, training=self.training)",
        "return log_softmax(c2(h, a), dim=1)",
    ],
}


class GraphConv(nn.Module):
    def __init__(self, n: int, m: int, bias: bool = True) -> None:
        super().__init__()
        self.bias = bias
        self.weight = nn.Parameter(torch.randn(n, m) / math.sqrt(n))
        self.shift = nn.Parameter(torch.zeros(m))

    def forward(self, x: Tensor, a: Tensor) -> Tensor:
        y = a @ (x @ self.weight)
        return y + self.shift if self.bias else y


class Gcn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c1 = GraphConv(5, 8)
        self.c2 = GraphConv(8, 3, bias=False)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        a = adjacency.float() + torch.eye(len(adjacency))
        d = a.sum(1).pow(-0.5)
        a = d[:, None] * a * d[None, :]
        h = F.dropout(F.relu(self.c1(x, a)), p=0.5, training=self.training)
        return torch.log_softmax(self.c2(h, a), dim=1)


ADJACENCY = torch.tensor([[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0]], dtype=torch.bool)
CASES = [
    Case("autoencoder", AUTOENCODER, Autoencoder, {"x": uniform(3, 12)}),
    Case("vae", VAE, Vae, {"x": uniform(4, 10)}, seeded=True),
    Case("flow", FLOW, Flow, {"x": uniform(4, 6)}),
    Case("ode", ODE, Ode, {"y": uniform(3, 4)}),
    Case("ode_until", ODE, Ode, {"y": uniform(3, 4), "t_end": torch.tensor(2.0)}),
    Case("diffusion", DIFFUSION, Diffusion, {"x0": uniform(5, 8), "t": integers(10, 5)}, seeded=True),
    Case("two_towers", TWO_TOWERS, TwoTowers, {"features": uniform(3, 5), "ids": integers(30, 3, 4)}),
    Case(
        "factors",
        {"blocks": {"Factors": FACTORS}, "type": "Factors", "args": [9, 7], "kwargs": {"k": 3}},
        Factors,
        {"user_id": integers(9, 6), "item_id": integers(7, 6)},
    ),
    Case("gcn", GCN, Gcn, {"x": uniform(4, 5), "adjacency": ADJACENCY}),
]
