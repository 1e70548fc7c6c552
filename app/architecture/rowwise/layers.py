"""Rules of PyTorch's layers in mode `eval`, by their classes: most are a function of the catalogue with the layer's own
arguments, and are followed as that.

A layer without a rule is not followed. Called by `walk.py`; Sequential and blocks of one's own are followed there.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from app.architecture.rowwise import recurrent, transformers  # noqa: F401  # their rules
from app.architecture.rowwise.forms import ANYTHING, Drawn, Form, Value, has_rows, mixed
from app.architecture.rowwise.rules import follow

# A layer as a function: its name in the table of rules, and arguments besides those of the call.
As = Callable[[Any], tuple[str, dict[str, Value]]]
RANDOM = (nn.FractionalMaxPool2d, nn.FractionalMaxPool3d)


def follow_layer(module: nn.Module, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """Follows one call of a layer. Raises Mixed."""
    kind, name = type(module), type(module).__name__
    if kind in RANDOM:
        raise Drawn(name, "draws random numbers, others for a request alone than for one among others")
    if kind not in FUNCTIONS:
        return (
            mixed(name, "is not known to keep rows apart")
            if any(map(has_rows, (*args, *kwargs.values())))
            else ANYTHING
        )
    function, own = FUNCTIONS[kind](module)
    return follow(function, name, args, {**own, **kwargs})


def _with(name: str, *attributes: str, **fixed: Value) -> As:
    """The function `name`, given attributes of the layer by their own names."""

    def of(module: Any) -> tuple[str, dict[str, Value]]:
        return name, {**{key: plain(getattr(module, key)) for key in attributes}, **fixed}

    return of


def _itself(name: str) -> As:
    """The rule `name`, given the layer."""
    return lambda module: (name, {"module": module})


def plain(value: Any) -> Value:
    """An attribute of a layer as a value; tensors are forms."""
    if hasattr(value, "shape"):
        return Form(tuple(value.shape))
    return tuple(plain(part) for part in value) if isinstance(value, tuple | list) else value


def _batch_norm(module: Any) -> tuple[str, dict[str, Value]]:
    kept = {key: plain(getattr(module, key)) for key in ("running_mean", "running_var", "weight", "bias")}
    return "batch_norm", {**kept, "training": module.running_mean is None}


def _unflatten(module: Any) -> tuple[str, dict[str, Value]]:
    return "unflatten", {"dim": module.dim, "sizes": plain(module.unflattened_size)}


def _pad(module: Any) -> tuple[str, dict[str, Value]]:
    return "pad", {"pad": plain(module.padding)}


def _of_dimensions(count: int) -> dict[type[nn.Module], As]:
    """The layers that exist for one, two and three spatial dimensions."""
    functions = {
        "Conv{}d": _with(f"conv{count}d", "weight"),
        "ConvTranspose{}d": _with(f"conv_transpose{count}d", "weight"),
        "MaxPool{}d": _with(f"max_pool{count}d", "kernel_size", "return_indices"),
        "MaxUnpool{}d": _with(f"max_unpool{count}d"),
        "AvgPool{}d": _with(f"avg_pool{count}d", "kernel_size"),
        "LPPool{}d": _with(f"lp_pool{count}d", "norm_type", "kernel_size"),
        "AdaptiveAvgPool{}d": _with(f"adaptive_avg_pool{count}d", "output_size"),
        "AdaptiveMaxPool{}d": _with(f"adaptive_max_pool{count}d", "output_size", "return_indices"),
        "BatchNorm{}d": _batch_norm,
        "InstanceNorm{}d": _with("layer.instance_norm", rank=count + 2),
    }
    pads = ("Constant", "Zero", "Reflection", "Replication", "Circular")
    functions |= dict.fromkeys([kind + "Pad{}d" for kind in pads], _pad)
    return {getattr(nn, name.format(count)): function for name, function in functions.items()}


_TRANSFORMERS: tuple[type[nn.Module], ...] = (
    *(nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer),
    *(nn.TransformerEncoder, nn.TransformerDecoder, nn.Transformer),
)
_ELEMENTWISE = (
    *(nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU, nn.LogSigmoid),
    *(nn.Mish, nn.ReLU, nn.ReLU6, nn.RReLU, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Softshrink, nn.Softsign),
    *(nn.Tanh, nn.Tanhshrink, nn.Threshold, nn.Identity),
    *(nn.AlphaDropout, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.FeatureAlphaDropout),
)
FUNCTIONS: dict[type[nn.Module], As] = {
    **dict.fromkeys(_ELEMENTWISE, _with("clone")),
    **_of_dimensions(1),
    **_of_dimensions(2),
    **_of_dimensions(3),
    **dict.fromkeys((nn.RNN, nn.LSTM, nn.GRU), _itself("layer.RNN")),
    **dict.fromkeys((nn.RNNCell, nn.LSTMCell, nn.GRUCell), _itself("layer.RNNCell")),
    **{kind: _itself(f"layer.{kind.__name__}") for kind in _TRANSFORMERS},
    nn.Linear: _with("linear", "weight", "bias"),
    nn.Bilinear: _with("bilinear", "weight", "bias"),
    nn.PReLU: _with("prelu", "weight"),
    nn.GLU: _with("glu", "dim"),
    nn.Softmax: _with("softmax", "dim"),
    nn.LogSoftmax: _with("log_softmax", "dim"),
    nn.Softmin: _with("softmin", "dim"),
    nn.Softmax2d: _with("softmax", dim=-3),
    nn.Flatten: _with("flatten", "start_dim", "end_dim"),
    nn.Unflatten: _unflatten,
    nn.Fold: _with("fold", "output_size", "kernel_size"),
    nn.Unfold: _with("F.unfold", "kernel_size"),
    nn.PixelShuffle: _with("pixel_shuffle", "upscale_factor"),
    nn.PixelUnshuffle: _with("pixel_unshuffle", "downscale_factor"),
    nn.ChannelShuffle: _with("channel_shuffle", "groups"),
    nn.Upsample: _with("interpolate"),
    nn.UpsamplingNearest2d: _with("interpolate"),
    nn.UpsamplingBilinear2d: _with("interpolate"),
    nn.LayerNorm: _with("layer_norm", "normalized_shape"),
    nn.RMSNorm: _with("rms_norm", "normalized_shape"),
    nn.GroupNorm: _with("group_norm", "num_groups", "num_channels"),
    nn.LocalResponseNorm: _with("local_response_norm", "size"),
    nn.CrossMapLRN2d: _with("local_response_norm", "size"),
    nn.CosineSimilarity: _with("cosine_similarity", "dim"),
    nn.PairwiseDistance: _with("pairwise_distance", "keepdim"),
    nn.Embedding: _with("embedding", "weight", "max_norm"),
    nn.EmbeddingBag: _with("embedding_bag", "weight", "max_norm"),
}
