"""Files of tensors that are not what they claim to be, in rows as in `bodies.py`.

Archives and pickles are made here by hand; a pickle that ran would leave the file `CANARY`.
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

from tests.hostile.bodies import Row

NPY, NPZ, PT = "application/x-npy", "application/x-npz", "application/x-pytorch"
SAFETENSORS = "application/vnd.safetensors"
CANARY = Path("/tmp/model_lab_canary")  # an attacker's choice, not ours

SAFETENSORS = "application/vnd.safetensors"


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
    ("pt: a name with half of a pair", PT, saved({"a\ud800": torch.ones(1, 2)}), 422, "bad-name", None),
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
