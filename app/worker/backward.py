"""Gradients: a forward, the gradient of a loss, and what is kept of it.

Gradients of inputs go out in the reply; those of parameters go into the store under the first names of their
parameters, and the service keeps them with the revision they belong to. The network on the device stays as it was.
Called by the handlers.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from app.architecture.call import call, inputs_of
from app.architecture.failures import describe_failure
from app.architecture.losses import Loss, evaluate_loss, read_loss, values_of
from app.architecture.untouched import untouched
from app.db import gradients
from app.errors import Conflict, Unavailable, in_place
from app.messages import Backpropagated, Encoded, Mode, NetworkRef, RunBackward
from app.tensors.codecs.json_writing import dump, json_data, json_value
from app.tensors.codecs.registry import codec_of_body, codec_of_reply
from app.tensors.media_types import MEDIA_TYPES
from app.tensors.strict_json import read_json
from app.worker.context import Worker
from app.worker.requests import (
    Tensors,
    at_revision,
    placed,
    read_flag,
    read_integer,
    read_mode,
    read_object,
    read_tensors_of,
    seeded_on,
)
from app.worker.residents import LoadedNetwork
from app.worker.summaries import summarise
from app.worker.transfer import bytes_of_each, read_tensors
from app.worker.warned import noted_warnings

JSON = "application/json"
KEYS = ("inputs", "targets", "loss", "mode", "seed", "revision", "accumulate", "move")
TARGETS = "targets."  # before the names of targets in a binary body
INPUTS = "inputs."  # may stand before the names of inputs


class _Request(NamedTuple):
    inputs: Tensors
    targets: Tensors
    loss: Loss
    mode: Mode
    seed: int | None
    revision: int | None
    accumulate: bool


def run_backward(worker: Worker, task: RunBackward) -> Backpropagated:
    """Takes the gradient of a loss in the inputs and in all parameters that are trained.

    Raises: Malformed, UnsupportedMedia, Unprocessable for the body; NotFound for the revision; Conflict
    `stale-gradients` where gradients of another revision are to be added to; what `call` raises.
    """
    request = _read_request(worker, task)
    ref = at_revision(worker, task.network, request.revision)
    added_to = _find_added_to(worker, ref) if request.accumulate else None
    loaded = worker.residents.find(ref)
    loaded.set_mode(request.mode)
    parameters = trained_parameters(worker, ref, loaded)
    with noted_warnings() as warned:
        loss, of_inputs, of_parameters = _backpropagate(worker, loaded, request, parameters)
    if added_to is not None:
        earlier = read_tensors(worker.store, worker.store.manifest(added_to), worker.residents.device)
        of_parameters = _sum(parameters, earlier, of_parameters)
    manifest = worker.store.put(bytes_of_each(of_parameters))
    reply = _encode(task.accept, ref, loss, of_inputs, of_parameters, warned)
    return Backpropagated(reply, ref, manifest, request.accumulate, added_to)


def _backpropagate(
    worker: Worker, loaded: LoadedNetwork, request: _Request, parameters: Mapping[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """The loss, and gradients by the names of inputs and of parameters; those that have none are left out."""
    net, device = loaded.module, worker.residents.device
    given, inputs = _leaves(net, placed(request.inputs, device))
    targets = placed(request.targets, device)
    seeded = nullcontext() if request.seed is None else seeded_on(request.seed, device)
    with untouched(net), seeded, _with_backward(net, device):
        called = call(net, given, limits=worker.limits, device=device, dtype=loaded.dtype)
        values = values_of(called.outputs, targets, inputs)
        loss = evaluate_loss(request.loss, called.outputs, values, dtype=loaded.dtype, limits=worker.limits)
        leaves = {name: leaf for name, leaf in inputs.items() if leaf.requires_grad}
        found = _differentiate(net, loss, [*leaves.values(), *parameters.values()], request.loss.pointer)
    of_inputs = zip(leaves, found[: len(leaves)], strict=True)
    of_parameters = zip(parameters, found[len(leaves) :], strict=True)
    return loss.detach(), _present(of_inputs), _present(of_parameters)


def _leaves(net: nn.Module, inputs: Tensors) -> tuple[Tensors, dict[str, Tensor]]:
    """The inputs as they are given to `call`, each a leaf of its own, and the same by name."""
    if isinstance(inputs, Tensor):
        leaf = _leaf(inputs)
        names = [one.name for one in inputs_of(net)]
        return leaf, dict.fromkeys(names[:1], leaf)
    leaves = {name: _leaf(tensor) for name, tensor in inputs.items()}
    return leaves, leaves


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_(tensor.is_floating_point() or tensor.is_complex())


def trained_parameters(worker: Worker, ref: NetworkRef, loaded: LoadedNetwork) -> dict[str, nn.Parameter]:
    """The parameters that a revision trains, each under its first name, and no others made to keep gradients."""
    flags = worker.layouts.flags(ref)
    layout = worker.layouts.find(ref.network_id)
    parameters = dict(loaded.module.named_parameters())
    for name, parameter in parameters.items():
        parameter.requires_grad_(flags.get(name, layout.group(name).requires_grad))
    return {name: parameter for name, parameter in parameters.items() if parameter.requires_grad}


def _with_backward(net: nn.Module, device: torch.device) -> AbstractContextManager[object]:
    """cuDNN's recurrent layers have a backward in mode `train` alone; PyTorch's own kernels have one in both."""
    if device.type == "cuda" and not net.training and any(isinstance(module, nn.RNNBase) for module in net.modules()):
        return torch.backends.cudnn.flags(enabled=False)
    return nullcontext()


def _differentiate(net: nn.Module, loss: Tensor, leaves: Sequence[Tensor], pointer: str) -> tuple[Tensor | None, ...]:
    """The gradient of `loss` in each of `leaves`, dense; None where it does not depend on one."""
    check_gradient(loss, pointer)
    try:
        found = torch.autograd.grad(loss, leaves, allow_unused=True)
    except Exception as error:
        told = describe_failure(net, error, {})
        raise told if isinstance(told, Unavailable) else in_place(pointer, told.detail, code=told.code) from error
    return tuple(gradient.to_dense() if gradient is not None and gradient.is_sparse else gradient for gradient in found)


def check_gradient(loss: Tensor, pointer: str) -> None:
    """Raises: Unprocessable `no-gradient`."""
    if not loss.requires_grad:
        message = (
            "The loss depends on no input and no parameter that has a gradient: all of them are frozen or cut off."
        )
        raise in_place(pointer, message, code="no-gradient")


def _present(gradients: Iterable[tuple[str, Tensor | None]]) -> dict[str, Tensor]:
    return {name: gradient for name, gradient in gradients if gradient is not None}


def _find_added_to(worker: Worker, ref: NetworkRef) -> str | None:
    """The manifest of the gradients that there are; None: none yet. Raises: Conflict where they are not of `ref`."""
    with worker.database.reading() as connection:
        row = gradients.find(connection, ref.network_id)
    if row is None:
        return None
    if row.number != ref.revision:
        raise Conflict(
            f"The gradients there are belong to revision {row.number}, and this would be added at {ref.revision}. "
            "Clear them (DELETE .../gradients), or leave out `accumulate`.",
            code="stale-gradients",
            extra={"grad_revision": row.number, "revision": ref.revision},
        )
    return row.manifest


def _sum(order: Iterable[str], earlier: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `loss.backward()` leaves in `grad` where something was there."""
    both = {name: earlier[name] + gradient if name in earlier else gradient for name, gradient in new.items()}
    both = {**earlier, **both}
    return {name: both[name] for name in order if name in both}


def _read_request(worker: Worker, task: RunBackward) -> _Request:
    codec = codec_of_body(task.content_type)
    if codec.media_type == JSON:
        return _read_json_request(worker, task, read_json(task.body))
    given = codec.decode(task.body, limits=worker.limits)
    if isinstance(given, list):
        raise in_place("", "The inputs are one tensor or a dict of them by name, not a list.", code="bad-request")
    inputs, targets = (given, {}) if isinstance(given, Tensor) else _split(given)
    loss = read_loss(task.loss, worker.limits)
    return _Request(inputs, targets, loss, task.mode, task.seed, task.revision, task.accumulate)


def _split(given: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Inputs and targets of a binary body; names of inputs hold no dots."""
    targets = {name.removeprefix(TARGETS): value for name, value in given.items() if name.startswith(TARGETS)}
    inputs = {name.removeprefix(INPUTS): value for name, value in given.items() if not name.startswith(TARGETS)}
    return inputs, targets


def _read_json_request(worker: Worker, task: RunBackward, body: object) -> _Request:
    document = read_object(body, KEYS)
    move = read_flag(document, "move", otherwise=False)
    return _Request(
        read_tensors_of(worker, document["inputs"], task.network, "/inputs", move=move),
        read_tensors_of(worker, document.get("targets", {}), task.network, "/targets", move=move),
        read_loss(document.get("loss", task.loss), worker.limits),
        read_mode(document, task.mode),
        read_integer(document, "seed", task.seed),
        read_integer(document, "revision", task.revision),
        read_flag(document, "accumulate", otherwise=task.accumulate),
    )


def _encode(
    accept: str,
    ref: NetworkRef,
    loss: Tensor,
    of_inputs: Mapping[str, Tensor],
    of_parameters: Mapping[str, Tensor],
    warned: Sequence[str],
) -> Encoded:
    """JSON tells all of it; `.npy` holds the gradient of the only input, and other formats the loss beside them."""
    if accept == JSON:
        reply: dict[str, object] = {
            "loss": json_data(loss),
            "input_gradients": {name: json_value(gradient) for name, gradient in of_inputs.items()},
            "parameter_gradients": {name: summarise(gradient) for name, gradient in of_parameters.items()},
            "revision": ref.revision,
            "device": ref.device,
        }
        if warned:
            reply["warnings"] = warned
        return Encoded(JSON, dump(reply), ref.revision)
    tensors = dict(of_inputs)
    if accept != MEDIA_TYPES["npy"]:
        tensors = {"loss": loss, **{f"input_gradients.{name}": gradient for name, gradient in of_inputs.items()}}
    return Encoded(accept, codec_of_reply(accept).encode(tensors), ref.revision)
