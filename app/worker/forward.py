"""Running a network: the request's bytes become tensors, the tensors go through, the outputs become bytes.

The only place where a forward's body is read. Called by the handlers.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from itertools import chain
from typing import NamedTuple, cast

import torch
from torch import Tensor

from app.architecture.call import Called, call
from app.architecture.untouched import changes_of, untouched
from app.db import revisions
from app.errors import NotFound, in_place, pointer_to
from app.messages import Encoded, Mode, NetworkRef, RunForward, Updated
from app.settings import Settings
from app.store.tensors import TensorBytes
from app.tensors.buffers import bytes_of
from app.tensors.codecs.json_reading import TensorReference, looks_like_tensor, read_tensor
from app.tensors.codecs.json_writing import dump, json_value
from app.tensors.codecs.registry import codec_of_body, codec_of_reply
from app.tensors.strict_json import read_json
from app.tensors.torch_dtypes import dtype_name
from app.worker.artifacts import names_artifact, read_artifact, read_one
from app.worker.context import Worker
from app.worker.residents import LoadedNetwork

JSON = "application/json"
KEYS = ("inputs", "mode", "revision", "seed", "capture", "update_buffers")
SEEDS = range(-(2**63), 2**64)
REVISIONS = range(1, 2**63)
JSON_BYTES_PER_ELEMENT = 12  # about what a float takes as text


class _Request(NamedTuple):
    inputs: Tensor | Mapping[str, Tensor]
    mode: Mode
    seed: int | None
    revision: int | None
    capture: list[str]
    update_buffers: bool


def run_forward(worker: Worker, task: RunForward) -> Encoded | Updated:
    """Runs the network of `task` on its body and encodes what comes out as `task.accept`.

    With `update_buffers` what the layers did to their buffers is kept in the store, as a manifest for the next
    revision; the network on the device stays as it was.

    Raises: Malformed, UnsupportedMedia, Unprocessable for the body; NotFound for the revision; what `call` raises.
    """
    request = _read_request(worker, task)
    ref = at_revision(worker, task.network, request.revision)
    loaded = worker.residents.find(ref)
    loaded.set_mode(request.mode)
    seeded = nullcontext() if request.seed is None else _seeded(request.seed, worker.residents.device)
    with torch.inference_mode(), untouched(loaded.module), seeded:
        called = call(
            loaded.module,
            _placed(request.inputs, worker.residents.device),
            capture=request.capture,
            limits=worker.limits,
            device=worker.residents.device,
            dtype=loaded.dtype,
        )
        _check_size(called, task.accept, worker.settings)
        if request.update_buffers:
            return _keep_buffers(worker, task, loaded, called)
    return _encode(called, task.accept, ref)


def _keep_buffers(worker: Worker, task: RunForward, loaded: LoadedNetwork, called: Called) -> Updated:
    """Called before the buffers are put back: keeps them as they are now."""
    base = task.network
    layout = worker.layouts.find(base.network_id)
    written = {id(buffer) for module in changes_of(loaded.module).updated for buffer in module.buffers(recurse=False)}
    state = loaded.module.state_dict(keep_vars=True)
    groups = [group for name, group in layout.under("") if id(state[name]) in written]
    contents = (
        (group.names, TensorBytes(dtype_name(buffer.dtype), tuple(buffer.shape), bytes_of(buffer)))
        for group in groups
        for buffer in [state[group.names[0]]]
    )
    manifest = worker.store.derive(base.manifest, contents)
    after = NetworkRef(base.network_id, base.revision + 1, manifest, base.dtype, base.device)
    reply = _encode(called, task.accept, after)
    return Updated(reply=reply, base=base, manifest=manifest, names=[group.names[0] for group in groups])


def at_revision(worker: Worker, ref: NetworkRef, revision: int | None) -> NetworkRef:
    """The same network at another of its revisions. Raises: NotFound."""
    if revision is None or revision == ref.revision:
        return ref
    if revision not in REVISIONS:
        raise NotFound(f"Revisions are numbered from 1; the newest of this network is {ref.revision}.")
    row = None
    if revision < ref.revision:
        with worker.database.reading() as connection:
            row = revisions.find(connection, ref.network_id, revision)
    if row is None:
        raise NotFound(f"The network has no revision {revision}; its newest is {ref.revision}.")
    return NetworkRef(ref.network_id, revision, row.manifest, ref.dtype, ref.device)


def _read_request(worker: Worker, task: RunForward) -> _Request:
    codec = codec_of_body(task.content_type)
    if codec.media_type == JSON:
        return _read_json_request(worker, task, read_json(task.body))
    inputs = codec.decode(task.body, limits=worker.limits)
    if isinstance(inputs, list):
        raise in_place("", "The inputs are one tensor or a dict of them by name, not a list.", code="bad-request")
    request = _Request(inputs, task.mode, task.seed, task.revision, task.capture, task.update_buffers)
    if request.update_buffers:
        _check_update(task, request)
    return request


def _check_update(task: RunForward, request: _Request) -> None:
    if request.mode != "train":
        raise in_place("/update_buffers", 'Buffers change in mode "train" only; say so.', code="bad-request")
    if request.revision not in (None, task.network.revision):
        message = f"Buffers are updated at the newest revision, {task.network.revision}; restore an older one first."
        raise in_place("/revision", message, code="bad-request")


def _read_json_request(worker: Worker, task: RunForward, document: object) -> _Request:
    if not isinstance(document, dict):
        raise in_place("", 'The body is an object such as {"inputs": [[1, 2]]}.', code="bad-request")
    for key in document:
        if key not in KEYS:
            raise in_place(
                pointer_to(key), f"{key!r} is not known here; known are {', '.join(KEYS)}.", code="unknown-key"
            )
    if "inputs" not in document:
        raise in_place("", "`inputs` is missing: one tensor, or an object of tensors by name.", code="missing-input")
    mode = document.get("mode", task.mode)
    if mode not in ("eval", "train"):
        raise in_place("/mode", '`mode` is "eval" or "train".', code="bad-request")
    capture = document.get("capture", task.capture)
    if not isinstance(capture, list) or not all(isinstance(path, str) for path in capture):
        raise in_place("/capture", "`capture` is a list of module paths.", code="bad-request")
    update = document.get("update_buffers", task.update_buffers)
    if not isinstance(update, bool):
        raise in_place("/update_buffers", "`update_buffers` is true or false.", code="bad-request")
    request = _Request(
        _read_inputs(worker, document["inputs"], task.network),
        cast("Mode", mode),
        _integer(document, "seed", task.seed),
        _integer(document, "revision", task.revision),
        capture,
        update,
    )
    if update:
        _check_update(task, request)
    return request


def _integer(document: dict[str, object], key: str, otherwise: int | None) -> int | None:
    value = document.get(key, otherwise)
    if value is None or (type(value) is int and value in SEEDS):
        return value
    raise in_place(f"/{key}", f"`{key}` is an integer of 64 bits.", code="bad-request")


def _read_inputs(worker: Worker, inputs: object, ref: NetworkRef) -> Tensor | dict[str, Tensor]:
    """One tensor, or an object of tensors by name; numbers without a dtype take the network's."""
    if names_artifact(inputs):
        return read_artifact(worker, ref.network_id, inputs, "/inputs")
    if looks_like_tensor(inputs):
        return _read_tensor(worker, inputs, ref, "/inputs")
    assert isinstance(inputs, dict)
    return {name: _read_tensor(worker, value, ref, pointer_to("inputs", name)) for name, value in inputs.items()}


def _read_tensor(worker: Worker, value: object, ref: NetworkRef, pointer: str) -> Tensor:
    if names_artifact(value):
        return read_one(worker, ref.network_id, value, pointer)
    tensor = read_tensor(value, pointer=pointer, dtype=ref.dtype, limits=worker.limits)
    if isinstance(tensor, TensorReference):
        raise in_place(pointer, f"There is no tensor {tensor.name!r}.", code="unknown-name")
    return tensor


def _placed(inputs: Tensor | Mapping[str, Tensor], device: torch.device) -> Tensor | Mapping[str, Tensor]:
    if device.type == "cpu":
        return inputs
    if isinstance(inputs, Tensor):
        return inputs.to(device)
    return {name: tensor.to(device) for name, tensor in inputs.items()}


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """`torch.manual_seed(seed)` for what runs inside; the generators go on as before afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _check_size(called: Called, accept: str, settings: Settings) -> None:
    """Refuses what no format can hold, or no reply should: a view may be larger than any tensor that is made."""
    reply_bytes = 0
    for name, tensor in chain(called.outputs.items(), called.captured.items()):
        if tensor.ndim > settings.limits.tensor_rank:
            message = f"{name} has {tensor.ndim} dimensions; at most {settings.limits.tensor_rank} are allowed"
            raise in_place("/inputs", message, code="limit-exceeded")
        reply_bytes += tensor.numel() * (JSON_BYTES_PER_ELEMENT if accept == JSON else tensor.element_size())
    if reply_bytes > settings.reply_bytes:
        message = f"the outputs would take about {reply_bytes} bytes; a reply may have {settings.reply_bytes}"
        raise in_place("/inputs", message, code="limit-exceeded")


def _encode(called: Called, accept: str, ref: NetworkRef) -> Encoded:
    if accept == JSON:
        reply: dict[str, object] = {"outputs": {name: json_value(value) for name, value in called.outputs.items()}}
        if called.captured:
            reply["captured"] = {path: json_value(value) for path, value in called.captured.items()}
        reply["revision"] = ref.revision
        reply["device"] = ref.device
        return Encoded(JSON, dump(reply), ref.revision)
    tensors = called.outputs | {f"captured.{path}": tensor for path, tensor in called.captured.items()}
    return Encoded(accept, codec_of_reply(accept).encode(tensors), ref.revision)
