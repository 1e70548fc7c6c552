"""Transformers: written out, with ties and masks, and PyTorch's own handed over as arguments."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.architectures.case import Case, integers, uniform

# GPT: a ModuleDict called by path, a causal mask as a constant, a decoder tied to the embedding.

GPT: dict[str, Any] = {
    "hyperparameters": {"vocab_size": 17, "block_size": 8, "n_layer": 2, "n_head": 2, "n_embd": 12, "p": 0.1},
    "blocks": {
        "CausalSelfAttention": {
            "hyperparameters": ["d", "heads", "length", "p"],
            "children": {
                "c_attn": "Linear(d, 3 * d)",
                "c_proj": "Linear(d, d)",
                "attn_dropout": "Dropout(p)",
                "resid_dropout": "Dropout(p)",
            },
            "constants": {"bias": "torch.tril(torch.ones(length, length)).view(1, 1, length, length)"},
            "inputs": ["x"],
            "forward": [
                "B, T, C = x.size()",
                "q, k, v = self.c_attn(x).split(d, dim=2)",
                "k = k.view(B, T, heads, C // heads).transpose(1, 2)",
                "q = q.view(B, T, heads, C // heads).transpose(1, 2)",
                "v = v.view(B, T, heads, C // heads).transpose(1, 2)",
                "att = (q @ k.transpose(-2, -1)) * (1.0 / sqrt(k.size(-1)))",
                "att = att.masked_fill(self.bias[:, :, :T, :T] == 0, -inf)",
                "att = self.attn_dropout(F.softmax(att, dim=-1))",
                "y = (att @ v).transpose(1, 2).contiguous().view(B, T, C)",
                "return self.resid_dropout(self.c_proj(y))",
            ],
        },
        "Block": {
            "hyperparameters": ["d", "heads", "length", "p"],
            "children": {
                "ln_1": "LayerNorm(d)",
                "attn": "CausalSelfAttention(d, heads, length, p)",
                "ln_2": "LayerNorm(d)",
                "mlp": {
                    "type": "ModuleDict",
                    "layers": {
                        "c_fc": "Linear(d, 4 * d)",
                        "act": "GELU(approximate='tanh')",
                        "c_proj": "Linear(4 * d, d)",
                        "dropout": "Dropout(p)",
                    },
                },
            },
            "inputs": ["x"],
            "forward": [
                "x = x + self.attn(self.ln_1(x))",
                "m = self.ln_2(x)",
                "return x + mlp.dropout(mlp.c_proj(mlp['act'](mlp.c_fc(m))))",
            ],
        },
    },
    "children": {
        "transformer": {
            "type": "ModuleDict",
            "layers": {
                "wte": "Embedding(vocab_size, n_embd)",
                "wpe": "Embedding(block_size, n_embd)",
                "drop": "Dropout(p)",
                "h": {
                    "type": "ModuleList",
                    "layers": [{"repeat": "n_layer", "block": "Block(n_embd, n_head, block_size, p)"}],
                },
                "ln_f": "LayerNorm(n_embd)",
            },
        },
        "lm_head": "Linear(n_embd, vocab_size, bias=False)",
    },
    "ties": [["transformer.wte.weight", "lm_head.weight"]],
    "inputs": ["idx"],
    "forward": [
        "b, t = idx.size()",
        "pos = torch.arange(0, t, dtype=torch.long)",
        "x = transformer.drop(transformer.wte(idx) + transformer.wpe(pos))",
        "for block in self.transformer.h:",
        "    x = block(x)",
        "return lm_head(transformer.ln_f(x))",
    ],
}


class CausalSelfAttention(nn.Module):
    bias: Tensor

    def __init__(self, d: int, heads: int, length: int, p: float) -> None:
        super().__init__()
        self.d, self.heads = d, heads
        self.c_attn = nn.Linear(d, 3 * d)
        self.c_proj = nn.Linear(d, d)
        self.attn_dropout = nn.Dropout(p)
        self.resid_dropout = nn.Dropout(p)
        self.register_buffer("bias", torch.tril(torch.ones(length, length)).view(1, 1, length, length))

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.size()
        q, k, v = self.c_attn(x).split(self.d, dim=2)
        k = k.view(B, T, self.heads, C // self.heads).transpose(1, 2)
        q = q.view(B, T, self.heads, C // self.heads).transpose(1, 2)
        v = v.view(B, T, self.heads, C // self.heads).transpose(1, 2)
        att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
        att = att.masked_fill(self.bias[:, :, :T, :T] == 0, float("-inf"))
        att = self.attn_dropout(F.softmax(att, dim=-1))
        y = (att @ v).transpose(1, 2).contiguous().view(B, T, C)
        return self.resid_dropout(self.c_proj(y))


class Block(nn.Module):
    def __init__(self, d: int, heads: int, length: int, p: float) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(d)
        self.attn = CausalSelfAttention(d, heads, length, p)
        self.ln_2 = nn.LayerNorm(d)
        self.mlp = nn.ModuleDict(
            {
                "c_fc": nn.Linear(d, 4 * d),
                "act": nn.GELU(approximate="tanh"),
                "c_proj": nn.Linear(4 * d, d),
                "dropout": nn.Dropout(p),
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        m = self.mlp
        return x + m["dropout"](m["c_proj"](m["act"](m["c_fc"](self.ln_2(x)))))


class GPT2(nn.Module):
    def __init__(self, vocab: int = 17, length: int = 8, d: int = 12) -> None:
        super().__init__()
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(vocab, d),
                "wpe": nn.Embedding(length, d),
                "drop": nn.Dropout(0.1),
                "h": nn.ModuleList([Block(d, 2, length, 0.1) for _ in range(2)]),
                "ln_f": nn.LayerNorm(d),
            }
        )
        self.lm_head = nn.Linear(d, vocab, bias=False)
        self.transformer["wte"].weight = self.lm_head.weight

    def forward(self, idx: Tensor) -> Tensor:
        _, t = idx.size()
        pos = torch.arange(0, t, dtype=torch.long)
        x = self.transformer["drop"](self.transformer["wte"](idx) + self.transformer["wpe"](pos))
        for block in self.transformer["h"]:  # type: ignore[union-attr]
            x = block(x)
        return self.lm_head(self.transformer["ln_f"](x))


# BERT: PyTorch's encoder, its layer handed over as a call; segments default to the first kind.

BERT: dict[str, Any] = {
    "hyperparameters": {"vocab": 23, "d": 16, "heads": 4, "length": 10},
    "children": {
        "tokens": "nn.Embedding(vocab, d, padding_idx=0)",
        "segments": "nn.Embedding(2, d)",
        "encoder": {
            "type": "nn.TransformerEncoder",
            "args": [
                "nn.TransformerEncoderLayer(d, heads, 2 * d, dropout=0.1, activation='gelu', batch_first=True)",
                2,
            ],
            "kwargs": {"enable_nested_tensor": False},
        },
        "norm": "LayerNorm(d, eps=1e-12)",
        "mlm": {"type": "Linear", "kwargs": {"in_features": "d", "out_features": "vocab"}},
    },
    "parameters": {"positions": "randn(1, length, d) * 0.02"},
    "ties": [["mlm.weight", "tokens.weight"]],
    "inputs": ["ids", "segment_ids=None"],
    "forward": [
        "if segment_ids is None:",
        "    segment_ids = zeros_like(ids)",
        "x = tokens(ids) + segments(segment_ids) + positions[:, :ids.shape[1]]",
        "x = encoder(x, src_key_padding_mask=ids == 0)",
        "x = norm(x)",
        "return {'hidden': x, 'logits': mlm(x), 'pooled': tanh(x[:, 0])}",
    ],
}


class Bert(nn.Module):
    def __init__(self, vocab: int = 23, d: int = 16, length: int = 10) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocab, d, padding_idx=0)
        self.segments = nn.Embedding(2, d)
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(d, 4, 2 * d, dropout=0.1, activation="gelu", batch_first=True),
            2,
            enable_nested_tensor=False,
        )
        self.norm = nn.LayerNorm(d, eps=1e-12)
        self.mlm = nn.Linear(d, vocab)
        self.positions = nn.Parameter(torch.randn(1, length, d) * 0.02)
        self.mlm.weight = self.tokens.weight

    def forward(self, ids: Tensor, segment_ids: Tensor | None = None) -> dict[str, Tensor]:
        if segment_ids is None:
            segment_ids = torch.zeros_like(ids)
        x = self.tokens(ids) + self.segments(segment_ids) + self.positions[:, : ids.shape[1]]
        x = self.norm(self.encoder(x, src_key_padding_mask=ids == 0))
        return {"hidden": x, "logits": self.mlm(x), "pooled": torch.tanh(x[:, 0])}


# ViT: a class token and positions as parameters, PyTorch's attention in a pre-norm wrapper.

VIT: dict[str, Any] = {
    "hyperparameters": {"image": 8, "patch": 4, "d": 8, "heads": 2, "depth": 2, "classes": 5},
    "blocks": {
        "PreNorm": {
            "hyperparameters": ["d", "fn"],
            "children": {"norm": "LayerNorm(d)", "fn": "fn"},
            "inputs": ["x"],
            "forward": "return fn(norm(x)) + x",
        },
        "SelfAttention": {
            "hyperparameters": ["d", "heads"],
            "children": {"mha": "MultiheadAttention(d, heads, batch_first=True)"},
            "inputs": ["x"],
            "forward": ["y, _ = mha(x, x, x, need_weights=False)", "return y"],
        },
    },
    "parameters": {"cls": "zeros(1, 1, d)", "positions": "randn(1, (image // patch) ** 2 + 1, d)"},
    "children": {
        "patches": "Conv2d(3, d, patch, stride=patch)",
        "encoder": {
            "type": "Sequential",
            "layers": [
                {
                    "repeat": "depth",
                    "name": "layer_{i}",
                    "block": [
                        "PreNorm(d, SelfAttention(d, heads))",
                        "PreNorm(d, Sequential(Linear(d, 2 * d), GELU(), Linear(2 * d, d)))",
                    ],
                }
            ],
        },
        "head": ["LayerNorm(d)", "Linear(d, classes)"],
    },
    "inputs": ["img"],
    "forward": [
        "x = patches(img).flatten(2).transpose(1, 2)",
        "x = torch.cat([cls.expand(len(x), -1, -1), x], dim=1) + positions",
        "return head(encoder(x)[:, 0])",
    ],
}


class PreNorm(nn.Module):
    def __init__(self, d: int, fn: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(d)
        self.fn = fn

    def forward(self, x: Tensor) -> Tensor:
        return self.fn(self.norm(x)) + x


class SelfAttention(nn.Module):
    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.mha = nn.MultiheadAttention(d, heads, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.mha(x, x, x, need_weights=False)[0]


class ViT(nn.Module):
    def __init__(self, d: int = 8) -> None:
        super().__init__()
        self.cls = nn.Parameter(torch.zeros(1, 1, d))
        self.positions = nn.Parameter(torch.randn(1, 5, d))
        self.patches = nn.Conv2d(3, d, 4, stride=4)
        self.encoder = nn.Sequential()
        for i in range(2):  # what is handed over is built before the block that takes it
            attention = SelfAttention(d, 2)
            first = PreNorm(d, attention)
            mlp = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))
            self.encoder.add_module(f"layer_{i}", nn.Sequential(first, PreNorm(d, mlp)))
        self.head = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 5))

    def forward(self, img: Tensor) -> Tensor:
        x = self.patches(img).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], dim=1) + self.positions
        return self.head(self.encoder(x)[:, 0])


# PyTorch's whole Transformer as the network itself, and an encoder with a final norm, all in one call.

PADDED = torch.cat([1 + integers(22, 2, 6), torch.zeros(2, 2, dtype=torch.int64)], dim=1)
CASES = [
    Case("gpt", GPT, GPT2, {"idx": integers(17, 2, 6)}),
    Case("bert", BERT, Bert, {"ids": PADDED}),
    Case("bert_segments", BERT, Bert, {"ids": PADDED, "segment_ids": integers(2, 2, 8)}),
    Case("vit", VIT, ViT, {"img": uniform(2, 3, 8, 8)}),
    Case(
        "transformer",
        {"type": "Transformer", "kwargs": {"d_model": 8, "nhead": 2, "num_encoder_layers": 1, "num_decoder_layers": 1}},
        lambda: nn.Transformer(8, 2, 1, 1),
        {"src": uniform(4, 2, 8), "tgt": uniform(3, 2, 8)},
    ),
    Case(
        "encoder",
        "nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, norm_first=True), 2, norm=nn.LayerNorm(8))",
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, norm_first=True), 2, norm=nn.LayerNorm(8)),
        {"src": uniform(5, 2, 8)},
    ),
]
