"""Files of tensors in and out of the store: what needs PyTorch, and what a client's file could make slow.

safetensors goes past the worker, straight between the HTTP process and the store. Called by the handlers.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import torch

from app.errors import Malformed, in_place, pointer_to
from app.messages import DescribeState, Encoded, KeepTensors, Kept, StateDescribed, WriteTensors
from app.settings import Limits
from app.store.tensors import TensorBytes
from app.store.writing import TensorWriter
from app.tensors.bounds import MOST_TENSORS, check_tensor_name
from app.tensors.buffers import bytes_of
from app.tensors.codecs.base import Tensors, named
from app.tensors.codecs.file_reading import FileTensor, file_tensor, read_npy_file, read_npz_file, read_pt_file
from app.tensors.codecs.json_reading import TensorReference, looks_like_tensor, read_tensor
from app.tensors.codecs.json_writing import dump, json_value
from app.tensors.codecs.registry import CODECS
from app.tensors.strict_json import read_json
from app.tensors.torch_dtypes import dtype_name
from app.worker.context import Worker
from app.worker.transfer import read_tensors

JSON = "application/json"
DEFAULT_DTYPE = "float32"


def describe_state(worker: Worker, task: DescribeState) -> StateDescribed:
    """Tells which names are one parameter. Raises: NotFound for the network or the prefix."""
    layout = worker.layouts.find(task.network_id)
    prefix, _ = layout.module(task.prefix)
    return StateDescribed(prefix=prefix, ties=[list(group.names) for group in layout.groups if len(group.names) > 1])


def keep_tensors(worker: Worker, task: KeepTensors) -> Kept:
    """Keeps what a file holds in the store. Raises: Malformed, Unprocessable, TooLarge for the file."""
    limits = worker.limits.model_copy(update={"tensor_bytes": worker.limits.parameter_bytes})
    if task.path is None:
        tensors = _decode(task, limits)
        return Kept(kind=_kind(tensors), manifest=worker.store.put(_named_bytes(tensors)))
    if task.format == "pt":
        mapped = read_pt_file(Path(task.path), limits)
        items = named(mapped, "pt").items()
        return Kept(kind=_kind(mapped), manifest=_keep(worker, (file_tensor(name, item) for name, item in items)))
    if task.format == "npy":
        return Kept(kind="tensor", manifest=_keep(worker, read_npy_file(Path(task.path), limits)))
    return Kept(kind="dict", manifest=_keep(worker, read_npz_file(Path(task.path), limits)))


def write_tensors(worker: Worker, task: WriteTensors) -> Encoded:
    """Writes stored tensors as JSON. Raises: Damaged."""
    stored = worker.store.manifest(task.manifest)
    read = read_tensors(worker.store, {name: stored[key] for name, key in task.names.items()}, torch.device("cpu"))
    values = {name: json_value(tensor) for name, tensor in read.items()}
    body: object = values
    if task.kind != "dict":
        body = list(values.values()) if task.kind == "list" else next(iter(values.values()))
    return Encoded(JSON, dump(body))


def _decode(task: KeepTensors, limits: Limits) -> Tensors:
    if task.format == "json":
        return _decode_json(task, limits)
    tensors = CODECS[task.format].decode(task.body, limits=limits)
    if isinstance(tensors, dict):
        for name in tensors:
            check_tensor_name(name)
    return tensors


def _decode_json(task: KeepTensors, limits: Limits) -> Tensors:
    """One tensor (nested lists, a number, `{"data"}`), a list of `{"data"}`, or an object of tensors by name."""
    document = read_json(task.body)
    if isinstance(document, list) and document and all(isinstance(item, dict) for item in document):
        return [_read(item, f"/{position}", DEFAULT_DTYPE, limits) for position, item in enumerate(document)]
    if looks_like_tensor(document):
        return _read(document, "", task.dtypes.get("", DEFAULT_DTYPE), limits)
    if not isinstance(document, dict):
        raise Malformed("The body is a tensor, a list of tensors, or an object of tensors by name.")
    if len(document) > MOST_TENSORS:
        raise in_place("", f"{len(document)} tensors; at most {MOST_TENSORS} are read", code="limit-exceeded")
    tensors = {}
    for name, value in document.items():
        check_tensor_name(name)
        tensors[name] = _read(value, pointer_to(name), task.dtypes.get(name, DEFAULT_DTYPE), limits)
    return tensors


def _read(value: object, pointer: str, dtype: str, limits: Limits) -> torch.Tensor:
    tensor = read_tensor(value, pointer=pointer, dtype=dtype, limits=limits)
    if isinstance(tensor, TensorReference):
        raise in_place(pointer, "the values are needed here, not the name of a tensor", code="bad-tensor")
    return tensor


def _kind(tensors: Tensors) -> Literal["tensor", "list", "dict"]:
    if isinstance(tensors, torch.Tensor):
        return "tensor"
    return "dict" if isinstance(tensors, dict) else "list"


def _named_bytes(tensors: Tensors) -> Iterator[tuple[str, TensorBytes]]:
    for name, tensor in named(tensors, "a file").items():
        yield name, TensorBytes(dtype_name(tensor.dtype), tuple(tensor.shape), bytes_of(tensor))


def _keep(worker: Worker, tensors: Iterable[FileTensor]) -> str:
    """Moves tensors from a file into the store, a few MiB at a time, and reports each. Returns the manifest."""
    writer = TensorWriter(worker.database)
    entries: list[tuple[str, str]] = []
    for tensor in tensors:
        writer.begin(tensor.dtype, tensor.shape)
        for piece in tensor.pieces():
            writer.feed(piece)
        entries.append((tensor.name, writer.end().digest))
        worker.turn.report(detail=dump({"tensors": len(entries)}))
    writer.flush()
    return worker.store.keep_manifest(entries)
