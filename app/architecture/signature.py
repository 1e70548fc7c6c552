"""What a network takes and gives, as far as that can be found out without being told: names, dtypes, shapes.

Shapes are guessed from the layers and tried on the `meta` device: a shape that goes through is right, and a size that
may as well be another is -1. Called by the worker, for protocols that ask for shapes and for exports without any.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product

import torch
from torch import Tensor, nn

from app.architecture.call import call, inputs_of
from app.architecture.own import OwnBlock
from app.errors import LabError
from app.settings import Limits

Shape = tuple[int, ...]
Spec = tuple[Shape, torch.dtype | None]  # None: the network's dtype

TRIES = 240  # calls on `meta` to find shapes that go through
LAYERS = 8  # layers that are looked at for each input
BATCH = 2
USUAL = (32, 28, 224, 64, 96, 16, 8, 299)
SIDES = (*USUAL, *(side for side in range(4, 65) if side not in USUAL))  # of images
STEPS = 6  # of sequences
_CHANNELS: dict[type[nn.Module], int] = {
    nn.Conv1d: 1,
    nn.Conv2d: 2,
    nn.Conv3d: 3,
    nn.ConvTranspose1d: 1,
    nn.ConvTranspose2d: 2,
    nn.ConvTranspose3d: 3,
}
_FEATURES: dict[type[nn.Module], int] = {nn.BatchNorm1d: 0, nn.BatchNorm2d: 2, nn.BatchNorm3d: 3}
_MODELS = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, nn.MultiheadAttention)


@dataclass(frozen=True)
class Described:
    """One input or output. A size of -1 may be any; `shape` None: nothing is known of it."""

    name: str
    dtype: torch.dtype | None
    shape: Shape | None


@dataclass(frozen=True)
class Signature:
    """Inputs that must be given, and outputs; `example` are inputs (on `meta`) that go through, None if none was found.

    `outputs` is None where they depend on values: what comes next is not decided by shapes alone.
    """

    inputs: tuple[Described, ...]
    outputs: tuple[Described, ...] | None
    example: Mapping[str, Tensor] | None


def find_signature(net: nn.Module, dtype: torch.dtype, limits: Limits) -> Signature:
    """Finds out what `net`, on `meta`, takes and gives. Never raises for what cannot be found."""
    known = inputs_of(net)
    names = [one.name for one in known if one.required] or [one.name for one in known[:1]]
    run = _runner(net, dtype, limits)
    found = _first_that_runs(net, names, run)
    if found is None:
        return Signature(tuple(Described(name, None, None) for name in names), None, None)
    shapes, outputs = found
    free, varied = _free_sizes(shapes, run)
    inputs = tuple(
        Described(
            name, spec[1] or dtype, tuple(-1 if (name, place) in free else size for place, size in enumerate(spec[0]))
        )
        for name, spec in shapes.items()
    )
    example = {name: torch.empty(shape, dtype=kind or dtype, device="meta") for name, (shape, kind) in shapes.items()}
    return Signature(inputs, None if outputs is None else _outputs(outputs, varied), example)


Outputs = Mapping[str, Tensor]
Runner = Callable[[Mapping[str, Spec]], tuple[bool, Outputs | None]]


def _runner(net: nn.Module, dtype: torch.dtype, limits: Limits) -> Runner:
    """Gives a function that tries shapes: whether they go through, and the outputs if values decide nothing."""

    def run(shapes: Mapping[str, Spec]) -> tuple[bool, Outputs | None]:
        given = {name: torch.empty(shape, dtype=kind or dtype, device="meta") for name, (shape, kind) in shapes.items()}
        try:
            with torch.inference_mode():
                return True, call(net, given, limits=limits).outputs
        except LabError as error:
            return error.code == "needs-values", None

    return run


def _first_that_runs(
    net: nn.Module, names: Sequence[str], run: Runner
) -> tuple[dict[str, Spec], Outputs | None] | None:
    if not names:
        works, outputs = run({})
        return ({}, outputs) if works else None
    guesses = list(dict.fromkeys(_guesses(net)))
    some = max(1, round(TRIES ** (1 / len(names))))
    for specs in islice(product(guesses[:some] if len(names) > 1 else guesses, repeat=len(names)), TRIES):
        shapes = dict(zip(names, specs, strict=True))
        works, outputs = run(shapes)
        if works:
            return shapes, outputs
    return None


def _guesses(net: nn.Module) -> Iterator[Spec]:
    """Shapes that the layers take, those of the first layers first."""
    looked_at = 0
    for module in net.modules():
        found = list(_of_layer(module))
        yield from found
        looked_at += bool(found)
        if looked_at == LAYERS:
            break
    yield from (((BATCH, 4), None), ((BATCH, 3, 32, 32), None), ((4,), None), ((BATCH, STEPS, 4), None))


def _of_layer(module: nn.Module) -> Iterator[Spec]:
    kind = type(module)
    if isinstance(module, nn.Linear):
        yield from (((BATCH, module.in_features), None), ((BATCH, STEPS, module.in_features), None))
    elif isinstance(module, nn.Embedding | nn.EmbeddingBag):
        yield from (((BATCH, STEPS), torch.int64), ((BATCH,), torch.int64))
    elif kind in _CHANNELS:
        assert isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.modules.conv._ConvTransposeNd)  # noqa: SLF001 - the base of three layers
        sides = SIDES if kind is not nn.Conv3d else (8, 16, 32)
        yield from (((BATCH, module.in_channels, *[side] * _CHANNELS[kind]), None) for side in sides)
    elif kind in _FEATURES:
        assert isinstance(module, nn.modules.batchnorm._NormBase)  # noqa: SLF001 - the base of three layers
        yield (BATCH, module.num_features, *[8] * _FEATURES[kind]), None
    elif isinstance(module, nn.LayerNorm):
        sizes = tuple(module.normalized_shape)
        yield from (((BATCH, *sizes), None), ((BATCH, STEPS, *sizes), None))
    elif isinstance(module, nn.RNN | nn.LSTM | nn.GRU):
        yield ((BATCH, STEPS, module.input_size) if module.batch_first else (STEPS, BATCH, module.input_size)), None
    elif isinstance(module, nn.RNNCell | nn.LSTMCell | nn.GRUCell):
        yield (BATCH, module.input_size), None
    elif isinstance(module, _MODELS):
        attention = module if isinstance(module, nn.MultiheadAttention) else module.self_attn
        yield (BATCH, STEPS, attention.embed_dim), None
    elif isinstance(module, OwnBlock):
        yield from _of_parameters(module)


def _of_parameters(block: OwnBlock) -> Iterator[Spec]:
    """Sizes of the parameters that a block uses itself, one of which its input likely has."""
    for value in [*block.parameters(recurse=False), *block.buffers(recurse=False)][:4]:
        for size in dict.fromkeys(value.shape):
            yield from (((BATCH, size), None), ((BATCH, STEPS, size), None))


def _free_sizes(shapes: Mapping[str, Spec], run: Runner) -> tuple[set[tuple[str, int]], list[Outputs]]:
    """The sizes that may be others as well, as (input, place), and the outputs with others there.

    The first sizes of all inputs change together, as those of a batch do.
    """
    free: set[tuple[str, int]] = set()
    varied: list[Outputs] = []
    together = {(name, 0) for name, (shape, _) in shapes.items() if shape}
    alone = [{(name, place)} for name, (shape, _) in shapes.items() for place in range(1, len(shape))]
    for places in [together, *alone]:
        works, outputs = run({name: (_changed(name, spec[0], places), spec[1]) for name, spec in shapes.items()})
        if works and places:
            free |= places
            varied += [] if outputs is None else [outputs]
    return free, varied


def _changed(name: str, shape: Shape, places: set[tuple[str, int]]) -> Shape:
    return tuple(size + 1 if (name, place) in places else size for place, size in enumerate(shape))


def _outputs(outputs: Outputs, varied: Sequence[Outputs]) -> tuple[Described, ...]:
    """Outputs with -1 for each size that follows a size of an input."""
    described = []
    for name, value in outputs.items():
        others = [other[name].shape for other in varied if name in other]
        shape: Shape | None = None
        if all(len(other) == value.ndim for other in others):
            shape = tuple(
                -1 if any(other[place] != size for other in others) else size for place, size in enumerate(value.shape)
            )
        described.append(Described(name, value.dtype, shape))
    return tuple(described)
