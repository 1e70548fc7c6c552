"""Choosing a format, as RFC 9110 says."""

import pytest

from app.api.negotiation import JSON, NPY, SAFETENSORS, TEXT, choose, parse_accept, quality_of
from app.errors import NotAcceptable

OFFERED = (JSON, NPY, SAFETENSORS)


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/x-npy", NPY),
        ("APPLICATION/X-NPY", NPY),
        ("application/x-npy;q=0.5, application/json;q=0.4", NPY),
        ("application/x-npy, application/json", JSON),  # equals: the first that is offered
        ("application/json;q=0, */*", NPY),
        ("application/x-npy, */*", NPY),  # named, where the other is only allowed
        ("text/html, application/x-safetensors;q=0.1", SAFETENSORS),
        ("application/octet-stream", SAFETENSORS),
        ("*/*;q=0.1, application/x-npy;q=0.2", NPY),
        ("application/*;q=0.9, application/json;q=0.1", NPY),
        (";;, /, application/x-npy", NPY),
    ],
)
def test_accept_is_read_by_precision_and_weight(accept, chosen):
    assert choose(accept, None, OFFERED) == chosen


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "image/*", "nonsense", "application/json;q=x"])
def test_what_cannot_be_written_is_refused_with_what_can(accept):
    with pytest.raises(NotAcceptable, match="application/json"):
        choose(accept, None, (JSON, TEXT) if accept == "image/*" else (JSON,))


def test_the_format_in_the_query_wins_over_the_header():
    assert choose("application/json", "npy", OFFERED) == NPY
    assert choose("text/html", "NPY", OFFERED) == NPY
    for name in ("pt", "text", "xml", "", "x" * 1000):
        with pytest.raises(NotAcceptable) as caught:
            choose(None, name, OFFERED)
        assert len(caught.value.detail) < 400


def test_a_weight_is_kept_between_zero_and_one():
    assert [part.quality for part in parse_accept("a/b;q=7, a/c;q=-1, a/d;q=nan, a/e")][:2] == [1.0, 0.0]
    assert quality_of("a/b", parse_accept("a/*;q=0.3, a/b;q=0.2")) == (0.2, 2)
