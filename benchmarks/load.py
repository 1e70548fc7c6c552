"""A small closed-loop HTTP load generator: N keep-alive connections, each with one fixed request.

It costs about 15 µs of CPU a request, the same for every target, so ratios between targets of one run mean something.
"""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast


@dataclass(frozen=True)
class Load:
    """What one run of load measured; latencies in milliseconds."""

    requests_per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    errors: int


def http_request(host: str, port: int, path: str, body: bytes, content_type: str, accept: str) -> bytes:
    """The bytes of one POST request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: {content_type}\r\nAccept: {accept}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Client(asyncio.Protocol):
    def __init__(self, request: bytes, latencies: list[float], stop_at: float) -> None:
        self._request = request
        self._latencies = latencies
        self._stop_at = stop_at
        self._buffer = bytearray()
        self._expected = 0
        self._sent_at = 0.0
        self.errors = 0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's do not inherit from asyncio's
        self._send()

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._expected:
            head_end = self._buffer.find(b"\r\n\r\n")
            if head_end < 0:
                return
            head = bytes(self._buffer[:head_end]).lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            self._expected = head_end + 4 + length
            self.errors += b" 200 " not in head.split(b"\r\n")[0]
        if len(self._buffer) < self._expected:
            return
        now = time.perf_counter()
        self._latencies.append(now - self._sent_at)
        self._buffer.clear()
        self._expected = 0
        if now < self._stop_at:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self.errors += 1
        if not self.closed.done():
            self.closed.set_result(None)


async def _drive(host: str, port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Load:
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    start = time.perf_counter()
    protocols = []
    for number in range(clients):
        request = requests[number % len(requests)]
        _, protocol = await loop.create_connection(partial(_Client, request, latencies, start + seconds), host, port)
        protocols.append(protocol)
    await asyncio.gather(*(protocol.closed for protocol in protocols))
    elapsed = time.perf_counter() - start
    cuts = statistics.quantiles(latencies, n=100)
    return Load(
        requests_per_second=len(latencies) / elapsed,
        p50_ms=cuts[49] * 1e3,
        p95_ms=cuts[94] * 1e3,
        p99_ms=cuts[98] * 1e3,
        errors=sum(protocol.errors for protocol in protocols),
    )


def drive(host: str, port: int, *requests: bytes, clients: int, seconds: float) -> Load:
    """Sends requests over `clients` connections, the same one on each again and again, and says how it went."""
    import uvloop

    return uvloop.run(_drive(host, port, requests, clients, seconds))
