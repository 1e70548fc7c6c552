"""Names of networks."""

import pytest

from app.errors import Unprocessable
from app.services.naming import check_name, is_name, made_up_name


def test_made_up_names_follow_the_rule_and_differ():
    names = {made_up_name() for _ in range(500)}
    assert len(names) == 500
    assert all(is_name(name) for name in names)


@pytest.mark.parametrize("name", ["", ".", "..", "-a", ".a", "a b", "a/b", "a\n", "a\0", "\ud800", "é", "a" * 129])
def test_names_that_break_the_rule_are_refused_in_words(name):
    assert not is_name(name)
    with pytest.raises(Unprocessable) as caught:
        check_name(name)
    assert caught.value.code == "bad-name"
    assert caught.value.places[0].pointer == "/name"
