"""Every supported layer of torch.nn is built once and compared with PyTorch's own."""

import json

import pytest
import torch
from torch import nn

from app.architecture import initializers, layers
from app.architecture.build import build, build_on_meta
from app.architecture.layers import CONTAINERS, LAYERS
from tests.architecture.building import LIMITS, built, refused, resolved, same_state

SAMPLES = {
    "AdaptiveLogSoftmaxWithLoss": [8, 20, [5, 10]],
    "Bilinear": [2, 3, 4],
    "ConstantPad1d": [2, 0.5],
    "ConstantPad2d": [2, 0.5],
    "ConstantPad3d": [2, 0.5],
    "GroupNorm": [2, 4],
    "MultiheadAttention": [8, 2],
    "Threshold": [0.1, 20.0],
    "TransformerEncoder": [{"type": "TransformerEncoderLayer", "args": [8, 2]}, 2],
    "TransformerDecoder": ["TransformerDecoderLayer(8, 2)", 2],
    "TransformerEncoderLayer": [8, 2, 16],
    "TransformerDecoderLayer": [8, 2, 16],
    "Transformer": [8, 2, 1, 1, 16],
    "Unflatten": [1, [2, 3]],
    "LayerNorm": [[2, 3]],
    "FractionalMaxPool2d": [3, 2],
    "FractionalMaxPool3d": [3, 2],
}
TORCH = {
    "TransformerEncoder": lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2), 2),
    "TransformerDecoder": lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2), 2),
}
SUPPORTED = sorted(name for name, layer in LAYERS.items() if layer.reason is None and name not in CONTAINERS)


def sample(name):
    if name in SAMPLES:
        return SAMPLES[name]
    required = [parameter for parameter in LAYERS[name].parameters if parameter.required]
    return [{"a number": 2.0}.get(parameter.kind.words, 3) for parameter in required]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SUPPORTED)
def test_layer_has_the_state_that_pytorch_gives_it(name):
    args = sample(name)
    document = {"type": name, "args": args}
    ours = built(document)
    torch.manual_seed(7)
    theirs = (
        TORCH[name]()
        if name in TORCH
        else getattr(nn, name)(*(tuple(arg) if isinstance(arg, list) else arg for arg in args))
    )
    same_state(ours, theirs)
    assert str(ours) == str(theirs)
    meta = build_on_meta(resolved(document), limits=LIMITS)
    shapes = {key: (tensor.shape, tensor.dtype) for key, tensor in theirs.state_dict().items()}
    assert {key: (tensor.shape, tensor.dtype) for key, tensor in meta.state_dict().items()} == shapes
    assert all(tensor.is_meta for tensor in meta.state_dict().values())


@pytest.mark.filterwarnings("ignore")
def test_building_on_meta_and_resolving_draw_nothing():
    before = torch.get_rng_state()
    for name in SUPPORTED:
        build_on_meta(resolved({"type": name, "args": sample(name)}), limits=LIMITS)
    build_on_meta(
        {"constants": {"a": "rand(3)"}, "parameters": {"b": "randn(2) / float(rand(3).sum())"}}, limits=LIMITS
    )
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", sorted(name for name, layer in LAYERS.items() if layer.reason is not None))
def test_layer_that_cannot_be_described_says_why(name):
    words = refused({"type": name}, "unknown-layer", "/architecture/type")
    assert LAYERS[name].reason in words


def test_the_catalogue_lists_all_of_torch_nn_as_json():
    entries = {entry["type"]: entry for entry in json.loads(json.dumps(layers.catalogue()))}
    modules = {name for name, kind in vars(nn).items() if isinstance(kind, type) and issubclass(kind, nn.Module)}
    assert entries.keys() == modules
    linear = entries["Linear"]
    assert linear["supported"]
    assert linear["signature"] == "Linear(in_features, out_features, bias=True)"
    assert linear["arguments"]["required"] == ["in_features", "out_features"]
    assert linear["arguments"]["properties"]["bias"] == {"type": "boolean", "default": True}
    assert entries["LSTM"]["arguments"]["properties"]["proj_size"]["default"] == 0
    assert not entries["LazyLinear"]["supported"]


def test_the_catalogue_of_initialisers_lists_torch_nn_init():
    names = {entry["name"] for entry in json.loads(json.dumps(initializers.catalogue()))}
    assert {"normal_", "zeros_", "constant_", "xavier_uniform_", "uniform_", "orthogonal_"} <= names


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"type": "Linear", "args": [True, 2]}, "/architecture/args/0"),
        ({"type": "Linear", "args": [2, 2.0]}, "/architecture/args/1"),
        ({"type": "Linear", "args": [2, 3, 1]}, "/architecture/args/2"),
        ({"type": "Linear", "args": [2, 3, True, 4]}, "/architecture/args/3"),
        ({"type": "Linear", "args": [2, 3], "kwargs": {"bais": False}}, "/architecture/kwargs/bais"),
        ({"type": "Linear", "args": [2, 3], "kwargs": {"in_features": 2}}, "/architecture/kwargs/in_features"),
        ({"type": "Linear", "args": [2, 3], "kwargs": {"device": "cpu"}}, "/architecture/kwargs/device"),
        ({"type": "Linear", "args": [2, 3], "kwargs": {"dtype": "float64"}}, "/architecture/kwargs/dtype"),
        ({"type": "Linear", "args": [2]}, "/architecture"),
        ("Linear(True, 2)", "/architecture"),
        ("Linear(2, 'x')", "/architecture"),
        ("Conv2d(1, 1, (1, 2, 3))", "/architecture"),
        ("Conv2d(3, 4, 1, groups=2)", "/architecture"),
        ("Conv2d(1, 1, 1, padding_mode='odd')", "/architecture"),
        ("Embedding(3, 2, padding_idx=7)", "/architecture"),
        ("Linear(-1, 2)", "/architecture"),
        (["ReLU()", "Sigmoid(3)"], "/architecture/1"),
        (
            {"type": "Sequential", "layers": ["ReLU()", {"type": "Linear", "args": ["x", 2]}]},
            "/architecture/layers/1/args/0",
        ),
    ],
)
def test_arguments_that_a_layer_does_not_take_are_refused_where_they_stand(document, pointer):
    refused(document, "bad-arguments", pointer)


def test_the_words_of_a_refusal_hold_the_signature():
    assert "Linear(in_features, out_features, bias=True)" in refused("Linear(2)", "bad-arguments", "/architecture")
    words = refused({"type": "Linear", "kwargs": {"in_feature": 2}}, "bad-arguments", "/architecture/kwargs/in_feature")
    assert "did you mean in_features" in words


def test_lists_become_tuples_and_words_stay_words():
    net = built({"type": "Conv2d", "args": [1, 2, [3, 5]], "kwargs": {"padding": "same", "padding_mode": "circular"}})
    assert str(net) == str(nn.Conv2d(1, 2, (3, 5), padding="same", padding_mode="circular"))
    assert built({"type": "EmbeddingBag", "args": [3, 2], "kwargs": {"mode": "mean"}}).mode == "mean"
    assert built({"type": "RNN", "args": [3, 2], "kwargs": {"nonlinearity": "tanh"}}).nonlinearity == "tanh"


def test_a_loss_takes_its_weights_as_an_expression():
    net = built("CrossEntropyLoss(weight=tensor([1., 2., 3.]))")
    assert net.weight.tolist() == [1, 2, 3]
    meta = build_on_meta(resolved("CrossEntropyLoss(weight=tensor([1., 2., 3.]))"), limits=LIMITS)
    assert meta.weight.is_meta
    refused("CrossEntropyLoss(weight=rand(3))", "bad-expression", "/architecture")


def test_first_values_are_float32_whatever_the_process_default():
    torch.set_default_dtype(torch.float64)
    try:
        net = build(resolved({"parameters": {"w": "randn(3)"}, "children": {"a": "Linear(2, 2)"}}), limits=LIMITS)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {tensor.dtype for tensor in net.parameters()} == {torch.float32}


def test_an_encoder_may_be_made_of_a_layer_given_as_text():
    ours = built("TransformerEncoder(TransformerEncoderLayer(8, 2, batch_first=True), 2, norm=LayerNorm(8))")
    torch.manual_seed(7)
    theirs = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, batch_first=True), 2, norm=nn.LayerNorm(8))
    same_state(ours, theirs)
