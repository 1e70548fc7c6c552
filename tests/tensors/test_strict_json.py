"""Strict JSON: what is valid is read as orjson reads it; what is doubtful is refused with its line and column."""

import json
import random
import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Malformed, Unprocessable
from app.tensors.strict_json import read_json

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.sampled_from(
    ['"', "\\", '\\"', ":", "{", '{"a":1,"a":2}', "\\u0000", "1" * 25, "\n", "[", "é", "😀", "\\\\", '":', "}"]
)
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=30,
)


@given(values, st.booleans(), st.sampled_from([None, 1]))
def test_every_valid_value_is_read_whatever_its_strings_hold(value: object, ascii_only: bool, indent: int | None):
    body = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    assert read_json(body) == orjson.loads(body)
    assert read_json(memoryview(body)) == orjson.loads(body)


def _double_a_key(value: object, source: random.Random) -> str:
    """Writes JSON with one key of one object twice."""
    objects: list[dict[str, object]] = []

    def gather(item: object) -> None:
        if isinstance(item, dict):
            if item:
                objects.append(item)
            for inner in item.values():
                gather(inner)
        elif isinstance(item, list):
            for inner in item:
                gather(inner)

    gather(value)
    chosen = source.choice(objects)
    key = source.choice(list(chosen))

    def write(item: object) -> str:
        if isinstance(item, dict):
            pairs = [f"{json.dumps(k)}: {write(v)}" for k, v in item.items()]
            if item is chosen:
                pairs.insert(source.randrange(len(pairs) + 1), f"{json.dumps(key)}: {source.choice(['1', '{}', '[]'])}")
            return "{" + ", ".join(pairs) + "}"
        if isinstance(item, list):
            return "[" + ", ".join(map(write, item)) + "]"
        return json.dumps(item)

    return write(value)


@given(st.dictionaries(texts, values, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_every_doubled_key_is_refused_wherever_it_stands(value: dict[str, object], source: random.Random):
    with pytest.raises(Malformed, match="twice"):
        read_json(_double_a_key(value, source).encode())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "empty"),
        (b"[1,]", "line 1, column"),
        (b'{"a": 1,\n "b": 2,\n "a": 3}', "line 3, column 2: the key 'a' stands twice"),
        ('{"é": 1, "x": {"a": 1, "\\u0061": 2}}'.encode(), "line 1, column 24: the key 'a' stands twice"),
        (b"NaN", "line 1, column 1"),
        (b"[1e999]", "line 1, column 2"),
        (b"[" + b"1" * 400 + b".5]", "infinity"),
        (b"[" + b"1" * 400 + b"e1]", "infinity"),
        (b"[01]", "line 1, column"),
        (b"[1 2]", "line 1, column"),
        (b'["\\ud800"]', "line 1, column"),
        (b'["ab\\u0000"]', "line 1, column 5: strings may not hold the character NUL"),
        (b'{"\\\\\\u0000": 1}', "NUL"),
        (b"[" * 2000, "line 1, column 1026"),
        (b"\xef\xbb\xbf[]", "line 1"),
        (b'"\xff"', "line 1"),
        (b"[1] [2]", "line 1"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(body: bytes, message: str):
    with pytest.raises(Malformed) as caught:
        read_json(body)
    assert message in caught.value.detail


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"[" * 1025 + b"]" * 1025, "line 1, column 1026: at most 1024 levels"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "at most 1024 levels"),
        (b"[1,\n18446744073709551616]", "line 2, column 1: the integer does not fit into 64 bits"),
        (b"-9223372036854775809", "line 1, column 1:"),
        (b'{"a":-9999999999999999999}', "line 1, column 6:"),
        (b"1" * 200, "line 1, column 1:"),
        (b"1" * 5000, "line 1, column 1:"),
        ('["é",\n -'.encode() + b"1" * 5000 + b" ]", "line 2, column 2:"),
    ],
)
def test_what_exceeds_a_limit_is_told_with_its_place(body: bytes, place: str):
    with pytest.raises(Unprocessable) as caught:
        read_json(body)
    assert caught.value.code == "limit-exceeded"
    assert place in caught.value.detail


@pytest.mark.parametrize(
    "body",
    [
        b"18446744073709551615",
        b"-9223372036854775808",
        b"[0.12345678901234567890123]",
        b"[12345678901234567890123.0]",
        b"[12345678901234567890123e-5]",
        b"[1e0000000000000000000005]",
        b'["12345678901234567890123", 1]',
        b'["\\\\u0000"]',
        b'{"a": {"a": {"a": 1}}, "b": [{"a": 1}, {"a": 2}]}',
        b'{"a:b": "c:d{", "e": "\\":\\""}',
    ],
)
def test_what_only_looks_wrong_is_read(body: bytes):
    assert read_json(body) == orjson.loads(body)


@pytest.mark.parametrize("place", [0, 1, 65_500, 65_517, 65_518, 65_535, 65_536, 65_537, 131_072, 150_000])
@pytest.mark.parametrize(("number", "fits"), [(b"1" * 20, True), (b"2" * 20, False), (b"-" + b"9" * 19, False)])
def test_a_long_integer_is_judged_wherever_it_stands_in_a_large_body(place: int, number: bytes, fits: bool):
    filling = b"0.1234567890123456789012,"
    body = b"[" + b" " * (place - 1) + number + b"," + filling * 7000 + b"1]" if place else number + b" " * 70_000
    if fits:
        assert read_json(body) == orjson.loads(body)
    else:
        with pytest.raises(Unprocessable, match="64 bits"):
            read_json(body)


def test_ten_megabytes_of_numbers_are_read_nearly_as_fast_as_orjson_reads_them():
    source = random.Random(1)
    body = orjson.dumps({"inputs": [source.uniform(-1, 1) for _ in range(500_000)]})

    def seconds(read: object) -> float:
        start = time.thread_time()  # of this thread alone: others may be busy beside it
        read(body)  # type: ignore[operator]
        return time.thread_time() - start

    pairs = [(seconds(read_json), seconds(orjson.loads)) for _ in range(15)]
    assert min(strict for strict, _ in pairs) < 2.5 * min(plain for _, plain in pairs)  # 1.2 to 1.4 in quiet
