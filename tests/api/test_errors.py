"""The one renderer of errors."""

import orjson
import pytest

from app import errors
from app.api.errors import STATUS, problem_document, render_problem, status_of
from app.api.problem_codes import CODES
from app.errors import LabError, Place
from tests.api.problem import check_problem


def test_every_class_of_error_has_a_status_and_its_own_code_a_page():
    for kind in LabError.__subclasses__():
        if kind.__module__ == errors.__name__:
            assert kind in STATUS, kind
            assert CODES[kind.code].status == STATUS[kind], kind


def test_the_status_of_a_kind_of_problem_is_that_of_its_page():
    assert all(400 <= problem.status < 600 and problem.title and problem.meaning for problem in CODES.values())


def test_a_class_of_tomorrow_takes_the_status_of_the_one_it_comes_from():
    class Odd(errors.Conflict):
        code = "odd"

    assert status_of(Odd("x")) == 409
    assert status_of(LabError("x")) == 500


def test_members_that_an_error_adds_stand_beside_the_usual_ones_and_hide_none():
    error = errors.Conflict("words", extra={"used_by": ["a"], "status": 200, "detail": "other"})
    document = problem_document(error)
    assert document["used_by"] == ["a"]
    assert document["status"] == 409
    assert document["detail"] == "words"


def test_at_most_twenty_places_are_told():
    error = errors.Unprocessable("words", places=[Place(f"/{i}", "x") for i in range(25)])
    document = problem_document(error)
    assert len(document["errors"]) == 20
    assert document["errors_left_out"] == 5


@pytest.mark.parametrize("path", ["/v1/ä b", "/\0", "/\ud800", "/" + "x" * 5000, "/%zz"])
def test_the_instance_is_a_uri_whatever_the_path(path):
    instance = orjson.loads(render_problem(errors.NotFound("x"), path=path).body)["instance"]
    assert instance.isascii()
    assert " " not in instance
    assert len(instance) < 5000


@pytest.mark.parametrize("extra", [{"x": "\ud800"}, {"x": object()}, {"x": 2**80}, {"retry_after_seconds": "soon"}])
def test_no_value_in_an_error_makes_a_second_one(extra):
    reply = render_problem(errors.Unavailable("x", extra=extra))
    assert reply.status == 503
    assert (b"retry-after", b"1") in reply.headers


def test_what_is_wrong_with_a_query_or_a_key_is_told_once_and_in_its_own_words(service):
    wrong_state = service.get("/v1/jobs?state=zz")
    assert len(check_problem(wrong_state, 422, "invalid-request")["errors"]) == 1
    long_token = service.get("/v1/networks", params={"page_token": "a" * 5000})
    assert "at most 512 characters" in check_problem(long_token, 422, "invalid-request")["detail"]
    body = {"architecture": "ReLU()", "labels": {"k" * 65: "v"}}
    check_problem(service.post("/v1/networks", json=body), 422, "invalid-request", "/labels/" + "k" * 65)
