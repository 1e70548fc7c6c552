"""Files that are written piece by piece: PyTorch, NumPy and safetensors read them, and they say the same."""

import io
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch

from app.errors import NotAcceptable
from app.tensors.buffers import bytes_of
from app.tensors.dtypes import DTYPES
from app.tensors.file_writing import plan_file
from app.tensors.pt_pickle import Described, Kind
from app.tensors.torch_dtypes import dtype_name, torch_dtype


def write(format_name, tensors: dict[str, torch.Tensor], kind: Kind = "dict", piece_bytes: int = 7) -> bytes:
    items = list(tensors.items())
    described = [Described(name, dtype_name(tensor.dtype), tuple(tensor.shape)) for name, tensor in items]
    plan = plan_file(format_name, described, kind)

    def pieces():
        for number, position in enumerate(plan.order):
            data = bytes_of(items[position][1])
            for start in range(0, data.nbytes, piece_bytes):
                yield number, data[start : start + piece_bytes]

    body = b"".join(plan.write(pieces()))
    assert plan.size in (None, len(body))
    return body


def of_every_dtype(names=DTYPES) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for number, name in enumerate(names):
        raw = torch.randint(0, 2, (6 * DTYPES[name].item_bytes,), dtype=torch.uint8, generator=generator)
        tensors[f"layer {number}.{name}"] = raw.view(torch_dtype(name)).view(2, 3)
    return tensors


def same(left, right) -> bool:
    return (
        left.dtype == right.dtype
        and left.shape == right.shape
        and left.is_contiguous()
        and bytes(bytes_of(left)) == bytes(bytes_of(right))
    )


SHAPES = {"scalar": torch.tensor(1.5), "empty": torch.zeros(3, 0, 2), "one": torch.ones(1), "long": torch.arange(50.0)}


@pytest.mark.parametrize("mmap", [False, True])
def test_pytorch_reads_a_pt_file_of_every_dtype(tmp_path, mmap):
    tensors = of_every_dtype() | SHAPES
    (tmp_path / "state.pt").write_bytes(write("pt", tensors))
    read = torch.load(tmp_path / "state.pt", weights_only=True, mmap=mmap)
    assert list(read) == list(tensors)
    assert all(same(read[name], tensors[name]) for name in tensors)


def test_a_pt_file_may_hold_one_tensor_or_a_list():
    one = torch.load(io.BytesIO(write("pt", {"tensor": torch.arange(5)}, "tensor")), weights_only=True)
    assert torch.equal(one, torch.arange(5))
    several = torch.load(io.BytesIO(write("pt", {"0": torch.ones(2), "1": torch.zeros(3)}, "list")), weights_only=True)
    assert isinstance(several, list)
    assert [tuple(tensor.shape) for tensor in several] == [(2,), (3,)]
    assert torch.load(io.BytesIO(write("pt", {}, "list")), weights_only=True) == []
    assert torch.load(io.BytesIO(write("pt", {}, "dict")), weights_only=True) == {}


def test_storages_of_a_pt_file_lie_aligned_and_load_into_a_module():
    net = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.BatchNorm1d(5))
    body = write("pt", net.state_dict(), piece_bytes=1024)
    other = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.BatchNorm1d(5))
    other.load_state_dict(torch.load(io.BytesIO(body), weights_only=True))
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), other.state_dict().values(), strict=True))
    reader = torch._C.PyTorchFileReader(io.BytesIO(body))
    offsets = [reader.get_record_offset(name) for name in reader.get_all_records() if name.startswith("data/")]
    assert offsets
    assert all(offset % 64 == 0 for offset in offsets)


def test_numpy_reads_npz_and_npy():
    names = [name for name, dtype in DTYPES.items() if dtype.numpy]
    tensors = of_every_dtype(names) | SHAPES
    read = np.load(io.BytesIO(write("npz", tensors)), allow_pickle=False)
    assert list(read.files) == list(tensors)
    assert all(same(torch.from_numpy(read[name]), tensors[name]) for name in tensors)
    assert zipfile.ZipFile(io.BytesIO(write("npz", tensors))).testzip() is None
    for tensor in tensors.values():
        one = np.load(io.BytesIO(write("npy", {"tensor": tensor}, "tensor")), allow_pickle=False)
        assert same(torch.from_numpy(one), tensor)


def test_safetensors_reads_safetensors():
    names = [name for name, dtype in DTYPES.items() if dtype.safetensors]
    tensors = of_every_dtype(names) | SHAPES
    read = safetensors.torch.load(write("safetensors", tensors))
    assert set(read) == set(tensors)
    assert all(same(read[name], tensors[name]) for name in tensors)


def test_what_a_format_cannot_hold_is_refused_before_anything_is_written():
    with pytest.raises(NotAcceptable, match="npy cannot hold"):
        write("npz", {"a": torch.zeros(1, dtype=torch.bfloat16)})
    with pytest.raises(NotAcceptable, match="safetensors cannot hold"):
        write("safetensors", {"a": torch.zeros(1, dtype=torch.complex128)})
    with pytest.raises(NotAcceptable, match="holds one tensor"):
        write("npy", {"a": torch.zeros(1), "b": torch.zeros(1)})


def test_equal_tensors_make_equal_files():
    for format_name in ("safetensors", "npz", "pt"):
        assert write(format_name, SHAPES) == write(format_name, SHAPES, piece_bytes=1000)
