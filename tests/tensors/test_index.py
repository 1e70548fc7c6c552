"""Indexes as text mean what they mean to NumPy, for reading, for writing, and as bytes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Unprocessable
from app.tensors.index import parse_index, read_index
from app.tensors.selection import assign, select

shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)
bounds = st.integers(-7, 7).map(str) | st.just("")
steps = st.integers(-3, 3).filter(bool).map(lambda step: f":{step}") | st.sampled_from(["", ":"])
slices = st.builds(lambda start, stop, step: f"{start}:{stop}{step}", bounds, bounds, steps)


@st.composite
def indexed_shapes(draw: st.DrawFn) -> tuple[str, tuple[int, ...]]:
    shape = draw(shapes)
    parts = []
    for size in shape[: draw(st.integers(0, len(shape)))]:
        integer = st.integers(-size, size - 1).map(str) if size else slices
        parts.append(draw(slices | integer))
    for extra in draw(st.lists(st.just("None"), max_size=2)) + draw(st.sampled_from([[], ["..."]])):
        parts.insert(draw(st.integers(0, len(parts))), extra)
    return draw(st.sampled_from([", ", ",", " , "])).join(parts) or "...", shape


def _numpy(text: str, array: np.ndarray) -> np.ndarray:
    return array[eval(f"np.s_[{text}]")]


def _fits(text: str, shape: tuple[int, ...]) -> bool:
    try:
        _numpy(text, np.zeros(shape))
    except IndexError:
        return False
    return True


@given(indexed_shapes().filter(lambda pair: _fits(*pair)))
def test_reading_gives_what_numpy_gives(pair: tuple[str, tuple[int, ...]]):
    text, shape = pair
    array = np.arange(np.prod(shape, dtype=int), dtype=np.int16).reshape(shape)
    index = read_index(text, shape)
    expected = _numpy(text, array)
    assert index.shape == expected.shape
    assert np.array_equal(select(torch.from_numpy(array), index).numpy(), expected)


@given(indexed_shapes().filter(lambda pair: _fits(*pair)))
def test_writing_changes_what_numpy_changes(pair: tuple[str, tuple[int, ...]]):
    text, shape = pair
    array = np.zeros(shape, dtype=np.int64)
    index = read_index(text, shape)
    values = np.arange(1, 1 + np.prod(index.shape, dtype=int)).reshape(index.shape)
    tensor = torch.from_numpy(array.copy())
    assign(tensor, index, torch.from_numpy(values))
    array[eval(f"np.s_[{text}]")] = values
    assert np.array_equal(tensor.numpy(), array)
    assign(tensor, index, torch.tensor(-1))
    array[eval(f"np.s_[{text}]")] = -1
    assert np.array_equal(tensor.numpy(), array)


@given(indexed_shapes().filter(lambda pair: _fits(*pair)))
def test_byte_ranges_hold_exactly_the_elements_meant(pair: tuple[str, tuple[int, ...]]):
    text, shape = pair
    count = int(np.prod(shape))
    ranges = list(read_index(text, shape).byte_ranges(2))
    touched = [element for start, stop in ranges for element in range(start, stop)]
    meant = sorted(_numpy(text, np.arange(count).reshape(shape)).reshape(-1).tolist())
    assert touched == [byte for element in meant for byte in (2 * element, 2 * element + 1)]


@pytest.mark.parametrize(
    ("text", "shape", "ranges"),
    [
        (":", (4, 6), [(0, 96)]),
        ("1:3", (4, 6), [(24, 72)]),
        ("2", (4, 6), [(48, 72)]),
        ("1:3, 2:4", (4, 6), [(32, 40), (56, 64)]),
        ("::-1", (4, 6), [(0, 96)]),
        ("0, 0", (4, 6), [(0, 4)]),
        ("2:2", (4, 6), []),
    ],
)
def test_what_lies_together_is_one_range(text: str, shape: tuple[int, ...], ranges: list[tuple[int, int]]):
    assert list(read_index(text, shape).byte_ranges(4)) == ranges


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3", "3 is out of range for dimension 0, which has size 3"),
        ("0, -5", "-5 is out of range for dimension 1, which has size 4"),
        ("0, 0, 0", "the index has 3 parts and the tensor 2 dimensions"),
        ("", "part 1 of the index: nothing stands"),
        ("0,,1", "part 2 of the index: nothing stands"),
        ("..., ...", "'...' may stand once only"),
        ("::0", "the step of a slice may not be 0"),
        ("1:2:3:4", "more than two colons"),
        ("1.0", "'1.0' stands where"),
        ("x", "'x' stands where"),
        ("True", "'True' stands where"),
        ("__import__('os')", "stands where"),
        ("1_0", "stands where"),
        ("٣", "stands where"),
        ("9223372036854775808", "does not fit into 64 bits"),
        ("1" * 30, "stands where"),
        ("0" + ",0" * 1000, "at most 1024 characters"),
    ],
)
def test_what_is_wrong_is_refused_with_the_part_and_the_size(text: str, message: str):
    with pytest.raises(Unprocessable) as caught:
        read_index(text, (3, 4), pointer="/edits/0/index")
    assert caught.value.code == "bad-index"
    assert caught.value.places[0].pointer == "/edits/0/index"
    assert message in caught.value.detail


@pytest.mark.parametrize("text", ["[0, 1]", "[[0, 1]]", "[0], 1", "0, [1, 2]", "[0, :]", "]"])
def test_brackets_are_refused_since_they_may_mean_two_things(text: str):
    with pytest.raises(Unprocessable, match="without brackets") as caught:
        read_index(text, (3, 4))
    assert caught.value.code == "bad-index"


def test_spaces_and_a_last_comma_are_taken():
    assert parse_index(" 0, : ") == parse_index("0,:") == (0, slice(None))
    assert parse_index("0,") == (0,)
    assert parse_index("1 : 3") == (slice(1, 3),)


@given(st.text(max_size=20) | st.text("0123456789:.,-None []", max_size=20), shapes)
def test_any_text_is_an_index_or_a_refusal(text: str, shape: tuple[int, ...]):
    try:
        index = read_index(text, shape)
    except Unprocessable:
        return
    assert select(torch.zeros(shape), index).shape == index.shape
