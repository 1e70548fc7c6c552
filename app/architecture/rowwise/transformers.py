"""Rules of PyTorch's attention layers. Positions attend to positions of the same row; rows are the batch of the layer.

Masks of padded positions are followed by attention alone: an encoder given one takes a short cut where every row of the
batch is padded on the right, and what it gives for padded positions is different then.
"""

from typing import Any

from torch import nn
from torch.nn import functional

from app.architecture.rowwise.forms import Form, Value, mixed
from app.architecture.rowwise.rules import Call, rank_of, rule
from app.architecture.rowwise.sizes import Whole, same

OWN = "positions of one row meet one another alone"


@rule(
    "layer.MultiheadAttention",
    "query, key, value, key_padding_mask=None, need_weights=True, attn_mask=None, average_attn_weights=True,"
    " is_causal=False, *, module",
    why=OWN,
)
def attention(call: Call) -> Value:
    module: Any = call["module"]
    batch = _sequences(call, module.batch_first, "query", "key", "value")
    _fixed_masks(call, "attn_mask")
    if call["key_padding_mask"] is not None:
        mask = call.form("key_padding_mask")
        if rank_of(mask) != 2 or not same(mask.known(call.operation)[0], batch):
            mixed(call.operation, "needs a key_padding_mask with the rows in dimension 0")
    query, key = call.sizes("query"), call.sizes("key")
    at = 1 if module.batch_first else 0
    heads = () if call["average_attn_weights"] else (module.num_heads,)
    weights = Form((batch, *heads, query[at], key[at])) if call["need_weights"] else None
    return Form((*query[:2], module.embed_dim)), weights


@rule(
    "layer.TransformerEncoderLayer",
    "src, src_mask=None, src_key_padding_mask=None, is_causal=False, *, module",
    why=OWN,
)
@rule("layer.TransformerEncoder", "src, mask=None, src_key_padding_mask=None, is_causal=None, *, module", why=OWN)
def encoded(call: Call) -> Form:
    module: Any = call["module"]
    _sequences(call, _first_of(call, module), "src")
    _fixed_masks(call, "src_mask" if "src_mask" in call.values else "mask")
    _no_padding(call)
    return Form(call.sizes("src"))


@rule(
    "layer.TransformerDecoderLayer layer.TransformerDecoder",
    "tgt, memory, tgt_mask=None, memory_mask=None, tgt_key_padding_mask=None, memory_key_padding_mask=None,"
    " tgt_is_causal=False, memory_is_causal=False, *, module",
    why=OWN,
)
def decoded(call: Call) -> Form:
    module: Any = call["module"]
    _sequences(call, _first_of(call, module), "tgt", "memory")
    _fixed_masks(call, "tgt_mask", "memory_mask")
    _no_padding(call)
    return Form(call.sizes("tgt"))


@rule(
    "layer.Transformer",
    "src, tgt, src_mask=None, tgt_mask=None, memory_mask=None, src_key_padding_mask=None, tgt_key_padding_mask=None,"
    " memory_key_padding_mask=None, src_is_causal=None, tgt_is_causal=None, memory_is_causal=False, *, module",
    why=OWN,
)
def transformed(call: Call) -> Form:
    module: Any = call["module"]
    for part in (module.encoder, module.decoder):
        if _first_of(call, part) != module.batch_first:
            mixed(call.operation, "has parts that take batches otherwise than it does")
    _sequences(call, module.batch_first, "src", "tgt")
    _fixed_masks(call, "src_mask", "tgt_mask", "memory_mask")
    _no_padding(call)
    return Form(call.sizes("tgt"))


def _sequences(call: Call, batch_first: bool, *names: str) -> Whole:
    """The size of the batch, which must be the rows of all these inputs."""
    rows = 0 if batch_first else 1
    for name in names:
        form = call.form(name)
        if rank_of(form) != 3 or form.rows != rows:
            hint = ' (write "batch_first": true)' if rows == 1 and form.rows == 0 else ""
            mixed(call.operation, f"keeps sequences apart of a {name} with 3 dimensions and the rows in {rows}{hint}")
        if not same(form.known(call.operation)[rows], call.sizes(names[0])[rows]):
            mixed(call.operation, "needs the same rows in all its inputs")
    return call.sizes(names[0])[rows]


def _fixed_masks(call: Call, *names: str) -> None:
    """Masks of attention are one for all rows: queries by keys."""
    for name in names:
        if call[name] is not None and (call.form(name).has_rows or rank_of(call.form(name)) != 2):
            mixed(call.operation, f"is followed with one {name} of 2 dimensions for all rows")


def _no_padding(call: Call) -> None:
    for name, value in call.values.items():
        if name.endswith("key_padding_mask") and value is not None:
            mixed(call.operation, f"looks at all rows of {name} to choose how it computes")


def _first_of(call: Call, module: Any) -> bool:
    """Whether the batch comes first in an encoder, a decoder or a layer of one, whose parts are all PyTorch's own."""
    if type(module) in (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer):
        if module.activation not in (functional.relu, functional.gelu):
            mixed(call.operation, "has an activation that is not followed")
        return bool(module.self_attn.batch_first)
    if type(module) not in (nn.TransformerEncoder, nn.TransformerDecoder):
        mixed(call.operation, f"has a part that is not followed, a {type(module).__name__}")
    if type(module.norm) not in (type(None), nn.LayerNorm):
        mixed(call.operation, f"has a norm that is not followed, a {type(module.norm).__name__}")
    firsts = {_first_of(call, layer) for layer in module.layers}
    if len(firsts) > 1:
        mixed(call.operation, "has layers that take batches in different ways")
    return not firsts or firsts.pop()
