"""Running a network: the request's bytes become tensors, the tensors go through, the outputs become bytes.

Called by the handlers.
"""

from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import NamedTuple

import torch

from app.architecture.call import Called, call
from app.architecture.untouched import changes_of, untouched
from app.errors import in_place
from app.messages import Encoded, Mode, NetworkRef, RunForward, Updated
from app.settings import Settings
from app.store.tensors import TensorBytes
from app.tensors.buffers import bytes_of
from app.tensors.codecs.json_writing import dump, json_value
from app.tensors.codecs.registry import codec_of_body, codec_of_reply
from app.tensors.strict_json import read_json
from app.tensors.torch_dtypes import dtype_name
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

JSON = "application/json"
KEYS = ("inputs", "mode", "revision", "seed", "capture", "update_buffers", "move")
AS_IT_COMES: AbstractContextManager[None] = nullcontext()
JSON_BYTES_PER_ELEMENT = 12  # about what a float takes as text


class Request(NamedTuple):
    """What one request asks for."""

    inputs: Tensors
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
    request = read_request(worker, task)
    ref = at_revision(worker, task.network, request.revision)
    loaded = worker.residents.find(ref)
    loaded.set_mode(request.mode)
    seeded = AS_IT_COMES if request.seed is None else seeded_on(request.seed, worker.residents.device)
    with torch.inference_mode(), untouched(loaded.module), seeded:
        called = call(
            loaded.module,
            placed(request.inputs, worker.residents.device),
            capture=request.capture,
            limits=worker.limits,
            device=worker.residents.device,
            dtype=loaded.dtype,
        )
        check_size(called, task.accept, worker.settings)
        if request.update_buffers:
            return _keep_buffers(worker, task, loaded, called)
    return encode(called, task.accept, ref)


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
    reply = encode(called, task.accept, after)
    return Updated(reply=reply, base=base, manifest=manifest, names=[group.names[0] for group in groups])


def read_request(worker: Worker, task: RunForward) -> Request:
    """Reads the body. Raises: Malformed, UnsupportedMedia, Unprocessable."""
    codec = codec_of_body(task.content_type)
    if codec.media_type == JSON:
        return read_json_request(worker, task, read_json(task.body))
    inputs = codec.decode(task.body, limits=worker.limits)
    if isinstance(inputs, list):
        raise in_place("", "The inputs are one tensor or a dict of them by name, not a list.", code="bad-request")
    request = Request(inputs, task.mode, task.seed, task.revision, task.capture, task.update_buffers)
    return _checked(task, request)


def _checked(task: RunForward, request: Request) -> Request:
    """The request, if what it asks for goes together. Raises: Unprocessable."""
    if not request.update_buffers:
        return request
    if request.mode != "train":
        raise in_place("/update_buffers", 'Buffers change in mode "train" only; say so.', code="bad-request")
    if request.revision not in (None, task.network.revision):
        message = f"Buffers are updated at the newest revision, {task.network.revision}; restore an older one first."
        raise in_place("/revision", message, code="bad-request")
    return request


def read_json_request(worker: Worker, task: RunForward, body: object) -> Request:
    """As `read_request`, of a body that was parsed already."""
    document = read_object(body, KEYS)
    if len(document) == 1:  # inputs alone, as most say
        inputs = read_tensors_of(worker, document["inputs"], task.network, "/inputs")
        return _checked(task, Request(inputs, task.mode, task.seed, task.revision, task.capture, task.update_buffers))
    move = read_flag(document, "move", otherwise=False)
    capture = document.get("capture", task.capture)
    if not isinstance(capture, list) or not all(isinstance(path, str) for path in capture):
        raise in_place("/capture", "`capture` is a list of module paths.", code="bad-request")
    request = Request(
        read_tensors_of(worker, document["inputs"], task.network, "/inputs", move=move),
        read_mode(document, task.mode),
        read_integer(document, "seed", task.seed),
        read_integer(document, "revision", task.revision),
        capture,
        read_flag(document, "update_buffers", otherwise=task.update_buffers),
    )
    return _checked(task, request)


def check_size(called: Called, accept: str, settings: Settings) -> None:
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


def encode(called: Called, accept: str, ref: NetworkRef) -> Encoded:
    """Writes a reply as `accept`. Raises: NotAcceptable."""
    if accept == JSON:
        outputs = {name: json_value(value) for name, value in called.outputs.items()}
        captured = {path: json_value(value) for path, value in called.captured.items()}
        return Encoded(JSON, dump(json_reply(outputs, captured, ref)), ref.revision)
    tensors = called.outputs | {f"captured.{path}": tensor for path, tensor in called.captured.items()}
    return Encoded(accept, codec_of_reply(accept).encode(tensors), ref.revision)


def json_reply(
    outputs: dict[str, dict[str, object]], captured: dict[str, dict[str, object]], ref: NetworkRef
) -> object:
    """The body of a reply in JSON, of tensors that `json_value` made ready."""
    parts: dict[str, object] = {"outputs": outputs}
    if captured:
        parts["captured"] = captured
    return parts | {"revision": ref.revision, "device": ref.device}
