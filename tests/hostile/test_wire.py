"""Hostile bodies, addresses, queries and headers, sent to a real service: each gets a clear refusal, and none stays."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.hostile import bodies, files, wire
from tests.hostile.laboratory import Laboratory
from tests.hostile.test_texts import titled

SECONDS = 10.0


@pytest.fixture(scope="module", autouse=True)
def target(lab: Laboratory) -> Iterator[None]:
    """The network that is attacked; it gives the same numbers before and after."""
    made = lab.post("/v1/networks", {"name": "target", "architecture": "Linear(2, 2)", "seed": 1})
    assert made.status_code == 201, made.text[:300]
    before = lab.post("/v1/networks/target/forward", {"inputs": [[1, 2]]}).json()["outputs"]
    files.CANARY.unlink(missing_ok=True)
    yield
    assert lab.post("/v1/networks/target/forward", {"inputs": [[1, 2]]}).json()["outputs"] == before
    assert not files.CANARY.exists()
    assert lab.client.delete("/v1/networks/target").status_code == 204


def send(lab: Laboratory, path: str, content_type: str, body: bytes) -> Any:
    return lab.client.post(path, content=body, headers={"content-type": content_type})


@pytest.mark.parametrize(("content_type", "body", "status", "code", "pointer"), titled(bodies.JSON))
def test_a_body_that_is_no_request_is_refused(
    lab: Laboratory, content_type: str, body: bytes, status: int, code: str, pointer: str | None
) -> None:
    problem = lab.refused(send(lab, "/v1/networks", content_type, body), status, code, pointer)
    assert code != "malformed" or "line 1, column " in problem["detail"] or "empty" in problem["detail"]


@pytest.mark.parametrize(("content_type", "body", "status", "code", "pointer"), titled(bodies.INPUTS + files.FILES))
def test_tensors_that_are_none_are_refused(
    lab: Laboratory, content_type: str, body: bytes, status: int, code: str, pointer: str | None
) -> None:
    lab.refused(send(lab, "/v1/networks/target/forward", content_type, body), status, code, pointer)
    assert not files.CANARY.exists()


def exchange(lab: Laboratory, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Sends bytes over a connection of their own and reads the first answer: status, headers, body."""
    address = urlsplit(lab.service.base_url)
    with socket.create_connection((address.hostname, address.port), timeout=SECONDS) as connection:
        received = bytearray()
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before it was whole; the answer is there still
            connection.sendall(request)
        with suppress(ConnectionResetError):
            while part := connection.recv(2**16):
                received += part
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return int(lines[0].split()[1]), headers, body


@pytest.mark.parametrize(("request_", "statuses", "code"), titled(wire.PATHS + wire.QUERIES + wire.HEADERS))
def test_bytes_on_the_wire_get_a_clear_answer(
    lab: Laboratory, request_: bytes, statuses: tuple[int, ...], code: str
) -> None:
    began = time.monotonic()
    status, headers, body = exchange(lab, request_)
    assert status in statuses, body[:300]
    assert time.monotonic() - began < SECONDS
    assert b"Traceback" not in body
    assert b"root:" not in body
    assert "x" not in headers, "a header was smuggled in"
    if status >= 400 and code:
        assert headers["content-type"] == "application/problem+json"
        problem = json.loads(body)
        assert (problem["status"], problem["code"]) == (status, code)
        assert len(body) < 6_000
    assert lab.restarts() == lab.explained
