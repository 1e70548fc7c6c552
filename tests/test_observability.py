"""Logs: one line of JSON an event, whatever is in it."""

import json
import logging

import pytest

from app.observability.logs import JsonFormatter, request_id_of


def line_of(message: str, **extra: object) -> str:
    record = logging.LogRecord("app.x", logging.WARNING, __file__, 1, message, None, None)
    vars(record).update(extra)
    return JsonFormatter().format(record)


@pytest.mark.parametrize(
    "text", ["a\nb", "a\r\n{}", "\x1b[31mred", "\0", "\u2028", "\ud800", '"}', "\u202eabc", "x" * 100_000]
)
def test_no_text_makes_a_second_line_or_a_control_character(text):
    line = line_of(text, path=text)
    assert len(line.splitlines()) == 1
    assert all(character.isprintable() for character in line)
    assert len(line) < 10_000
    read = json.loads(line)
    assert read["level"] == "warning"
    assert read["logger"] == "app.x"


def test_members_stand_beside_the_message_with_the_requests_id():
    token = request_id_of.set("the-id")
    try:
        read = json.loads(line_of("words", route="/v1/{x}", status=200, seconds=0.5, huge=2**90, nothing=None))
    finally:
        request_id_of.reset(token)
    assert read["request_id"] == "the-id"
    assert read["route"] == "/v1/{x}"
    assert read["status"] == 200
    assert read["seconds"] == 0.5
    assert read["huge"] == str(2**90)
    assert read["nothing"] is None
    assert "request_id" not in json.loads(line_of("words"))


def test_an_exception_is_told_in_the_same_line():
    try:
        raise ValueError("bad\nvalue")
    except ValueError:
        import sys

        record = logging.LogRecord("app.x", logging.ERROR, __file__, 1, "failed", None, sys.exc_info())
    line = JsonFormatter().format(record)
    assert len(line.splitlines()) == 1
    assert "ValueError" in json.loads(line)["exception"]
