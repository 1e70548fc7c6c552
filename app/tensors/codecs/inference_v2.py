"""Tensors as the Open Inference Protocol (version 2) writes them: JSON, or JSON and raw little-endian bytes behind it.

Called by the worker with the bytes of a whole request, and for those of a whole reply. Knows no networks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from app.errors import Malformed, NotAcceptable, in_place, pointer_to
from app.settings import Limits
from app.tensors.booleans import check_booleans
from app.tensors.bounds import MOST_TENSORS
from app.tensors.buffers import bytes_of, tensor_over
from app.tensors.codecs.json_reading import read_tensor
from app.tensors.codecs.json_writing import dump, json_data
from app.tensors.datatypes import DATATYPES, dtype_of
from app.tensors.dtypes import Dtype, count_elements
from app.tensors.shapes import read_shape
from app.tensors.strict_json import read_json
from app.tensors.torch_dtypes import dtype_name

NOT_HERE = {  # parameters of extensions that would change what is answered
    "shared_memory_region": "shared memory is not used here; tensors travel with the request and the reply",
    "classification": "outputs are given as they are, not as classes",
}
INPUT_KEYS = ("name", "shape", "datatype", "parameters", "data")


@dataclass(frozen=True)
class Wanted:
    """An output that is asked for; `binary` None: as the request says for all."""

    name: str
    binary: bool | None


@dataclass(frozen=True)
class InferenceRequest:
    """One request, read. `outputs` None: all of them."""

    inputs: dict[str, Tensor]
    id: str | None = None
    outputs: tuple[Wanted, ...] | None = None
    binary: bool = False


@dataclass
class _Rest:
    """The bytes behind the JSON, taken from front to back."""

    body: memoryview
    at: int = 0

    def take(self, byte_count: int, pointer: str) -> memoryview:
        part = self.body[self.at : self.at + byte_count]
        if len(part) < byte_count:
            message = f"the body ends {byte_count - len(part)} bytes before the end of this tensor"
            raise Malformed(f"{message} ({pointer}).")
        self.at += byte_count
        return part


def read_request(body: bytes, header_length: int | None, limits: Limits) -> InferenceRequest:
    """Reads a request whose first `header_length` bytes are JSON; None: all of them.

    Raises: Malformed, Unprocessable with the place.
    """
    if header_length is not None and header_length > len(body):
        raise Malformed(f"Inference-Header-Content-Length is {header_length}, and the body has {len(body)} bytes.")
    end = len(body) if header_length is None else header_length
    document = read_json(memoryview(body)[:end])
    if not isinstance(document, dict):
        raise in_place("", 'The body is an object such as {"inputs": [...]}.', code="bad-request")
    rest = _Rest(memoryview(body)[end:])
    inputs = _inputs(document.get("inputs"), rest, limits)
    if rest.at < len(rest.body):
        raise Malformed(f"The body has {len(rest.body) - rest.at} bytes behind the last tensor.")
    request_id = document.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise in_place("/id", "`id` is text.", code="bad-request")
    parameters = _parameters(document, "")
    return InferenceRequest(
        inputs, request_id, _outputs(document.get("outputs")), parameters.get("binary_data_output") is True
    )


def _inputs(value: object, rest: _Rest, limits: Limits) -> dict[str, Tensor]:
    if not isinstance(value, list):
        raise in_place(
            "/inputs", "`inputs` is a list of tensors with name, shape, datatype and data.", code="bad-request"
        )
    if len(value) > MOST_TENSORS:
        raise in_place("/inputs", f"{len(value)} tensors; at most {MOST_TENSORS} are read", code="limit-exceeded")
    inputs: dict[str, Tensor] = {}
    for position, entry in enumerate(value):
        pointer = f"/inputs/{position}"
        name = _name(entry, pointer)
        if name in inputs:
            raise in_place(f"{pointer}/name", f"{name!r} is given twice", code="duplicate-name")
        assert isinstance(entry, dict)
        inputs[name] = _input(entry, rest, limits, pointer)
    return inputs


def _name(entry: object, pointer: str) -> str:
    if not isinstance(entry, dict):
        raise in_place(pointer, "a tensor is an object with name, shape, datatype and data", code="bad-request")
    name = entry.get("name")
    if not isinstance(name, str):
        raise in_place(f"{pointer}/name", "a tensor has a name", code="bad-request")
    return name


def _input(entry: Mapping[str, object], rest: _Rest, limits: Limits, pointer: str) -> Tensor:
    for key in entry:
        if key not in INPUT_KEYS:
            message = f"{key[:60]!r} is not known here; known are {', '.join(INPUT_KEYS)}."
            raise in_place(pointer + pointer_to(key), message, code="unknown-key")
    dtype = dtype_of(entry.get("datatype"), f"{pointer}/datatype")
    shape = read_shape(entry.get("shape"), dtype, limits, f"{pointer}/shape")
    size = _parameters(entry, pointer).get("binary_data_size")
    if size is None:
        if "data" not in entry:
            raise in_place(
                pointer, 'a tensor has "data", or "binary_data_size" among its parameters', code="bad-tensor"
            )
        value = {"dtype": dtype.name, "shape": list(shape), "data": entry["data"]}
        tensor = read_tensor(value, pointer=pointer, dtype=dtype.name, limits=limits)
        assert isinstance(tensor, Tensor)
        return tensor
    if "data" in entry:
        raise in_place(
            f"{pointer}/data", "the tensor comes behind the JSON, so there is no data in it", code="bad-tensor"
        )
    return _raw(rest, size, dtype, shape, pointer)


def _raw(rest: _Rest, size: object, dtype: Dtype, shape: tuple[int, ...], pointer: str) -> Tensor:
    wanted = count_elements(shape) * dtype.item_bytes
    if size != wanted or isinstance(size, bool):
        message = (
            f"a tensor of shape {list(shape)} and datatype {DATATYPES[dtype.name]} has {wanted} bytes, not {size!r:.40}"
        )
        raise in_place(f"{pointer}/parameters/binary_data_size", message, code="shape-mismatch")
    return tensor_of_bytes(rest.take(wanted, pointer), dtype, shape, pointer)


def tensor_of_bytes(data: memoryview, dtype: Dtype, shape: tuple[int, ...], pointer: str) -> Tensor:
    """A tensor over raw bytes, which are copied only where they do not lie as their dtype wants."""
    if dtype.kind == "boolean":
        check_booleans(data, pointer)
    address: int = np.frombuffer(data, np.uint8).__array_interface__["data"][0] if len(data) else 0
    return tensor_over(bytes(data) if address % dtype.item_bytes else data, dtype.name, shape)


def _parameters(owner: Mapping[str, object], pointer: str) -> Mapping[str, object]:
    value = owner.get("parameters")
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise in_place(f"{pointer}/parameters", "`parameters` is an object.", code="bad-request")
    for key, words in NOT_HERE.items():
        if key in value:
            raise in_place(f"{pointer}/parameters/{key}", words, code="bad-request")
    return value


def _outputs(value: object) -> tuple[Wanted, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise in_place("/outputs", "`outputs` is a list of objects with a name.", code="bad-request")
    wanted = []
    for position, entry in enumerate(value):
        pointer = f"/outputs/{position}"
        name = _name(entry, pointer)
        assert isinstance(entry, dict)
        binary = _parameters(entry, pointer).get("binary_data")
        if binary is not None and not isinstance(binary, bool):
            raise in_place(f"{pointer}/parameters/binary_data", "`binary_data` is true or false.", code="bad-request")
        wanted.append(Wanted(name, binary))
    return tuple(wanted) or None


def write_reply(
    model: str, version: str, request_id: str | None, outputs: Sequence[tuple[str, Tensor, bool]]
) -> tuple[bytes, int | None]:
    """A reply with outputs (name, tensor, whether in binary), and how much of it is JSON; None: all of it.

    Raises: NotAcceptable for a dtype that the protocol does not have.
    """
    listed: list[dict[str, object]] = []
    raw: list[memoryview] = []
    for name, tensor, binary in outputs:
        datatype = DATATYPES.get(dtype_name(tensor.dtype))
        if datatype is None:
            raise NotAcceptable(
                f"Output {name!r} is {dtype_name(tensor.dtype)}, for which this protocol has no datatype."
            )
        entry: dict[str, object] = {"name": name, "datatype": datatype, "shape": list(tensor.shape)}
        if binary:
            data = bytes_of(tensor)
            entry["parameters"] = {"binary_data_size": len(data)}
            raw.append(data)
        else:
            entry["data"] = json_data(tensor.reshape(-1))
        listed.append(entry)
    reply: dict[str, object] = {"model_name": model, "model_version": version}
    if request_id is not None:
        reply["id"] = request_id
    head = dump(reply | {"outputs": listed})
    return (b"".join([head, *raw]), len(head)) if any(binary for _, _, binary in outputs) else (head, None)
