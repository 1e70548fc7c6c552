"""Making a tensor on this worker's device: of a file, of values in JSON, or of an expression over other tensors there.

The one who asks need not know where the tensors of an expression are: the answer may be the device whose worker to
ask. Called by the handlers.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from app.db import placed_tensors
from app.db.placed_tensors import PlacedTensorRow
from app.errors import Conflict, Place, in_place, pointer_to
from app.language.compile import evaluate
from app.language.errors import LanguageError
from app.language.running import running
from app.language.syntax import Expression, parse_expression
from app.messages import Elsewhere, Encoded, MakeTensor, TensorMade, TensorRef
from app.store.tensors import TensorBytes
from app.tensors.buffers import bytes_of
from app.tensors.codecs.json_reading import TensorReference, read_tensor
from app.tensors.codecs.json_writing import dump, json_value
from app.tensors.codecs.registry import codec_of_body, codec_of_reply
from app.tensors.dtypes import find_dtype
from app.tensors.strict_json import read_json
from app.tensors.torch_dtypes import dtype_name, torch_dtype
from app.worker.context import Worker
from app.worker.placed_tensors import ENTRY, JSON, OBJECT_BYTES, keep_resident, resident_tensor
from app.worker.requests import read_integer, seeded_on

KEYS = ("name", "device", "fallback", "dtype", "seed", "expression", "tensors", "value", "shape", "data")
JSON_BYTES_PER_ELEMENT = 12  # about what a float takes as text
FORM = '{"value": [[1, 2]]}, {"dtype": "float32", "shape": [2], "data": [1, 2]} or {"expression": "ones(2, 3)"}'


class _Formula(NamedTuple):
    """An expression, the tensors that it names, and where it stands in the request."""

    expression: Expression
    rows: Mapping[str, PlacedTensorRow]
    dtype: torch.dtype | None
    seed: int | None
    pointer: str


def make_tensor(worker: Worker, task: MakeTensor) -> TensorMade | Encoded | Elsewhere:
    """Makes a tensor and keeps it, or tells it.

    Raises: Malformed, UnsupportedMedia, Unprocessable for the body; Conflict `device-mismatch` for tensors on several
    devices, or on another one than is asked for.
    """
    source = _read_source(worker, task)
    if isinstance(source, Tensor):
        tensor = source.to(worker.residency.device)
    else:
        device = _device_of(source, task.device)
        if device is not None and device != worker.device:
            return Elsewhere(device)
        tensor = _evaluated(worker, source)
    if task.tensor_id is None:
        return _told(worker, task, tensor)
    worker.residency.make_room(tensor.nbytes + OBJECT_BYTES, "The tensor")
    dtype, shape = dtype_name(tensor.dtype), tuple(tensor.shape)
    manifest = worker.store.put([(ENTRY, TensorBytes(dtype, shape, bytes_of(tensor)))])
    keep_resident(worker, task.tensor_id, tensor)
    return TensorMade(manifest, worker.device, dtype, list(shape), tensor.nbytes)


def _read_source(worker: Worker, task: MakeTensor) -> Tensor | _Formula:
    codec = codec_of_body(task.content_type)
    if codec.media_type == JSON:
        return _read_document(worker, task.workspace, read_json(task.body))
    decoded = codec.decode(task.body, limits=worker.limits)
    if isinstance(decoded, Tensor):
        return decoded
    found = list(decoded.values()) if isinstance(decoded, dict) else decoded
    if len(found) != 1:
        message = f"The file holds {len(found)} tensors, where one is wanted. Artifacts hold several."
        raise in_place("", message, code="bad-tensor")
    return found[0]


def _read_document(worker: Worker, workspace: str, document: object) -> Tensor | _Formula:
    if not isinstance(document, dict):
        raise in_place("", f"The body is an object such as {FORM}.", code="bad-request")
    for key in document:
        if key not in KEYS:
            message = f"{key[:60]!r} is not known here; known are {', '.join(KEYS)}."
            raise in_place(pointer_to(key), message, code="unknown-key")
    if sum(key in document for key in ("expression", "value", "data")) != 1:
        raise in_place("", f"Give one of `expression`, `value` and `data`: {FORM}.", code="bad-request")
    dtype = document.get("dtype")
    if dtype is not None:
        find_dtype(dtype, "/dtype")
    if "expression" in document:
        return _read_formula(worker, workspace, document)
    if "data" in document:
        given = {key: document[key] for key in ("dtype", "shape", "data") if key in document}
        read = read_tensor(given, pointer="", dtype="float32", limits=worker.limits)
    else:
        value = document["value"]
        wrapped = dtype is not None and not isinstance(value, dict)
        read = read_tensor(
            {"dtype": dtype, "data": value} if wrapped else value,
            pointer="/value",
            dtype=dtype or "float32",
            limits=worker.limits,
        )
    if isinstance(read, TensorReference):
        names = {"x": read.name}
        rows = _find_rows(worker, workspace, names, names, f"{read.pointer}/tensor")
        return _Formula(parse_expression("x", worker.limits), rows, None, None, read.pointer)
    return read


def _read_formula(worker: Worker, workspace: str, document: Mapping[str, object]) -> _Formula:
    text = document["expression"]
    if not isinstance(text, str):
        raise in_place("/expression", 'An expression is text, such as "Y + Z".', code="bad-expression")
    for key in ("shape", "data", "value"):
        if key in document:
            raise in_place(f"/{key}", "An expression says it all.", code="bad-request")
    names = document.get("tensors", {})
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        message = '`tensors` gives names of tensors to names in the expression: {"a": "my-tensor"}.'
        raise in_place("/tensors", message, code="bad-request")
    try:
        expression = parse_expression(text, worker.limits)
    except LanguageError as error:
        raise in_place("/expression", str(error), code=error.code) from None
    known = {name: name for name in expression.names} | names
    rows = _find_rows(worker, workspace, known, names, "/tensors")
    dtype = document.get("dtype")
    wanted = torch_dtype(dtype) if isinstance(dtype, str) else None
    return _Formula(expression, rows, wanted, read_integer(document, "seed", None), "/expression")


def _find_rows(
    worker: Worker, workspace: str, names: Mapping[str, str], needed: Mapping[str, str], pointer: str
) -> dict[str, PlacedTensorRow]:
    """The tensors behind names; one of `needed` must be there, another may be a word of the language."""
    rows: dict[str, PlacedTensorRow] = {}
    with worker.database.reading() as connection:
        for name, stored_name in names.items():
            row = placed_tensors.find(connection, workspace, stored_name)
            if row is not None:
                rows[name] = row
            elif name in needed:
                raise in_place(pointer, f"There is no tensor {stored_name[:128]!r}.", code="unknown-name")
    return rows


def _device_of(formula: _Formula, wanted: str | None) -> str | None:
    """The device that all its tensors are on, and that is asked for; None: any. Raises: Conflict."""
    rows = list(formula.rows.values())
    if not rows:
        return wanted
    for row in rows[1:]:
        if row.device != rows[0].device:
            _refuse(formula, rows[0], f"{row.name!r} on {row.device}", row.device)
    if wanted not in (None, rows[0].device):
        _refuse(formula, rows[0], f"{wanted} is asked for", str(wanted))
    return rows[0].device


def _refuse(formula: _Formula, first: PlacedTensorRow, other: str, device: str) -> None:
    message = (
        f"{first.name!r} is on {first.device} and {other}; values on two devices cannot be combined. "
        f"Copy one of them first, as in POST /v1/tensors/{first.name}/copy."
    )
    raise Conflict(
        message,
        code="device-mismatch",
        places=[Place(formula.pointer, message)],
        extra={"devices": [first.device, device]},
    )


def _evaluated(worker: Worker, formula: _Formula) -> Tensor:
    """The value of the expression: contiguous, and in memory of its own."""
    device = worker.residency.device
    values = {name: resident_tensor(worker, TensorRef(row.id, row.manifest)) for name, row in formula.rows.items()}
    made = formula.dtype if formula.dtype is not None and formula.dtype.is_floating_point else torch.float32
    seeded = nullcontext() if formula.seed is None else seeded_on(formula.seed, device)
    try:
        with torch.no_grad(), running(device=device, dtype=made, limits=worker.limits), seeded:
            value = evaluate(formula.expression, values, limits=worker.limits)
    except LanguageError as error:
        raise in_place(formula.pointer, str(error), code=error.code) from None
    if isinstance(value, bool | int | float | complex):
        value = torch.tensor(value, dtype=made if isinstance(value, float) else None, device=device)
    if not isinstance(value, Tensor):
        raise in_place(formula.pointer, "The expression gives no tensor and no number.", code="bad-output")
    if value.ndim > worker.limits.tensor_rank:
        message = f"It has {value.ndim} dimensions; at most {worker.limits.tensor_rank} are allowed."
        raise in_place(formula.pointer, message, code="limit-exceeded")
    if value.numel() * value.element_size() > worker.limits.tensor_bytes:
        message = f"It would take more than {worker.limits.tensor_bytes} bytes."
        raise in_place(formula.pointer, message, code="limit-exceeded")
    wanted = value if formula.dtype is None else value.to(formula.dtype)
    plain = wanted.resolve_conj().resolve_neg().contiguous()
    return plain if plain.untyped_storage().nbytes() == plain.nbytes and not _shares(plain, values) else plain.clone()


def _shares(tensor: Tensor, values: Mapping[str, Tensor]) -> bool:
    return any(tensor.untyped_storage().data_ptr() == value.untyped_storage().data_ptr() for value in values.values())


def _told(worker: Worker, task: MakeTensor, tensor: Tensor) -> Encoded:
    item_bytes = JSON_BYTES_PER_ELEMENT if task.accept == JSON else tensor.element_size()
    if tensor.numel() * item_bytes > worker.settings.reply_bytes:
        message = f"The value has {tensor.numel()} elements, more than a reply holds. Give it a name and read parts."
        raise in_place("/expression", message, code="limit-exceeded")
    if task.accept == JSON:
        return Encoded(JSON, dump(json_value(tensor) | {"device": worker.device}))
    return Encoded(task.accept, codec_of_reply(task.accept).encode({ENTRY: tensor.cpu()}))
