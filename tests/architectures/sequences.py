"""Networks that read: recurrent ones, causal convolutions, an encoder and a decoder."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.architectures.case import Case, integers, uniform

LSTM: dict[str, Any] = {
    "hyperparameters": {"vocab": 20, "dim": 6, "hidden": 8, "classes": 3},
    "children": {
        "embedding": "Embedding(vocab, dim, padding_idx=0)",
        "lstm": "LSTM(dim, hidden, num_layers=2, batch_first=True, dropout=0.2)",
        "fc": "Linear(hidden, classes)",
    },
    "inputs": ["tokens"],
    "forward": [
        "outputs, (h, c) = lstm(embedding(tokens))",
        "return self.fc(h[-1]), outputs[:, -1], c",
    ],
}


class LSTMClassifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 6, padding_idx=0)
        self.lstm = nn.LSTM(6, 8, num_layers=2, batch_first=True, dropout=0.2)
        self.fc = nn.Linear(8, 3)

    def forward(self, tokens: Tensor) -> tuple[Tensor, ...]:
        outputs, (h, c) = self.lstm(self.embedding(tokens))
        return self.fc(h[-1]), outputs[:, -1], c


# Bidirectional, with a mask that may be left out; the reduction is chosen by a hyperparameter.

BILSTM: dict[str, Any] = {
    "hyperparameters": {"d": 5, "h": 4, "pool": "max"},
    "children": {
        "rnn": {"type": "LSTM", "args": ["d", "h"], "kwargs": {"bidirectional": True, "batch_first": True}},
        "out": "Linear(2 * h, 2)",
    },
    "inputs": ["x", "mask=None"],
    "forward": [
        "y, _ = rnn(x)",
        "if mask is not None:",
        "    y = y.masked_fill(~mask[:, :, None], -inf if pool == 'max' else 0)",
        "if pool == 'max':",
        "    y = y.max(dim=1).values",
        "elif pool == 'mean':",
        "    y = y.mean(1)",
        "else:",
        "    y = y[:, -1]",
        "return out(y)",
    ],
}


class BiLSTM(nn.Module):
    def __init__(self, d: int = 5, h: int = 4) -> None:
        super().__init__()
        self.rnn = nn.LSTM(d, h, bidirectional=True, batch_first=True)
        self.out = nn.Linear(2 * h, 2)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        y, _ = self.rnn(x)
        if mask is not None:
            y = y.masked_fill(~mask[:, :, None], -torch.inf)
        return self.out(y.max(dim=1).values)


# Sequence to sequence: GRUs and additive attention, decoded step by step with its own output as input.

SEQ2SEQ: dict[str, Any] = {
    "hyperparameters": {"vocab": 11, "d": 6, "h": 8, "steps": 4},
    "blocks": {
        "Attention": {
            "hyperparameters": ["h"],
            "children": {"query": "Linear(h, h, bias=False)", "key": "Linear(h, h, bias=False)", "v": "Linear(h, 1)"},
            "inputs": ["q", "keys"],
            "forward": [
                "scores = v(tanh(query(q).unsqueeze(1) + key(keys))).squeeze(-1)",
                "weights = F.softmax(scores, dim=-1)",
                "return torch.bmm(weights.unsqueeze(1), keys).squeeze(1), weights",
            ],
        }
    },
    "children": {
        "embed": "Embedding(vocab, d)",
        "encoder": "GRU(d, h, batch_first=True)",
        "attention": "Attention(h)",
        "decoder": "GRUCell(d + h, h)",
        "out": "Linear(h, vocab)",
    },
    "inputs": ["source", "start"],
    "forward": [
        "keys, state = encoder(embed(source))",
        "state = state[0]",
        "token = start",
        "logits, maps = [], []",
        "for step in range(steps):",
        "    context, weights = attention(state, keys)",
        "    state = decoder(cat((embed(token), context), dim=1), state)",
        "    scores = out(state)",
        "    token = scores.argmax(-1)",
        "    logits.append(scores)",
        "    maps.append(weights)",
        "return {'logits': stack(logits, dim=1), 'attention': torch.stack(maps, 1), 'last': token}",
    ],
}


class Attention(nn.Module):
    def __init__(self, h: int) -> None:
        super().__init__()
        self.query = nn.Linear(h, h, bias=False)
        self.key = nn.Linear(h, h, bias=False)
        self.v = nn.Linear(h, 1)

    def forward(self, q: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.v(torch.tanh(self.query(q).unsqueeze(1) + self.key(keys))).squeeze(-1)
        weights = F.softmax(scores, dim=-1)
        return torch.bmm(weights.unsqueeze(1), keys).squeeze(1), weights


class Seq2Seq(nn.Module):
    def __init__(self, vocab: int = 11, d: int = 6, h: int = 8, steps: int = 4) -> None:
        super().__init__()
        self.steps = steps
        self.embed = nn.Embedding(vocab, d)
        self.encoder = nn.GRU(d, h, batch_first=True)
        self.attention = Attention(h)
        self.decoder = nn.GRUCell(d + h, h)
        self.out = nn.Linear(h, vocab)

    def forward(self, source: Tensor, start: Tensor) -> dict[str, Tensor]:
        keys, state = self.encoder(self.embed(source))
        state, token = state[0], start
        logits, maps = [], []
        for _ in range(self.steps):
            context, weights = self.attention(state, keys)
            state = self.decoder(torch.cat((self.embed(token), context), dim=1), state)
            scores = self.out(state)
            token = scores.argmax(-1)
            logits.append(scores)
            maps.append(weights)
        return {"logits": torch.stack(logits, dim=1), "attention": torch.stack(maps, 1), "last": token}


# WaveNet: causal by padding on the left, dilations doubled by the repeat's own counter, skips summed.

WAVENET: dict[str, Any] = {
    "hyperparameters": {"c": 6, "depth": 4, "levels": 16},
    "blocks": {
        "Causal": {
            "hyperparameters": ["c", "k", "dilation"],
            "children": {"conv": "Conv1d(c, k, kernel_size=2, dilation=dilation)"},
            "inputs": ["x"],
            "forward": ["return conv(F.pad(x, (dilation, 0)))"],
        },
        "Gated": {
            "hyperparameters": ["c", "dilation"],
            "children": {"both": "Causal(c, 2 * c, dilation)", "skip": "Conv1d(c, c, 1)", "rest": "Conv1d(c, c, 1)"},
            "inputs": ["x"],
            "forward": [
                "a, b = both(x).chunk(2, dim=1)",
                "z = torch.tanh(a) * torch.sigmoid(b)",
                "return x + rest(z), skip(z)",
            ],
        },
    },
    "children": {
        "front": "Causal(1, c, 1)",
        "blocks": {"type": "ModuleList", "layers": [{"repeat": "depth", "block": "Gated(c, 2 ** i)"}]},
        "head": ["ReLU()", "Conv1d(c, levels, 1)"],
    },
    "inputs": ["wave"],
    "forward": [
        "x = front(wave)",
        "total = 0",
        "for block in blocks:",
        "    x, skip = block(x)",
        "    total += skip",
        "return head(total)",
    ],
}


class Causal(nn.Module):
    def __init__(self, c: int, k: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.conv = nn.Conv1d(c, k, kernel_size=2, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (self.dilation, 0)))


class Gated(nn.Module):
    def __init__(self, c: int, dilation: int) -> None:
        super().__init__()
        self.both = Causal(c, 2 * c, dilation)
        self.skip = nn.Conv1d(c, c, 1)
        self.rest = nn.Conv1d(c, c, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a, b = self.both(x).chunk(2, dim=1)
        z = torch.tanh(a) * torch.sigmoid(b)
        return x + self.rest(z), self.skip(z)


class WaveNet(nn.Module):
    def __init__(self, c: int = 6, depth: int = 4, levels: int = 16) -> None:
        super().__init__()
        self.front = Causal(1, c, 1)
        self.blocks = nn.ModuleList(Gated(c, 2**i) for i in range(depth))
        self.head = nn.Sequential(nn.ReLU(), nn.Conv1d(c, levels, 1))

    def forward(self, wave: Tensor) -> Tensor:
        x = self.front(wave)
        total: Any = 0
        for block in self.blocks:
            x, skip = block(x)
            total = total + skip
        return self.head(total)


# An RNN from scratch, every gate a parameter, stepped over time by unbind.

SCRATCH: dict[str, Any] = {
    "hyperparameters": {"n": 5, "h": 7, "sigma": 0.1},
    "parameters": {
        "W_xh": "torch.randn(n, h) * sigma",
        "W_hh": "torch.randn(h, h) * sigma",
        "b_h": "torch.zeros(h)",
        "W_hq": "normal(0.0, sigma, (h, n))",
        "b_q": "zeros(n)",
    },
    "inputs": ["X", "state=None"],
    "forward": [
        "H = zeros(X.shape[1], h) if state is None else state",
        "outputs = []",
        "for x in X.unbind(0):",
        "    H = torch.tanh(x @ W_xh + H @ W_hh + b_h)",
        "    Y = H @ W_hq + b_q",
        "    outputs.append(Y)",
        "return torch.cat(outputs, dim=0), (H,)",
    ],
}


class Scratch(nn.Module):
    def __init__(self, n: int = 5, h: int = 7, sigma: float = 0.1) -> None:
        super().__init__()
        self.h = h
        self.W_xh = nn.Parameter(torch.randn(n, h) * sigma)
        self.W_hh = nn.Parameter(torch.randn(h, h) * sigma)
        self.b_h = nn.Parameter(torch.zeros(h))
        self.W_hq = nn.Parameter(torch.normal(0.0, sigma, (h, n)))
        self.b_q = nn.Parameter(torch.zeros(n))

    def forward(self, X: Tensor, state: Tensor | None = None) -> tuple[Tensor, tuple[Tensor]]:
        H = torch.zeros(X.shape[1], self.h) if state is None else state
        outputs = []
        for x in X.unbind(0):
            H = torch.tanh(x @ self.W_xh + H @ self.W_hh + self.b_h)
            outputs.append(H @ self.W_hq + self.b_q)
        return torch.cat(outputs, dim=0), (H,)


TOKENS = integers(20, 3, 5)
CASES = [
    Case("lstm", LSTM, LSTMClassifier, {"tokens": TOKENS}),
    Case("bilstm", BILSTM, BiLSTM, {"x": uniform(2, 6, 5)}),
    Case("bilstm_masked", BILSTM, BiLSTM, {"x": uniform(2, 6, 5), "mask": torch.arange(6) < torch.tensor([[4], [6]])}),
    Case("seq2seq", SEQ2SEQ, Seq2Seq, {"source": integers(11, 2, 5), "start": torch.zeros(2, dtype=torch.int64)}),
    Case("wavenet", WAVENET, WaveNet, {"wave": uniform(2, 1, 24)}),
    Case("scratch", SCRATCH, Scratch, {"X": uniform(4, 2, 5)}),
    Case("scratch_state", SCRATCH, Scratch, {"X": uniform(4, 2, 5), "state": uniform(2, 7)}),
]
