"""Which granules of storage an index touches: all that hold its elements, and no others."""

from hypothesis import given
from hypothesis import strategies as st

from app.tensors.index import read_index

sizes = st.lists(st.integers(1, 9), min_size=1, max_size=4)
parts = st.one_of(
    st.integers(-12, 12).map(str),
    st.builds(
        lambda a, b, c: f"{a}:{b}:{c}",
        st.integers(-12, 12),
        st.integers(-12, 12),
        st.integers(-4, 4).filter(bool),
    ),
    st.just(":"),
)


@given(sizes, st.lists(parts, max_size=4), st.sampled_from([1, 2, 8]), st.sampled_from([8, 16, 40, 1024]))
def test_touched_granules_are_those_that_hold_elements(shape, texts, item_bytes, granule):
    try:
        index = read_index(", ".join(texts[: len(shape)]) or "...", tuple(shape))
    except Exception:  # noqa: BLE001 - other tests say which indexes are refused
        return
    needed = {
        position
        for start, stop in index.byte_ranges(item_bytes)
        for position in range(start // granule, -(-stop // granule))
    }
    ranges = list(index.touched(item_bytes, granule))
    touched = {position for start, stop in ranges for position in range(start // granule, -(-stop // granule))}
    assert touched == needed
    assert ranges == sorted(ranges)
    assert len(ranges) <= 2 * len(needed)
