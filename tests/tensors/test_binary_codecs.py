"""npy, safetensors, npz and pt: exchanged with NumPy, safetensors and PyTorch themselves; broken files are refused."""

import contextlib
import io
import random
import struct
import zipfile

import numpy as np
import orjson
import pytest
import safetensors.torch as library
import torch
from hypothesis import given
from hypothesis import strategies as st

from app.errors import LabError, Malformed, NotAcceptable, TooLarge, Unprocessable, UnsupportedMedia
from app.messages import frame, to_failure
from app.settings import Limits
from app.tensors.bounds import check_tensor_name
from app.tensors.codecs import npy, npz, pt, safetensors
from app.tensors.codecs.registry import CODECS, codec_of_body
from app.tensors.dtypes import DTYPES
from app.tensors.torch_dtypes import torch_dtype

LIMITS = Limits()
SHAPES = [(), (0,), (3, 0, 2), (5,), (4, 3), (2, 1, 3)]


def _random(dtype: str, *shape: int) -> torch.Tensor:
    if dtype == "bool":
        return torch.rand(shape) < 0.5
    return (
        torch.randint(0, 256, (*shape, DTYPES[dtype].item_bytes), dtype=torch.uint8)
        .view(torch_dtype(dtype))
        .squeeze(-1)
    )


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def _same(left: torch.Tensor, right: torch.Tensor) -> bool:
    return left.dtype == right.dtype and left.shape == right.shape and _bytes(left) == _bytes(right)


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.mark.parametrize("dtype", sorted(DTYPES))
@pytest.mark.parametrize("name", ["safetensors", "npz", "pt", "npy"])
def test_every_dtype_a_format_can_hold_comes_back_and_others_are_not_acceptable(name: str, dtype: str):
    codec = CODECS[name]  # type: ignore[index]
    holds = {"safetensors": DTYPES[dtype].safetensors, "pt": "all"}.get(name, DTYPES[dtype].numpy)
    for shape in SHAPES:
        tensor = _random(dtype, *shape)
        if holds is None:
            with pytest.raises(NotAcceptable, match=dtype):
                codec.encode({"x": tensor})
            continue
        back = codec.decode(codec.encode({"x": tensor}), limits=LIMITS)
        back = back if isinstance(back, torch.Tensor) else back["x"]  # type: ignore[call-overload]
        assert _same(back, tensor)


@pytest.mark.parametrize("view", [lambda t: t.T, lambda t: t[:, ::2], lambda t: t[1], lambda t: t.expand(2, 4, 6)])
def test_views_are_written_as_they_look(view):
    tensor = view(torch.arange(24.0).view(4, 6))
    for codec in CODECS.values():
        body = codec.encode({"x": tensor})
        assert len(body) < 2500
        back = codec.decode(body, limits=LIMITS)
        assert torch.equal(back if isinstance(back, torch.Tensor) else back["x"], tensor)


# --- npy and npz ---


@pytest.mark.parametrize("kind", ["<f4", ">f4", ">i8", "<c16", ">c8", "?", "|u1", "<u2", ">f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_numpy_are_read_whatever_their_byte_order_and_layout(kind: str, order: str):
    for shape in [(), (3,), (2, 3, 4), (0, 2)]:
        array = np.asarray(np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(kind), order=order)
        tensor = npy.decode(_npy(array), limits=LIMITS)
        assert np.array_equal(tensor.numpy(), array)
        assert tensor.shape == shape


def test_numpy_reads_what_is_written():
    tensor = torch.randn(3, 4)
    assert np.array_equal(np.load(io.BytesIO(npy.encode(tensor))), tensor.numpy())
    loaded = np.load(io.BytesIO(npz.encode({"a.weight": tensor, "b": torch.tensor(3)})))
    assert np.array_equal(loaded["a.weight"], tensor.numpy())
    assert loaded["b"] == 3


def test_archives_of_numpy_are_read_compressed_or_not():
    arrays = {"x": np.arange(6.0).reshape(2, 3), "block 0.w": np.ones(3, dtype=np.float32)}
    for save in (np.savez, np.savez_compressed):
        stream = io.BytesIO()
        save(stream, **arrays)
        read = npz.decode(stream.getvalue(), limits=LIMITS)
        assert list(read) == list(arrays)
        assert all(np.array_equal(read[name].numpy(), array) for name, array in arrays.items())


def test_a_contiguous_array_is_read_without_a_copy():
    body = bytearray(_npy(np.zeros(4, dtype=np.float32)))
    tensor = npy.decode(memoryview(body), limits=LIMITS)
    body[-4:] = struct.pack("<f", 5.0)
    assert tensor[3] == 5.0


def test_several_tensors_are_no_npy():
    with pytest.raises(NotAcceptable, match="2"):
        npy.encode({"a": torch.ones(1), "b": torch.ones(1)})
    assert npy.encode({"a": torch.ones(1)}) == npy.encode(torch.ones(1)) == npy.encode([torch.ones(1)])


def test_objects_texts_records_and_times_are_refused():
    arrays = [
        np.array([{}], dtype=object),
        np.array(["a"]),
        np.zeros(1, dtype=[("a", "f4")]),
        np.zeros(1, dtype="M8[s]"),
        np.zeros(1, dtype="V4"),
        np.zeros(1, dtype=np.longdouble),
    ]
    for array in arrays:
        stream = io.BytesIO()
        np.save(stream, array, allow_pickle=True)
        with pytest.raises(Unprocessable) as caught:
            npy.decode(stream.getvalue(), limits=LIMITS)
        assert caught.value.code == "bad-dtype"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x93NUMPY",
        b"PK\x03\x04",
        _npy(np.zeros(3))[:-1],
        _npy(np.zeros(3)) + b"x",
        _npy(np.zeros(3)).replace(b"(3,)", b"(-3)"),
        _npy(np.zeros(3)).replace(b"(3,)", b"(True,)"[:4]),
        _npy(np.zeros(3)).replace(b"NUMPY\x01", b"NUMPY\x09"),
        b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535,
    ],
)
def test_broken_arrays_are_malformed(body: bytes):
    with pytest.raises(Malformed):
        npy.decode(body, limits=LIMITS)


def test_a_header_that_promises_too_much_is_refused_before_memory_is_taken():
    with pytest.raises(Unprocessable) as caught:
        npy.decode(
            _npy(np.zeros(3)).replace(b"(3,), }      ", b"(3" + b"0" * 6 + b"00,), }")[:200],
            limits=Limits(tensor_bytes=100),
        )
    assert caught.value.code == "limit-exceeded"


def _zip(entries: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return stream.getvalue()


def test_archives_that_unpack_to_too_much_are_refused_unopened():
    bomb = _zip([("a.npy", _npy(np.zeros(4_000_000)))], zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    with pytest.raises(TooLarge, match="32000128"):
        npz.decode(bomb, limits=Limits(parameter_bytes=1_000_000))


def test_strange_archives_are_malformed():
    array = _npy(np.zeros(2))
    spoiled = bytearray(_zip([("a.npy", array)]))
    spoiled[60] ^= 1
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = _zip([("a.npy", array), ("a.npy", array)])
    for body in (
        twice,
        _zip([("a.txt", b"x")]),
        _zip([("a.npy", array)], zipfile.ZIP_BZIP2),
        bytes(spoiled),
        b"",
        b"PK\x05\x06",
        _zip([("a.npy", array)])[:-30],
    ):
        with pytest.raises(Malformed):
            npz.decode(body, limits=LIMITS)


# --- safetensors ---


def test_safetensors_are_exchanged_with_the_library():
    tensors = {f"{name}.x": _random(name, 3, 5) for name, dtype in DTYPES.items() if dtype.safetensors}
    theirs = library.load(safetensors.encode(tensors))
    assert all(_same(theirs[name], tensor) for name, tensor in tensors.items())
    ours = safetensors.decode(library.save(tensors), limits=LIMITS)
    assert all(_same(ours[name], tensor) for name, tensor in tensors.items())
    assert ours.keys() == theirs.keys() == tensors.keys()


def test_every_tensor_lies_aligned():
    body = safetensors.encode({"a": torch.ones(3, dtype=torch.bool), "b": torch.ones(3, dtype=torch.float64)})
    header = orjson.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])
    assert header["b"]["data_offsets"] == [0, 24]
    assert int.from_bytes(body[:8], "little") % 8 == 0


def _safetensors(header: object, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else orjson.dumps(header)
    return struct.pack("<Q", len(text)) + text + data


def _entry(dtype: str = "F32", shape: object = (1,), offsets: object = (0, 4)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    ("header", "data"),
    [
        (b"", b""),
        (b"[]", b""),
        (b"{", b""),
        (
            b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
            b"1234",
        ),
        ({"a": 1}, b""),
        ({"a": {**_entry(), "more": 1}}, b"1234"),
        ({"a": _entry(offsets=[0, 5])}, b"12345"),
        ({"a": _entry(offsets=[4, 0])}, b"1234"),
        ({"a": _entry(offsets=[0.0, 4])}, b"1234"),
        ({"a": _entry(offsets=[False, 4])}, b"1234"),
        ({"a": _entry(offsets=[1, 5])}, b"12345"),
        ({"a": _entry(), "b": _entry()}, b"1234"),
        ({"a": _entry()}, b"123"),
        ({"a": _entry()}, b"12345"),
        ({}, b"x"),
        ({"__metadata__": {"a": 1}}, b""),
        ({"__metadata__": []}, b""),
    ],
)
def test_broken_safetensors_are_malformed(header: object, data: bytes):
    with pytest.raises(Malformed):
        safetensors.decode(_safetensors(header, data), limits=LIMITS)


@pytest.mark.parametrize(
    ("entry", "data", "code", "pointer"),
    [
        (_entry("F4"), b"1234", "bad-dtype", "/a~1b/dtype"),
        (_entry(shape=[1] * 40), b"1234", "limit-exceeded", "/a~1b/shape"),
        (_entry(shape=[-1]), b"1234", "bad-tensor", "/a~1b/shape/0"),
        (_entry("BOOL", [3], [0, 3]), b"\x00\x01\x02", "bad-tensor", "/a~1b"),
    ],
)
def test_what_the_library_lets_pass_is_refused(entry: object, data: bytes, code: str, pointer: str):
    with pytest.raises(Unprocessable) as caught:
        safetensors.decode(_safetensors({"a/b": entry}, data), limits=LIMITS)
    assert (caught.value.code, caught.value.places[0].pointer) == (code, pointer)


def test_unnamed_tensors_are_refused():
    for name in ("", "x" * 2000):
        with pytest.raises(Unprocessable) as caught:
            safetensors.decode(_safetensors({name: _entry()}, b"1234"), limits=LIMITS)
        assert caught.value.code == "bad-name"


@pytest.mark.parametrize("name", ["a\ud800", "\udfffb", "a\0b", "", "x" * 2000, 7, ("a",)], ids=range(7))
def test_a_name_that_no_reply_could_hold_is_refused_in_words_that_one_can(name: object):
    stream = io.BytesIO()
    torch.save({name: torch.zeros(2)}, stream)
    with pytest.raises(Unprocessable) as caught:
        pt.decode(stream.getvalue(), limits=LIMITS)
    assert caught.value.code == "bad-name"
    assert frame(1, to_failure(caught.value))
    if isinstance(name, str):
        with pytest.raises(Unprocessable) as caught:
            check_tensor_name(name)
        assert frame(1, to_failure(caught.value))


def test_a_header_longer_than_the_file_is_malformed():
    for body in (b"", b"1234567", struct.pack("<Q", 2**63) + b"{}", struct.pack("<Q", 3) + b"{}"):
        with pytest.raises(Malformed):
            safetensors.decode(body, limits=LIMITS)


# --- pt ---


def _saved(value: object, **options: object) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


def test_files_of_plain_pytorch_load_here_and_files_from_here_load_there():
    net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    read = pt.decode(_saved(net.state_dict()), limits=LIMITS)
    assert isinstance(read, dict)
    assert list(read) == list(net.state_dict())
    assert all(torch.equal(read[name], value) for name, value in net.state_dict().items())
    written = torch.load(io.BytesIO(pt.encode(read)), weights_only=True)
    net.load_state_dict(written)


def test_one_tensor_and_a_list_keep_their_form():
    one = pt.decode(_saved(torch.nn.Parameter(torch.arange(3.0))), limits=LIMITS)
    assert isinstance(one, torch.Tensor)
    assert not one.requires_grad
    several = pt.decode(_saved([torch.ones(2), torch.zeros(3)]), limits=LIMITS)
    assert isinstance(several, list)
    assert [tensor.shape for tensor in several] == [(2,), (3,)]


class _Code:
    def __reduce__(self):
        return print, ("this must not be printed",)


def test_code_is_never_run(capsys: pytest.CaptureFixture[str]):
    for value in (_Code(), {"a": _Code()}, torch.nn.Linear(1, 1)):
        with pytest.raises(Unprocessable):
            pt.decode(_saved(value), limits=LIMITS)
    assert "this must not be printed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "value",
    [
        *(3, "x", None, [1], {"a": 1}, {1: torch.ones(1)}, {"": torch.ones(1)}, {"a": {"b": torch.ones(1)}}),
        *(torch.ones(2).to_sparse(), torch.ones(2, device="meta")),
    ],
)
def test_what_is_no_tensor_is_refused(value: object):
    with pytest.raises(Unprocessable):
        pt.decode(_saved(value), limits=LIMITS)


def test_a_tensor_that_strides_make_huge_is_refused():
    huge = torch.zeros(1).expand(10**6, 10**6)
    with pytest.raises(Unprocessable) as caught:
        pt.decode(_saved(huge), limits=LIMITS)
    assert caught.value.code == "limit-exceeded"


def test_broken_and_old_files_are_malformed():
    good = _saved(torch.ones(3))
    for body in (
        b"",
        good[:100],
        good[:-40],
        _saved(torch.ones(3), _use_new_zipfile_serialization=False),
        _zip([("a", b"")]),
    ):
        with pytest.raises(Malformed):
            pt.decode(body, limits=LIMITS)


# --- all ---


@pytest.mark.parametrize("name", sorted(CODECS))
@given(st.randoms(use_true_random=False))
def test_a_spoiled_body_is_read_or_refused_and_nothing_else(name: str, source: random.Random):
    codec = CODECS[name]  # type: ignore[index]
    tensor = torch.arange(6.0).view(2, 3)
    body = bytearray(codec.encode(tensor if name == "npy" else {"a": tensor, "b": torch.tensor([True, False])}))
    for _ in range(source.randint(1, 4)):
        body[source.randrange(len(body))] = source.randrange(256)
    with contextlib.suppress(LabError):
        codec.decode(bytes(body), limits=LIMITS)


def test_formats_are_found_by_media_type_and_by_name():
    assert codec_of_body("application/json; charset=utf-8").name == "json"
    assert codec_of_body("").name == "json"
    for media_type in ("application/vnd.safetensors", "application/X-safetensors", "application/octet-stream"):
        assert codec_of_body(media_type).name == "safetensors"
    assert codec_of_body("application/x-npy").name == "npy"
    with pytest.raises(UnsupportedMedia, match="text/csv"):
        codec_of_body("text/csv")
