"""Large bodies over HTTP with as little client as can be: `http.client`, one buffer, no copies."""

import http.client
import json
import time
from collections.abc import Mapping
from typing import Any, Self

KEPT_SECONDS = 2.0  # the service closes connections that are idle for 5
SAFETENSORS = "application/vnd.safetensors"


class Client:
    """One kept connection to a service on this machine, made anew where it has been idle for long."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=900)
        self._used = time.monotonic()
        self._connection.connect()

    def ready(self) -> None:
        """Sees that the connection is open; not part of what is measured, where that matters."""
        if time.monotonic() - self._used > KEPT_SECONDS:
            self._connection.close()
            self._connection.connect()
        self._used = time.monotonic()

    def send(
        self, method: str, path: str, body: bytes | memoryview | None = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """Sends one request and gives the reply's body. Raises RuntimeError for a status that is not 2xx."""
        self.ready()
        self._connection.request(method, path, body=body, headers=dict(headers or {}))  # type: ignore[arg-type]  # any buffer will do
        reply = self._connection.getresponse()
        content = reply.read()
        self._used = time.monotonic()
        if not 200 <= reply.status < 300:
            raise RuntimeError(f"{method} {path}: {reply.status} {content[:500]!r}")
        return content

    def json(self, method: str, path: str, body: object | None = None) -> Any:
        """A request with a JSON body, and the reply's JSON; None for an empty one."""
        text = None if body is None else json.dumps(body).encode()
        content = self.send(method, path, text, {"Content-Type": "application/json"} if text else None)
        return json.loads(content) if content else None

    def receive_into(self, path: str, buffer: memoryview) -> int:
        """Reads a reply's body into `buffer`; gives its length."""
        self.ready()
        self._connection.request("GET", path)
        reply = self._connection.getresponse()
        if reply.status != 200:
            raise RuntimeError(f"GET {path}: {reply.status} {reply.read(500)!r}")
        filled = 0
        while taken := reply.readinto(buffer[filled:]):
            filled += taken
        reply.read()
        self._used = time.monotonic()
        return filled

    def close(self) -> None:
        self._connection.close()


class Stopwatch:
    """`with Stopwatch() as watch: ...; watch.seconds`."""

    def __enter__(self) -> Self:
        self._begun = time.perf_counter()
        self.seconds = 0.0
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._begun
