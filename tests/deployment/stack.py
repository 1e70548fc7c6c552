"""A stack of containers for tests: `docker-compose` with a project name and a port of its own, and clients of it."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from tests.docs.pages import ROOT

BUILD_SECONDS = 3_000
READY_SECONDS = 240


def missing() -> str | None:
    """Why there can be no containers here; None where there can."""
    for command in ("docker", "docker-compose"):
        if shutil.which(command) is None:
            return f"no {command} is installed"
    asked = subprocess.run(["docker", "info"], capture_output=True, text=True, timeout=60, check=False)
    return None if asked.returncode == 0 else f"no Docker engine answers: {asked.stderr.strip().splitlines()[-1]}"


@dataclass
class Stack:
    """Containers that run. `files` are compose files in the repository's root."""

    files: tuple[str, ...]
    port: int
    project: str

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def compose(self, *arguments: str, seconds: float = 600) -> str:
        """Runs a command of docker-compose and gives its standard output."""
        return self.compose_bytes(*arguments, seconds=seconds).decode()

    def compose_bytes(self, *arguments: str, given: bytes = b"", seconds: float = 600) -> bytes:
        """The same with bytes; `given` goes to its standard input."""
        command = ["docker-compose", *(word for file in self.files for word in ("-f", file)), *arguments]
        env = {**os.environ, "COMPOSE_PROJECT_NAME": self.project, "LAB_PORT": str(self.port)}
        done = subprocess.run(
            command, cwd=ROOT, env=env, input=given, capture_output=True, timeout=seconds, check=False
        )
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.stdout[-2000:]!r} {done.stderr[-3000:]!r}"
        return done.stdout

    def up(self, *arguments: str) -> None:
        self.compose("up", "--detach", "--build", *arguments, seconds=BUILD_SECONDS)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        until(lambda: self.status("/readyz") == 200, READY_SECONDS)

    def status(self, path: str, **options: object) -> int:
        """The status of one answer; 0 where there is none."""
        try:
            return httpx.get(f"{self.base_url}{path}", timeout=5, **options).status_code  # type: ignore[arg-type]
        except httpx.TransportError:
            return 0

    def key(self) -> str:
        """The key that was made at the first start."""
        return self.compose("exec", "-T", "lab", "cat", "/keys/first").strip()

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.base_url, headers={"Authorization": f"Bearer {self.key()}"}, timeout=60)

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "-q", service).split()

    def kill(self, container: str) -> None:
        """Kills the first process of a container from outside, as the system does when memory runs out."""
        pid = docker("inspect", "--format", "{{.State.Pid}}", container)
        docker("run", "--rm", "--pid", "host", "--user", "0", "--entrypoint", "sh", "model-lab", "-c", f"kill -9 {pid}")


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{' '.join(arguments)}: {done.stderr[-2000:]}"
    return done.stdout.strip()


def until(holds: Callable[[], bool], seconds: float) -> None:
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up, "it took too long"
        time.sleep(0.5)


@contextmanager
def running_stack(*files: str) -> Iterator[Stack]:
    """A stack that is not started yet. Whatever is left of it at the end goes, with its data."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stack = Stack(files, port, f"modellabtest{os.getpid()}{len(files)}{len(files[0])}")
    try:
        yield stack
    finally:
        stack.compose("down", "--volumes", "--timeout", "5")
