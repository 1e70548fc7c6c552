"""Page tokens and the headers of preconditions."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.paging import link_to_next, read_token, token_of
from app.api.preconditions import etag_of, read_idempotency_key, read_if_match
from app.errors import Malformed


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=100))
def test_a_token_is_read_back_as_the_name_it_was_made_of(name):
    assert read_token(token_of(name)) == name


@given(st.text(max_size=60))
def test_no_text_as_a_token_is_an_accident(text):
    try:
        name = read_token(text)
    except Malformed:
        return
    assert name is not None
    assert token_of(name).rstrip("=") == text.rstrip("=")


@pytest.mark.parametrize(
    "token",
    [
        "",
        "!",
        "x" * 600,
        base64.urlsafe_b64encode(b"2:a").decode(),
        base64.urlsafe_b64encode(b"1:\xff").decode(),
        base64.urlsafe_b64encode(b"1:a\0").decode(),
        "MTph\n",
        "MTph ",
        "MT+/",
    ],
)
def test_a_token_that_this_list_did_not_give_is_malformed(token):
    with pytest.raises(Malformed):
        read_token(token)


def test_the_link_keeps_the_query_and_takes_the_new_token():
    link = link_to_next("/v1/networks", [("page_size", "2"), ("page_token", "old")], "new")
    assert link == '</v1/networks?page_size=2&page_token=new>; rel="next"'


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        (None, None),
        ("*", None),
        (" * ", None),
        ('"1"', {"1"}),
        ('"1", "2"', {"1", "2"}),
        ('W/"1"', set()),
        ('W/"1", "2"', {"2"}),
        ('""', {""}),
        ("1", {"1"}),
        ('12, "3"', {"12", "3"}),
    ],
)
def test_if_match_is_read_as_a_set_of_strong_tags(text, tags):
    assert read_if_match(text) == tags


@pytest.mark.parametrize("text", ["1 2", "", '"1', '1"', '"1" "2"', '"a"b"', ",", 'w/"1"'])
def test_if_match_that_is_no_list_of_tags_is_malformed(text):
    with pytest.raises(Malformed):
        read_if_match(text)


def test_a_tag_is_what_if_match_reads():
    assert read_if_match(etag_of(12)) == {"12"}


@pytest.mark.parametrize(
    ("text", "key"), [(None, None), ("abc", "abc"), ('"abc"', "abc"), (" abc ", "abc"), ("x" * 255,) * 2]
)
def test_an_idempotency_key_may_stand_in_quotes(text, key):
    assert read_idempotency_key(text) == key


@pytest.mark.parametrize("text", ["", " ", "a b", "ä", "x" * 256, "a\tb"])
def test_an_idempotency_key_that_is_no_word_is_malformed(text):
    with pytest.raises(Malformed):
        read_idempotency_key(text)
