"""A small checker of RFC 9457: is this reply a problem document, and the one that was expected?"""

import re
from typing import Any

import httpx

_POINTER = re.compile(r"(/([^~]|~[01])*)*", re.DOTALL)
_MEMBERS = {"type": str, "title": str, "status": int, "detail": str, "code": str, "errors": list}


def check_problem(response: httpx.Response, status: int, code: str, *pointers: str) -> dict[str, Any]:
    """Asserts that the reply is a well-made problem with this status and code, and returns it.

    With `pointers`, its errors are at just these places.
    """
    assert response.status_code == status, response.text[:2000]
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    for name, kind in _MEMBERS.items():
        assert isinstance(problem[name], kind), f"{name} is {problem.get(name)!r}"
    assert problem["status"] == status
    assert problem["code"] == code, problem
    assert problem["type"] in (f"/problems/{code}", "about:blank")
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == response.headers["x-request-id"]
    assert len(problem["errors"]) <= 20
    for place in problem["errors"]:
        assert set(place) == {"pointer", "message"}
        assert _POINTER.fullmatch(place["pointer"]), place
        assert place["message"]
    assert "Traceback" not in response.text
    assert 'File "' not in response.text
    if status in (429, 503):
        assert int(response.headers["retry-after"]) >= 1
    if status == 405:
        assert response.headers["allow"]
    if pointers:
        assert [place["pointer"] for place in problem["errors"]] == list(pointers)
    return problem
