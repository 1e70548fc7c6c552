"""Tensors in JSON: equal to what PyTorch makes of the same values, exact both ways, and refused with a pointer."""

import json
import time

import numpy as np
import orjson
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st

from app.errors import LabError, Unprocessable
from app.settings import Limits
from app.tensors.codecs import json_body
from app.tensors.codecs.json_reading import TensorReference, looks_like_tensor, read_tensor
from app.tensors.codecs.json_writing import dump, json_value
from app.tensors.dtypes import DTYPES
from app.tensors.torch_dtypes import torch_dtype

LIMITS = Limits()


def _read(value: object, dtype: str = "float32") -> torch.Tensor:
    tensor = read_tensor(value, pointer="/inputs/x", dtype=dtype, limits=LIMITS)
    assert isinstance(tensor, torch.Tensor)
    return tensor


def _back(tensor: torch.Tensor) -> torch.Tensor:
    return _read(json.loads(dump(json_value(tensor))))


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def _random(dtype: str, *shape: int) -> torch.Tensor:
    """Random bits that are numbers: NaN has many patterns and only one name."""
    size = DTYPES[dtype].item_bytes
    if dtype == "bool":
        return torch.rand(shape) < 0.5
    bits = torch.randint(0, 256, (*shape, size), dtype=torch.uint8)
    tensor = bits.view(torch_dtype(dtype)).squeeze(-1)
    if DTYPES[dtype].kind == "integer":
        return tensor
    parts = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    wide = parts.to(torch.float64)
    return (
        torch.where(wide.isfinite(), wide, 1.0).to(parts.dtype) if not tensor.is_complex() else tensor.nan_to_num(1.0)
    )


@pytest.mark.parametrize("dtype", sorted(DTYPES))
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (7,), (50, 20), (2, 1, 3, 1)])
def test_every_dtype_comes_back_bit_for_bit(dtype: str, shape: tuple[int, ...]):
    torch.manual_seed(1)
    tensor = _random(dtype, *shape)
    back = _back(tensor)
    assert back.dtype == tensor.dtype
    assert back.shape == tensor.shape
    assert _bytes(back) == _bytes(tensor)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "float8_e5m2"])
@pytest.mark.parametrize("shape", [(6,), (2, 3), (6, 1, 1)])
def test_non_finite_numbers_are_names_both_ways(dtype: str, shape: tuple[int, ...]):
    tensor = (
        torch.tensor([1.5, float("nan"), -float("inf"), 0.0, float("inf"), -2.0]).to(torch_dtype(dtype)).view(shape)
    )
    sent = json.loads(dump(json_value(tensor)))
    flat = np.array(sent["data"], dtype=object).reshape(-1).tolist()
    assert flat == [1.5, "NaN", "-Infinity", 0.0, "Infinity", -2.0]
    back = _read(sent)
    assert back.dtype == tensor.dtype
    assert torch.equal(back.double(), tensor.double()) or torch.allclose(back.double(), tensor.double(), equal_nan=True)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_non_finite_scalar_is_a_name(value: float):
    sent = json.loads(dump(json_value(torch.tensor(value))))
    assert sent["shape"] == []
    assert sent["data"] in ("NaN", "Infinity", "-Infinity")
    assert torch.equal(_read(sent).nan_to_num(3.0), torch.tensor(value).nan_to_num(3.0))


@given(np_st.arrays(np.float32, np_st.array_shapes(max_dims=3), elements=st.floats(width=32)))
def test_any_float32_array_comes_back(array: np.ndarray):
    back = _back(torch.from_numpy(array.copy())).numpy()
    assert np.array_equal(back, array, equal_nan=True)
    assert np.array_equal(np.signbit(back[~np.isnan(array)]), np.signbit(array[~np.isnan(array)]))


@pytest.mark.parametrize("sign", [1, -1])
def test_the_one_float32_whose_shortest_digits_are_too_short_comes_back(sign: int):
    odd = torch.tensor([0x15AE43FD], dtype=torch.int32).view(torch.float32) * sign
    assert torch.equal(_back(odd), odd)
    assert torch.equal(_back(odd[0]), odd[0])
    beside = torch.cat([odd, torch.tensor([float("inf")])])
    assert torch.equal(_back(beside), beside)
    plain = json.loads(
        dump({"outputs": [json_value(odd), json_value(torch.tensor(7.038531e-26, dtype=torch.float64))]})
    )
    assert np.float32(plain["outputs"][0]["data"][0]) == odd.numpy()[0]
    assert plain["outputs"][1]["data"] == 7.038531e-26


@given(
    np_st.arrays(np.float64, np_st.array_shapes(max_dims=3), elements=st.floats(-1e38, 1e38, allow_nan=False)),
    st.sampled_from(["float64", "float32", "bfloat16"]),
)
def test_numbers_become_what_torch_makes_of_them(array: np.ndarray, dtype: str):
    values = array.tolist()
    expected = torch.tensor(values, dtype=torch_dtype(dtype))
    assert torch.equal(_read(values, dtype), expected)
    flat = {"dtype": dtype, "shape": list(array.shape), "data": array.reshape(-1).tolist()}
    assert torch.equal(_read(flat), expected)


def test_views_and_tensors_with_gradient_are_written_as_they_look():
    base = torch.arange(12.0, requires_grad=True).view(3, 4)
    for view in (base.T, base[:, ::2], base[1], base.expand(2, 3, 4)):
        assert torch.equal(_back(view), view.detach())
    assert torch.equal(_back(torch.tensor([1 + 2j]).conj()), torch.tensor([1 - 2j]))


def test_integers_without_a_dtype_take_the_floating_one():
    assert torch.equal(_read([1, 2]), torch.tensor([1.0, 2.0]))
    assert torch.equal(_read([1, 2.5], "float64"), torch.tensor([1, 2.5], dtype=torch.float64))
    assert torch.equal(_read(3, "bfloat16"), torch.tensor(3, dtype=torch.bfloat16))
    assert torch.equal(_read({"data": [[1]], "shape": [1, 1]}, "float16"), torch.ones(1, 1, dtype=torch.float16))


def test_booleans_without_a_dtype_are_booleans():
    assert torch.equal(_read([[True], [False]]), torch.tensor([[True], [False]]))


def test_integers_keep_all_their_bits():
    edges = {"dtype": "int64", "data": [-(2**63), 2**63 - 1, 2**53 + 1]}
    assert _read(edges).tolist() == edges["data"]
    assert _read({"dtype": "uint64", "data": [2**64 - 1]}).tolist() == [2**64 - 1]


def test_complex_numbers_are_pairs():
    tensor = _read({"dtype": "complex64", "data": [[[1, 2], [3.5, -4]]]})
    assert torch.equal(tensor, torch.tensor([[1 + 2j, 3.5 - 4j]]))
    assert torch.equal(
        _read({"dtype": "complex64", "shape": [2, 1], "data": [[1, 2], [3, 4]]}).T,
        _read({"dtype": "complex64", "data": [[[1, 2], [3, 4]]]}),
    )
    assert _read({"dtype": "complex128", "data": [1, 2]}).shape == ()


def test_empty_tensors_take_any_empty_data():
    assert _read([]).shape == (0,)
    assert _read([[], []]).shape == (2, 0)
    for data in ([], [[]], [[], []]):
        assert _read({"shape": [2, 0, 3], "data": data}).shape == (2, 0, 3)


def test_a_reference_is_given_back_with_its_place():
    value = read_tensor({"tensor": "x"}, pointer="/inputs/a", dtype="float32", limits=LIMITS)
    assert value == TensorReference("x", "/inputs/a")


def test_one_tensor_is_told_from_named_ones():
    for one in ([1], 3, {"data": [1]}, {"tensor": "x"}, {"dtype": "int8", "data": 1}):
        assert looks_like_tensor(one)
    for several in ({"x": [1]}, {"tensor": [1]}, {}):
        assert not looks_like_tensor(several)


@pytest.mark.parametrize(
    ("value", "code", "pointer", "words"),
    [
        ([[1, 2], [3]], "bad-tensor", "/1", "1 elements where its neighbours have 2"),
        ([[1, 2], 3], "bad-tensor", "/1", "a value among lists"),
        ([1, [2]], "bad-tensor", "/1", "a list among values"),
        ([[[1], [2]], [[3], 4]], "bad-tensor", "/1/1", "a value among lists"),
        ([[0, 1, 2, 3], [0, 1, 2, True]], "bad-tensor", "/1/3", "true where a number was expected"),
        ([True, 1], "bad-tensor", "/0", "true where"),
        ([1, None], "bad-tensor", "/1", "null where"),
        ([1, "2"], "bad-tensor", "/1", "'2' where a number was expected (the only texts"),
        (["nan"], "bad-tensor", "/0", "NaN"),
        ([1, {"a": 1}], "bad-tensor", "/1", "an object where"),
        (None, "bad-tensor", "", "null where"),
        ("x", "bad-tensor", "", "'x' where"),
        ([1e39], "bad-tensor", "/0", "1e+39 does not fit into float32"),
        ({"dtype": "int8", "data": [[1, 2], [3, 300]]}, "bad-tensor", "/data/1/1", "300 does not fit into int8 (-128"),
        ({"dtype": "uint8", "data": [-1]}, "bad-tensor", "/data/0", "-1 does not fit into uint8 (0 to 255)"),
        ({"dtype": "int64", "data": [2**63]}, "bad-tensor", "/data/0", "does not fit into int64"),
        ({"dtype": "int64", "data": [1, 1.5]}, "bad-tensor", "/data/1", "1.5 where an integer was expected"),
        ({"dtype": "int64", "data": [1, 2.0]}, "bad-tensor", "/data/1", "as the dtype is int64"),
        ({"dtype": "int64", "data": [True]}, "bad-tensor", "/data/0", "true where an integer"),
        ({"dtype": "int64", "data": ["NaN"]}, "bad-tensor", "/data/0", "'NaN' where an integer"),
        ({"dtype": "bool", "data": [True, 0, 2]}, "bad-tensor", "/data/2", "2 where true or false"),
        ({"dtype": "float16", "data": [65520.0]}, "bad-tensor", "/data/0", "float16"),
        ({"dtype": "complex64", "data": [1, 2, 3]}, "bad-tensor", "/data", "pairs [re, im]"),
        ({"shape": [2, 2], "data": [1, 2, 3]}, "shape-mismatch", "/data", "3 values where shape [2, 2] takes 4"),
        ({"shape": [4], "data": [[1, 2], [3, 4]]}, "shape-mismatch", "/data", "data of shape [2, 2] where shape [4]"),
        ({"shape": [2, -1], "data": [1]}, "bad-tensor", "/shape/1", "from 0 up"),
        ({"shape": [True], "data": [1]}, "bad-tensor", "/shape/0", "integer"),
        ({"shape": 3, "data": [1, 2, 3]}, "bad-tensor", "/shape", "a list of integers"),
        ({"shape": [2**40, 2**40], "data": [1]}, "limit-exceeded", "/shape", "bytes"),
        ({"shape": [0, 2**40, 2**40], "data": []}, "limit-exceeded", "/shape", "bytes"),
        ({"shape": [1] * 33, "data": [1]}, "limit-exceeded", "/shape", "33 dimensions"),
        ({"dtype": "float33", "data": [1]}, "bad-dtype", "/dtype", "'float33' is not a dtype"),
        ({"dtype": 7, "data": [1]}, "bad-dtype", "/dtype", "not a dtype"),
        ({"dtype": "int8"}, "bad-tensor", "", 'needs "data"'),
        ({"data": [1], "shap/e": [1]}, "unknown-key", "/shap~1e", "not 'shap/e'"),
        ({"tensor": "x", "data": [1]}, "unknown-key", "/data", "beside"),
        ({"tensor": 3}, "bad-tensor", "/tensor", "text"),
        ({"tensor": ""}, "bad-tensor", "/tensor", "text"),
    ],
)
def test_what_is_wrong_is_refused_at_its_place(value: object, code: str, pointer: str, words: str):
    with pytest.raises(Unprocessable) as caught:
        _read(value)
    place = caught.value.places[0]
    assert (caught.value.code, place.pointer) == (code, "/inputs/x" + pointer)
    assert words in place.message


def test_lists_nested_too_deep_are_refused():
    value: object = 1
    for _ in range(33):
        value = [value]
    with pytest.raises(Unprocessable) as caught:
        _read(value)
    assert caught.value.code == "limit-exceeded"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["dtype", "shape", "data", "tensor", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(json_values, st.sampled_from(sorted(DTYPES)))
def test_any_json_is_a_tensor_or_a_refusal_with_a_place(value: object, dtype: str):
    for candidate in (value, {"dtype": dtype, "data": value}):
        assert _place_of_refusal(candidate).startswith("/x")


def _place_of_refusal(value: object) -> str:
    """Where `value` is refused; "/x" if it is not."""
    try:
        read_tensor(value, pointer="/x", dtype="float32", limits=LIMITS)
    except LabError as error:
        return error.places[0].pointer
    return "/x"


def test_a_body_holds_one_tensor_or_named_ones():
    one = json_body.decode(b"[[1, 2]]", limits=LIMITS, dtype="float64")
    assert isinstance(one, torch.Tensor)
    assert one.dtype == torch.float64
    named = json_body.decode(json_body.encode({"a": torch.ones(2), "b": torch.tensor(3)}), limits=LIMITS)
    assert isinstance(named, dict)
    assert list(named) == ["a", "b"]
    assert named["b"].dtype == torch.int64
    with pytest.raises(Unprocessable) as caught:
        json_body.decode(b'{"a": {"tensor": "x"}}', limits=LIMITS)
    assert caught.value.places[0].pointer == "/a"


def test_a_small_reply_is_written_in_microseconds():
    tensor = torch.randn(2, 10)

    def seconds() -> float:
        start = time.thread_time()
        for _ in range(500):
            dump(json_value(tensor))
        return (time.thread_time() - start) / 500

    assert min(seconds() for _ in range(10)) < 60e-6  # 5 to 6 µs on a quiet machine
    assert orjson.loads(dump(json_value(tensor)))["dtype"] == "float32"
