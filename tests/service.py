"""A real service for tests: `model-lab serve` as its own process, SQLite in a folder of its own, a free port.

`service` is an HTTP client of one service that all tests of a session share, so tests take names of their own from
`fresh_name`. `start_service` starts another one, for tests that stop it, kill it or give it other settings.
"""

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

START_SECONDS = 120.0
_LISTENS = re.compile(r"listens at (http://\S+)")
_count = itertools.count(1)


@dataclass(frozen=True)
class Service:
    """A running service: where it listens, its process, and the file that its standard error goes to."""

    base_url: str
    process: subprocess.Popen[bytes]
    log: Path

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.base_url, timeout=60.0)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ends the service and returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


@contextmanager
def start_service(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Service]:
    """Starts a service that keeps its data in `folder` and waits until it is ready for work."""
    folder.mkdir(parents=True, exist_ok=True)
    log = next_log(folder)
    command = [sys.executable, "-c", "from app.cli import main; main()", "serve", "--port", "0"]
    command += ["--data-dir", str(folder / "data"), *arguments]
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stderr=stderr, env={**os.environ, **CALM, **(env or {})})
    service = Service("", process, log)
    try:
        service = Service(wait_until_ready(process, log), process, log)
        yield service
    finally:
        service.stop()


CALM = {"MODEL_LAB_WORKER_THREADS": "1", "OMP_NUM_THREADS": "1", "MODEL_LAB_SPARE_WORKERS": "0"}


def next_log(folder: Path) -> Path:
    """A file for the standard error of another service."""
    return folder / f"service-{next(_count)}.log"


def wait_until_ready(process: subprocess.Popen[bytes], log: Path, pause: float = 0.1) -> str:
    """Waits until the service that writes to `log` is ready, and returns its address."""
    give_up = time.monotonic() + START_SECONDS
    base_url = ""
    while time.monotonic() < give_up and process.poll() is None:
        found = _LISTENS.search(log.read_text())
        if found:
            base_url = found.group(1)
            try:
                if httpx.get(f"{base_url}/readyz", timeout=5.0).status_code == 200:
                    return base_url
            except httpx.TransportError:
                pass
        time.sleep(pause)
    raise RuntimeError(f"the service at {base_url or 'no address'} is not ready; its log:\n{log.read_text()[-5000:]}")


@pytest.fixture(scope="session")
def running_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service that all tests of a session share."""
    with start_service(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture(scope="session")
def service(running_service: Service) -> Iterator[httpx.Client]:
    """A client of the service that all tests of a session share."""
    with running_service.client() as client:
        yield client


@pytest.fixture
def fresh_name() -> Callable[..., str]:
    """Makes names that no other test has taken: `fresh_name("mlp")`."""
    return lambda kind="net": f"{kind}_{os.getpid()}_{next(_count)}"
