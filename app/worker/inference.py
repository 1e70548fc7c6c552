"""Answering the Open Inference Protocol: a request's bytes in, a reply's bytes out. Called by the handlers."""

import time

import orjson
import torch
from torch import Tensor

from app.architecture.build import build_on_meta
from app.architecture.call import Called, call
from app.architecture.signature import Described, find_signature
from app.architecture.untouched import untouched
from app.db import networks
from app.errors import LabError, NotFound, in_place, pointer_to
from app.messages import FindSignature, Inferred, NetworkRef, RunInference, SignatureFound, TensorSpec
from app.tensors.codecs.inference_v2 import InferenceRequest, read_request, tensor_of_bytes, write_reply
from app.tensors.dtypes import DTYPES
from app.tensors.shapes import check_shape
from app.tensors.torch_dtypes import dtype_name, torch_dtype
from app.worker.compression import pack, unpack
from app.worker.context import Worker
from app.worker.forward import JSON, check_size
from app.worker.requests import placed


def run_inference(worker: Worker, task: RunInference) -> Inferred:
    """Runs a network, in mode eval, on a request of the protocol.

    Raises: Malformed, UnsupportedMedia, Unprocessable for the body; NotAcceptable for outputs that the protocol cannot
    hold; what `call` raises, at the place of the input in the request.
    """
    begun = time.perf_counter_ns()
    request = _read(worker, task)
    decoded = time.perf_counter_ns()
    called = _run(worker, task.network, request)
    ran = time.perf_counter_ns()
    outputs = _chosen(request, called)
    body, header_length = write_reply(task.name, str(task.network.revision), request.id, outputs)
    if task.reply_encoding:
        body = pack(body, task.reply_encoding)
    encoded = time.perf_counter_ns()
    return Inferred(body, header_length, decoded - begun, ran - decoded, encoded - ran)


def _read(worker: Worker, task: RunInference) -> InferenceRequest:
    body = task.body
    if task.encoding:
        settings = worker.settings
        most_bytes = settings.json_body_bytes if task.header_length is None else settings.body_bytes
        body = unpack(body, task.encoding, most_bytes)
    if task.header_length == 0:
        return InferenceRequest(_raw_input(worker, task.network, body), binary=True)
    return read_request(body, task.header_length, worker.limits)


def _raw_input(worker: Worker, ref: NetworkRef, body: bytes) -> dict[str, Tensor]:
    """A body that is nothing but the only input's bytes: its shape is the network's, one size found by counting."""
    found = find_network_signature(worker, FindSignature(ref))
    if len(found.inputs) != 1:
        raise in_place("", "A body without JSON is for networks with one input.", code="bad-request")
    (spec,) = found.inputs
    if spec.shape is None or spec.dtype is None or spec.shape.count(-1) > 1:
        raise in_place(
            "", "The input's shape is not known from the network alone; send it, in JSON.", code="bad-request"
        )
    dtype = DTYPES[spec.dtype]
    known = 1
    for size in spec.shape:
        known *= abs(size)
    count, rest = divmod(len(body), known * dtype.item_bytes) if known else (0, len(body))
    shape = tuple(count if size == -1 else size for size in spec.shape)
    if rest or (-1 not in spec.shape and count != 1):
        message = f"{len(body)} bytes are no tensor of shape {spec.shape} and dtype {spec.dtype}"
        raise in_place("/inputs/0", message, code="shape-mismatch")
    check_shape(shape, dtype, worker.limits, "/inputs/0")
    return {spec.name: tensor_of_bytes(memoryview(body), dtype, shape, "/inputs/0")}


def _run(worker: Worker, ref: NetworkRef, request: InferenceRequest) -> Called:
    loaded = worker.residents.find(ref)
    loaded.set_mode("eval")
    device = worker.residents.device
    try:
        with torch.inference_mode(), untouched(loaded.module):
            called = call(
                loaded.module, placed(request.inputs, device), limits=worker.limits, device=device, dtype=loaded.dtype
            )
            check_size(called, JSON, worker.settings)
    except LabError as error:
        raise _in_request(error, request) from error
    return called


def _in_request(error: LabError, request: InferenceRequest) -> LabError:
    """Inputs stand by position in a request of the protocol, not by name."""
    numbers = {pointer_to("inputs", name): f"/inputs/{number}" for number, name in enumerate(request.inputs)}
    error.places = tuple(
        place._replace(pointer=numbers.get(place.pointer, "/inputs")) if place.pointer.startswith("/inputs") else place
        for place in error.places
    )
    return error


def _chosen(request: InferenceRequest, called: Called) -> list[tuple[str, Tensor, bool]]:
    """The outputs that are asked for, in that order, and whether each goes in binary."""
    if request.outputs is None:
        return [(name, tensor, request.binary) for name, tensor in called.outputs.items()]
    chosen = []
    for position, wanted in enumerate(request.outputs):
        if wanted.name not in called.outputs:
            message = f"there is no output {wanted.name!r}; there are {', '.join(called.outputs)}"
            raise in_place(f"/outputs/{position}/name", message, code="unknown-name")
        binary = request.binary if wanted.binary is None else wanted.binary
        chosen.append((wanted.name, called.outputs[wanted.name], binary))
    return chosen


def find_network_signature(worker: Worker, task: FindSignature) -> SignatureFound:
    """Finds out what a network takes and gives, as far as its layers tell. Raises: NotFound when it was deleted."""
    ref = task.network
    with worker.database.reading() as connection:
        resolved = networks.find_resolved(connection, ref.network_id)
    if resolved is None:
        raise NotFound("The network was deleted meanwhile.")
    dtype = torch_dtype(ref.dtype)
    net = build_on_meta(orjson.loads(resolved), limits=worker.limits).to(dtype).eval()
    found = find_signature(net, dtype, worker.limits)
    outputs = None if found.outputs is None else [_spec(one) for one in found.outputs]
    return SignatureFound([_spec(one) for one in found.inputs], outputs)


def _spec(one: Described) -> TensorSpec:
    dtype = None if one.dtype is None else dtype_name(one.dtype)
    return TensorSpec(one.name, dtype, None if one.shape is None else list(one.shape))
