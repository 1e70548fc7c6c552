"""Starts what is measured on free loopback ports and stops it again."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Running:
    """A service that runs: its port, and the process that speaks HTTP."""

    port: int
    pid: int


@contextlib.contextmanager
def process(command: list[str], port: int, path: str, env: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Runs a server while the block runs; it is up when `path` answers at all."""
    child = subprocess.Popen(command, env={**os.environ, **(env or {})})
    try:
        wait_for(f"http://127.0.0.1:{port}{path}")
        yield Running(port, child.pid)
    finally:
        child.terminate()
        child.wait(30)


def wait_for(url: str, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url).status_code != 503:
                return
        time.sleep(0.05)
    raise TimeoutError(f"{url} did not answer within {seconds} s")


@contextlib.contextmanager
def running(folder: Path, env: Mapping[str, str] | None = None) -> Iterator[Running]:
    """A service of its own whose data are in `folder`, with settings from `env`."""
    port = free_port()
    program = str(Path(sys.executable).with_name("model-lab"))
    with process([program, "serve", "--port", str(port), "--data-dir", str(folder)], port, "/readyz", env) as lab:
        yield lab


@contextlib.contextmanager
def model_lab(env: Mapping[str, str] | None = None) -> Iterator[int]:
    """A service of its own in a temporary folder, with settings from `env`; yields its port."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), env) as lab:
        yield lab.port


@contextlib.contextmanager
def echo(reply: bytes, content_type: str) -> Iterator[int]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "reply"
        file.write_bytes(reply)
        with process(
            [sys.executable, "-m", "benchmarks.servers", "echo", str(port), str(file), content_type], port, "/"
        ):
            yield port


@contextlib.contextmanager
def direct(state: bytes) -> Iterator[int]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "state.safetensors"
        file.write_bytes(state)
        with process([sys.executable, "-m", "benchmarks.servers", "direct", str(port), str(file)], port, "/"):
            yield port
