"""Bodies that are not what they claim to be: (what it tries, content type, bytes, status, code, pointer).

`JSON` goes to `POST /v1/networks`; `INPUTS` and `FILES` to the forward of a network that is `Linear(2, 2)`. Archives
and pickles are made here by hand; a pickle that ran would leave the file `CANARY`.
"""

import io
import json
import os
import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

CANARY = Path("/tmp/model_lab_canary")  # an attacker's choice, not ours
JSON_TYPE = "application/json"
NPY, NPZ, PT = "application/x-npy", "application/x-npz", "application/x-pytorch"
SAFETENSORS = "application/vnd.safetensors"

Row = tuple[str, str, bytes, int, str, str | None]


class _Attack:
    """Unpickling this makes the canary file."""

    def __reduce__(self) -> Any:
        return os.system, (f"touch {CANARY}",)


class _Loop:
    """Unpickling this builds numbers without end."""

    def __reduce__(self) -> Any:
        return pow, (10, 10**9)


def npy(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    padded = header.encode("latin-1") + b"\n"
    length = struct.pack("<H", len(padded)) if version == b"\x01\x00" else struct.pack("<I", len(padded))
    return b"\x93NUMPY" + version + length + padded + data


def described(descr: str, shape: str, data: bytes = b"", order: str = "False") -> bytes:
    return npy(f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}", data)


def object_array() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([_Attack()], dtype=object), allow_pickle=True)
    return stream.getvalue()


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(start: int, end: int, shape: list[Any] | None = None, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": [2] if shape is None else shape, "data_offsets": [start, end]}


def archive(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as made:
        for name, data in members:
            made.writestr(name, data)
    return stream.getvalue()


def pt(pickled: bytes, *members: tuple[str, bytes]) -> bytes:
    """A `.pt` file around a pickle of one's own."""
    return archive(("archive/data.pkl", pickled), ("archive/version", b"3\n"), *members, method=zipfile.ZIP_STORED)


def saved(value: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


BOMB = archive(("input.npy", described("'<f4'", "(50000000,)") + b"\x00" * 200_000_000))
SMALL = b"\x00" * 8

JSON: list[Row] = [
    ("nothing", JSON_TYPE, b"", 400, "malformed", None),
    ("half an object", JSON_TYPE, b'{"architecture": ', 400, "malformed", None),
    ("two documents", JSON_TYPE, b'{"architecture": "ReLU()"} {}', 400, "malformed", None),
    ("a trailing comma", JSON_TYPE, b'{"architecture": "ReLU()",}', 400, "malformed", None),
    ("single quotes", JSON_TYPE, b"{'architecture': 'ReLU()'}", 400, "malformed", None),
    ("a comment", JSON_TYPE, b'{"architecture": "ReLU()" /* x */}', 400, "malformed", None),
    (
        "a duplicate key",
        JSON_TYPE,
        b'{"architecture": "ReLU()", "architecture": "Linear(2, 2)"}',
        400,
        "malformed",
        None,
    ),
    (
        "a duplicate key by escape",
        JSON_TYPE,
        b'{"architecture": "ReLU()", "\\u0061rchitecture": "ReLU()"}',
        400,
        "malformed",
        None,
    ),
    (
        "a duplicate key deep inside",
        JSON_TYPE,
        b'{"architecture": {"type": "ReLU", "type": "ReLU"}}',
        400,
        "malformed",
        None,
    ),
    ("NaN", JSON_TYPE, b'{"architecture": "ReLU()", "seed": NaN}', 400, "malformed", None),
    ("infinity", JSON_TYPE, b'{"architecture": "ReLU()", "seed": -Infinity}', 400, "malformed", None),
    ("1e999", JSON_TYPE, b'{"architecture": "ReLU()", "seed": 1e999}', 400, "malformed", None),
    ("5,000 digits", JSON_TYPE, b'{"architecture": "ReLU()", "seed": ' + b"9" * 5000 + b"}", 400, "malformed", None),
    ("a leading zero", JSON_TYPE, b'{"architecture": "ReLU()", "seed": 007}', 400, "malformed", None),
    (
        "a seed past 64 bits",
        JSON_TYPE,
        b'{"architecture": "ReLU()", "seed": 99999999999999999999}',
        400,
        "malformed",
        None,
    ),
    ("a seed that is true", JSON_TYPE, b'{"architecture": "ReLU()", "seed": true}', 422, "invalid-request", "/seed"),
    ("a seed that is a float", JSON_TYPE, b'{"architecture": "ReLU()", "seed": 1.5}', 422, "invalid-request", "/seed"),
    ("a lone surrogate", JSON_TYPE, b'{"architecture": "\\ud800"}', 400, "malformed", None),
    ("a surrogate for a key", JSON_TYPE, b'{"\\udfff": 1, "architecture": "ReLU()"}', 400, "malformed", None),
    ("a NUL by escape", JSON_TYPE, b'{"name": "a\\u0000b", "architecture": "ReLU()"}', 400, "malformed", None),
    ("a NUL as it is", JSON_TYPE, b'{"name": "a\x00b", "architecture": "ReLU()"}', 400, "malformed", None),
    ("a control character", JSON_TYPE, b'{"name": "a\x01b", "architecture": "ReLU()"}', 400, "malformed", None),
    ("bytes that are no UTF-8", JSON_TYPE, b'{"name": "\xff\xfe", "architecture": "ReLU()"}', 400, "malformed", None),
    ("an overlong encoding", JSON_TYPE, b'{"name": "\xc0\xaf", "architecture": "ReLU()"}', 400, "malformed", None),
    ("UTF-16", JSON_TYPE, '{"architecture": "ReLU()"}'.encode("utf-16"), 400, "malformed", None),
    ("a byte order mark", JSON_TYPE, b'\xef\xbb\xbf{"architecture": "ReLU()"}', 400, "malformed", None),
    ("a list", JSON_TYPE, b"[1, 2]", 422, "invalid-request", ""),
    ("a text", JSON_TYPE, b'"ReLU()"', 422, "invalid-request", ""),
    ("null", JSON_TYPE, b"null", 422, "invalid-request", ""),
    ("100,000 brackets", JSON_TYPE, b"[" * 100_000, 400, "malformed", None),
    ("100,000 brackets that close", JSON_TYPE, b"[" * 100_000 + b"]" * 100_000, 400, "malformed", None),
    ("100,000 objects", JSON_TYPE, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 400, "malformed", None),
    (
        "a depth of 2,000 in labels",
        JSON_TYPE,
        b'{"labels": ' + b"[" * 2000 + b"]" * 2000 + b"}",
        400,
        "malformed",
        None,
    ),
    (
        "unknown keys",
        JSON_TYPE,
        b'{"architecture": "ReLU()", "__class__": 1, "constructor": 2}',
        422,
        "unknown-key",
        "/__class__",
    ),
    (
        "50 unknown keys",
        JSON_TYPE,
        json.dumps({f"k{n}": n for n in range(50)}).encode(),
        422,
        "invalid-request",
        "/architecture",
    ),
    (
        "a name with a slash",
        JSON_TYPE,
        b'{"name": "../../etc/passwd", "architecture": "ReLU()"}',
        422,
        "bad-name",
        "/name",
    ),
    ("a name that is a dot", JSON_TYPE, b'{"name": "..", "architecture": "ReLU()"}', 422, "bad-name", "/name"),
    ("a name that is empty", JSON_TYPE, b'{"name": "", "architecture": "ReLU()"}', 422, "bad-name", "/name"),
    (
        "a name of a megabyte",
        JSON_TYPE,
        b'{"name": "' + b"a" * 2**20 + b'", "architecture": "ReLU()"}',
        422,
        "bad-name",
        "/name",
    ),
    (
        "a name with SQL",
        JSON_TYPE,
        b'{"name": "a\'; DROP TABLE networks; --", "architecture": "ReLU()"}',
        422,
        "bad-name",
        "/name",
    ),
    (
        "a name with a line break",
        JSON_TYPE,
        b'{"name": "a\\r\\nX: y", "architecture": "ReLU()"}',
        422,
        "bad-name",
        "/name",
    ),
    (
        "a dtype that is none",
        JSON_TYPE,
        b'{"architecture": "ReLU()", "dtype": "object"}',
        422,
        "unsupported-dtype",
        "/dtype",
    ),
    (
        "a dtype of integers",
        JSON_TYPE,
        b'{"architecture": "Linear(2, 2)", "dtype": "int64"}',
        422,
        "unsupported-dtype",
        "/dtype",
    ),
    (
        "a device that is none",
        JSON_TYPE,
        b'{"architecture": "ReLU()", "device": "cuda:99"}',
        422,
        "unknown-device",
        "/device",
    ),
    (
        "a device that is a path",
        JSON_TYPE,
        b'{"architecture": "ReLU()", "device": "../../dev/mem"}',
        422,
        "unknown-device",
        "/device",
    ),
    (
        "labels that are a list",
        JSON_TYPE,
        b'{"architecture": "ReLU()", "labels": [1]}',
        422,
        "invalid-request",
        "/labels",
    ),
    ("a body that is too large", JSON_TYPE, b" " * (6 * 2**20), 413, "too-large", None),
    (
        "XML",
        "application/xml",
        b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
        415,
        "unsupported-media-type",
        None,
    ),
    ("a form", "application/x-www-form-urlencoded", b"architecture=ReLU()", 415, "unsupported-media-type", None),
    ("a multipart form", "multipart/form-data; boundary=x", b"--x\r\n\r\n--x--", 415, "unsupported-media-type", None),
    ("YAML", "application/yaml", b"!!python/object/apply:os.system ['true']", 415, "unsupported-media-type", None),
    ("plain text", "text/plain", b'{"architecture": "ReLU()"}', 415, "unsupported-media-type", None),
    (
        "JSON in another charset",
        "application/json; charset=utf-16",
        b'{"architecture": "\xff"}',
        415,
        "unsupported-media-type",
        None,
    ),
]

INPUTS: list[Row] = [
    ("an object for inputs", JSON_TYPE, b'{"inputs": {}}', 422, "bad-arguments", "/inputs/input"),
    ("null for inputs", JSON_TYPE, b'{"inputs": null}', 422, "bad-tensor", "/inputs"),
    ("a text for inputs", JSON_TYPE, b'{"inputs": "[[1, 2]]"}', 422, "bad-tensor", "/inputs"),
    ("true for inputs", JSON_TYPE, b'{"inputs": true}', 422, "bad-arguments", "/inputs"),
    ("no inputs", JSON_TYPE, b'{"mode": "eval"}', 422, "missing-input", ""),
    ("an unknown input", JSON_TYPE, b'{"inputs": {"__class__": [[1, 2]]}}', 422, "unknown-name", "/inputs/__class__"),
    ("ragged rows", JSON_TYPE, b'{"inputs": [[1, 2], [3]]}', 422, "bad-tensor", "/inputs/1"),
    ("a text among numbers", JSON_TYPE, b'{"inputs": [[1, "2"]]}', 422, "bad-tensor", "/inputs/0/1"),
    ("a null among numbers", JSON_TYPE, b'{"inputs": [[1, null]]}', 422, "bad-tensor", "/inputs/0/1"),
    ("an object among numbers", JSON_TYPE, b'{"inputs": [[1, {"$ref": "x"}]]}', 422, "bad-tensor", "/inputs/0/1"),
    (
        "100 dimensions",
        JSON_TYPE,
        b'{"inputs": ' + b"[" * 100 + b"1" + b"]" * 100 + b"}",
        422,
        "limit-exceeded",
        "/inputs",
    ),
    (
        "100,000 dimensions",
        JSON_TYPE,
        b'{"inputs": ' + b"[" * 100_000 + b"1" + b"]" * 100_000 + b"}",
        400,
        "malformed",
        None,
    ),
    (
        "a shape that promises terabytes",
        JSON_TYPE,
        b'{"inputs": {"shape": [1000000, 1000000], "data": [1]}}',
        422,
        "limit-exceeded",
        "/inputs/shape",
    ),
    (
        "a shape of nothing and everything",
        JSON_TYPE,
        b'{"inputs": {"shape": [0, 9223372036854775807], "data": []}}',
        422,
        "limit-exceeded",
        "/inputs/shape",
    ),
    (
        "a shape below zero",
        JSON_TYPE,
        b'{"inputs": {"shape": [-1, 2], "data": [1, 2]}}',
        422,
        "bad-tensor",
        "/inputs/shape/0",
    ),
    (
        "a shape of truths",
        JSON_TYPE,
        b'{"inputs": {"shape": [true, 2], "data": [1, 2]}}',
        422,
        "bad-tensor",
        "/inputs/shape/0",
    ),
    (
        "a shape of floats",
        JSON_TYPE,
        b'{"inputs": {"shape": [1.0, 2], "data": [1, 2]}}',
        422,
        "bad-tensor",
        "/inputs/shape/0",
    ),
    (
        "a shape of 100 sizes",
        JSON_TYPE,
        b'{"inputs": {"shape": [' + b"1, " * 99 + b'1], "data": [1]}}',
        422,
        "limit-exceeded",
        "/inputs/shape",
    ),
    (
        "a dtype that is code",
        JSON_TYPE,
        b'{"inputs": {"dtype": "torch.load", "data": [1, 2]}}',
        422,
        "bad-dtype",
        "/inputs/dtype",
    ),
    (
        "a dtype that is a number",
        JSON_TYPE,
        b'{"inputs": {"dtype": 5, "data": [1, 2]}}',
        422,
        "bad-dtype",
        "/inputs/dtype",
    ),
    (
        "an integer past its dtype",
        JSON_TYPE,
        b'{"inputs": {"dtype": "uint8", "data": [256, 0]}}',
        422,
        "bad-tensor",
        "/inputs/data/0",
    ),
    (
        "an integer past 64 bits",
        JSON_TYPE,
        b'{"inputs": {"dtype": "int64", "data": [9223372036854775808, 0]}}',
        422,
        "bad-tensor",
        "/inputs/data/0",
    ),
    (
        "a float past float16",
        JSON_TYPE,
        b'{"inputs": {"dtype": "float16", "data": [1e300, 0]}}',
        422,
        "bad-tensor",
        "/inputs/data/0",
    ),
    (
        "complex numbers",
        JSON_TYPE,
        b'{"inputs": {"dtype": "complex64", "data": [[1, 2], [3, 4]]}}',
        422,
        "bad-arguments",
        "/inputs",
    ),
    (
        "a tensor that is not there",
        JSON_TYPE,
        b'{"inputs": {"tensor": "../../etc/passwd"}}',
        422,
        "unknown-name",
        "/inputs",
    ),
    (
        "an unknown key of a tensor",
        JSON_TYPE,
        b'{"inputs": {"data": [1, 2], "__reduce__": 1}}',
        422,
        "unknown-key",
        "/inputs/__reduce__",
    ),
    ("the wrong width", JSON_TYPE, b'{"inputs": [[1, 2, 3]]}', 422, "shape-mismatch", "/inputs"),
    ("a mode that is none", JSON_TYPE, b'{"inputs": [[1, 2]], "mode": "exec"}', 422, "bad-request", "/mode"),
    ("a revision that is not there", JSON_TYPE, b'{"inputs": [[1, 2]], "revision": 99}', 404, "not-found", None),
    (
        "a revision past 64 bits",
        JSON_TYPE,
        b'{"inputs": [[1, 2]], "revision": 99999999999999999999}',
        400,
        "malformed",
        None,
    ),
    ("a revision below zero", JSON_TYPE, b'{"inputs": [[1, 2]], "revision": -1}', 404, "not-found", None),
    ("a revision that is true", JSON_TYPE, b'{"inputs": [[1, 2]], "revision": true}', 422, "bad-request", "/revision"),
    (
        "a capture by a dunder",
        JSON_TYPE,
        b'{"inputs": [[1, 2]], "capture": ["__class__"]}',
        422,
        "unknown-name",
        "/capture/0",
    ),
    ("a capture that is a text", JSON_TYPE, b'{"inputs": [[1, 2]], "capture": "0"}', 422, "bad-request", "/capture"),
    ("a capture of numbers", JSON_TYPE, b'{"inputs": [[1, 2]], "capture": [0]}', 422, "bad-request", "/capture"),
    ("an unknown key", JSON_TYPE, b'{"inputs": [[1, 2]], "grad": true}', 422, "unknown-key", "/grad"),
    ("a body that is too large", JSON_TYPE, b'{"inputs": [' + b"1," * (3 * 2**20), 413, "too-large", None),
]

FILES: list[Row] = [
    ("npy: nothing", NPY, b"", 400, "malformed", None),
    ("npy: only magic", NPY, b"\x93NUMPY\x01\x00", 400, "malformed", None),
    ("npy: another format", NPY, b"PK\x03\x04", 400, "malformed", None),
    ("npy: a pickle", NPY, pickle.dumps(_Attack()), 400, "malformed", None),
    ("npy: an object array", NPY, object_array(), 422, "bad-dtype", ""),
    ("npy: a header of 60 kB", NPY, npy("{" + " " * 60_000 + "}"), 400, "malformed", None),
    ("npy: a header of 4 GB", NPY, b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}", 400, "malformed", None),
    ("npy: a header that is code", NPY, npy("__import__('os').system('true')"), 400, "malformed", None),
    ("npy: a header that nests", NPY, npy("(" * 5000 + ")" * 5000), 400, "malformed", None),
    ("npy: a version of the future", NPY, npy("{}", version=b"\x09\x00"), 400, "malformed", None),
    ("npy: terabytes promised", NPY, described("'<f4'", "(1000000, 1000000)", SMALL), 422, "limit-exceeded", ""),
    (
        "npy: a size that wraps around",
        NPY,
        described("'<f4'", "(4611686018427387904, 4)", SMALL),
        422,
        "limit-exceeded",
        "",
    ),
    ("npy: a size below zero", NPY, described("'<f4'", "(-1, 2)", SMALL), 400, "malformed", None),
    ("npy: a size that is true", NPY, described("'<f4'", "(True, 2)", SMALL), 400, "malformed", None),
    ("npy: 100 dimensions", NPY, described("'<f4'", "(" + "1," * 100 + ")", SMALL[:4]), 422, "limit-exceeded", ""),
    ("npy: too few bytes", NPY, described("'<f4'", "(1, 2)", SMALL[:5]), 400, "malformed", None),
    ("npy: too many bytes", NPY, described("'<f4'", "(1, 2)", SMALL * 9), 400, "malformed", None),
    ("npy: fields", NPY, described("[('a', '<f4'), ('b', 'O')]", "(1,)", SMALL), 422, "bad-dtype", ""),
    ("npy: texts", NPY, described("'<U10'", "(1,)", SMALL * 5), 422, "bad-dtype", ""),
    ("npy: times", NPY, described("'<M8[s]'", "(1,)", SMALL), 422, "bad-dtype", ""),
    ("npy: a truth that is 7", NPY, described("'|b1'", "(2,)", b"\x01\x07"), 422, "bad-tensor", ""),
    ("safetensors: nothing", SAFETENSORS, b"", 400, "malformed", None),
    ("safetensors: a header past the end", SAFETENSORS, safetensors({}, length=2**63), 400, "malformed", None),
    ("safetensors: a header of 2 ** 64 - 1", SAFETENSORS, b"\xff" * 16, 400, "malformed", None),
    ("safetensors: a header that is no JSON", SAFETENSORS, safetensors(b"{nope"), 400, "malformed", None),
    ("safetensors: a header that nests", SAFETENSORS, safetensors(b"[" * 50_000), 400, "malformed", None),
    ("safetensors: a header of a list", SAFETENSORS, safetensors([]), 400, "malformed", None),
    (
        "safetensors: offsets past the end",
        SAFETENSORS,
        safetensors({"input": entry(0, 800, [200])}, SMALL),
        400,
        "malformed",
        None,
    ),
    ("safetensors: offsets that fall", SAFETENSORS, safetensors({"input": entry(8, 0)}, SMALL), 400, "malformed", None),
    (
        "safetensors: offsets below zero",
        SAFETENSORS,
        safetensors({"input": entry(-8, 0)}, SMALL),
        400,
        "malformed",
        None,
    ),
    (
        "safetensors: tensors that overlap",
        SAFETENSORS,
        safetensors({"a": entry(0, 8), "b": entry(4, 12)}, SMALL * 2),
        400,
        "malformed",
        None,
    ),
    ("safetensors: a hole", SAFETENSORS, safetensors({"a": entry(8, 16)}, SMALL * 2), 400, "malformed", None),
    (
        "safetensors: bytes after the end",
        SAFETENSORS,
        safetensors({"input": entry(0, 8)}, SMALL * 2),
        400,
        "malformed",
        None,
    ),
    (
        "safetensors: a shape that wraps around",
        SAFETENSORS,
        safetensors({"input": entry(0, 8, [2**62, 8])}, SMALL),
        422,
        "limit-exceeded",
        "/input/shape",
    ),
    (
        "safetensors: a size below zero",
        SAFETENSORS,
        safetensors({"input": entry(0, 8, [-2])}, SMALL),
        422,
        "bad-tensor",
        "/input/shape/0",
    ),
    (
        "safetensors: 100 dimensions",
        SAFETENSORS,
        safetensors({"input": entry(0, 4, [1] * 100)}, SMALL[:4]),
        422,
        "limit-exceeded",
        "/input/shape",
    ),
    (
        "safetensors: a dtype that is none",
        SAFETENSORS,
        safetensors({"input": entry(0, 8, dtype="F99")}, SMALL),
        422,
        "bad-dtype",
        "/input/dtype",
    ),
    (
        "safetensors: a truth that is 7",
        SAFETENSORS,
        safetensors({"input": entry(0, 2, dtype="BOOL")}, b"\x01\x07"),
        422,
        "bad-tensor",
        "/input",
    ),
    (
        "safetensors: one name twice",
        SAFETENSORS,
        safetensors(
            b'{"input":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"input":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
            SMALL,
        ),
        400,
        "malformed",
        None,
    ),
    (
        "safetensors: metadata that is none",
        SAFETENSORS,
        safetensors({"__metadata__": {"a": [1]}}),
        400,
        "malformed",
        None,
    ),
    ("safetensors: no tensor", SAFETENSORS, safetensors({}), 422, "bad-arguments", "/inputs/input"),
    (
        "safetensors: an unknown input",
        SAFETENSORS,
        safetensors({"../../x": entry(0, 8)}, SMALL),
        422,
        "unknown-name",
        "/inputs/..~1..~1x",
    ),
    ("npz: nothing", NPZ, b"", 400, "malformed", None),
    ("npz: no archive", NPZ, b"PK\x03\x04" + b"\x00" * 50, 400, "malformed", None),
    ("npz: a bomb of 200 MB", NPZ, BOMB, 422, "shape-mismatch", "/inputs/input"),
    ("npz: a pickle inside", NPZ, archive(("input.npy", object_array())), 422, "bad-dtype", "/input"),
    (
        "npz: a path that climbs",
        NPZ,
        archive(("../../../tmp/model_lab_canary.npy", described("'<f4'", "(2,)", SMALL))),
        422,
        "unknown-name",
        "/inputs/..~1..~1..~1tmp~1model_lab_canary",
    ),
    ("npz: a member that is no array", NPZ, archive(("input.npy", b"hello")), 400, "malformed", None),
    (
        "npz: a thousand members",
        NPZ,
        archive(*((f"a{n}.npy", described("'<f4'", "(2,)", SMALL)) for n in range(1500))),
        422,
        "unknown-name",
        "/inputs/a0",
    ),
    (
        "npz: an archive cut short",
        NPZ,
        archive(("input.npy", described("'<f4'", "(2,)", SMALL)))[:-30],
        400,
        "malformed",
        None,
    ),
    (
        "npz: a wrong checksum",
        NPZ,
        archive(("input.npy", described("'<f4'", "(2,)", SMALL)), method=0).replace(SMALL, b"\x01" * 8),
        400,
        "malformed",
        None,
    ),
    ("pt: nothing", PT, b"", 400, "malformed", None),
    ("pt: a pickle alone", PT, pickle.dumps(_Attack(), protocol=2), 400, "malformed", None),
    ("pt: an attack in an archive", PT, pt(pickle.dumps(_Attack(), protocol=2)), 422, "bad-tensor", None),
    (
        "pt: eval in an archive",
        PT,
        pt(b'cbuiltins\neval\n(S\'open("/tmp/model_lab_canary", "w")\'\ntR.'),
        422,
        "bad-tensor",
        None,
    ),
    ("pt: a number without end", PT, pt(pickle.dumps(_Loop(), protocol=2)), 422, "bad-tensor", None),
    ("pt: a pickle that never stops", PT, pt(b"(" * 100_000), 400, "malformed", None),
    ("pt: a memo past the end", PT, pt(b"\x80\x02j\xff\xff\xff\xff."), 400, "malformed", None),
    ("pt: a storage that is not there", PT, pt(pickle.dumps({"input": 1}, protocol=2)), 422, "bad-tensor", None),
    (
        "pt: a bomb",
        PT,
        archive(("archive/data.pkl", b"\x80\x02N."), ("archive/data/0", b"\x00" * 100_000_000)),
        400,
        "malformed",
        None,
    ),
    ("pt: a module", PT, saved(torch.nn.Linear(2, 2)), 422, "bad-tensor", None),
    ("pt: an optimizer's state", PT, saved({"state": {}, "param_groups": [{"lr": 0.1}]}), 422, "bad-tensor", None),
    ("pt: a list", PT, saved([torch.ones(1, 2)]), 422, "bad-request", ""),
    ("pt: a sparse tensor", PT, saved(torch.ones(2, 2).to_sparse()), 422, "bad-tensor", None),
    (
        "pt: a quantised tensor",
        PT,
        saved(torch.quantize_per_tensor(torch.ones(1, 2), 0.1, 0, torch.quint8)),
        422,
        "bad-tensor",
        None,
    ),
    (
        "pt: a view that reaches past its storage",
        PT,
        saved(torch.ones(1, 2)).replace(b"K\x01K\x02\x86", b"K\xffK\xff\x86"),
        400,
        "malformed",
        None,
    ),
    ("a pickle called octet-stream", "application/octet-stream", pickle.dumps(_Attack()), 400, "malformed", None),
    ("a gzip of JSON", "application/gzip", zlib.compress(b'{"inputs": [[1, 2]]}'), 415, "unsupported-media-type", None),
    ("a type of nonsense", "a" * 5000, b'{"inputs": [[1, 2]]}', 415, "unsupported-media-type", None),
    ("a pickle by its name", "application/x-pickle", pickle.dumps(_Attack()), 415, "unsupported-media-type", None),
]
