"""Laboratories that lack a protection: services on a database of their own, and what scenes of faults do with them.

Used by `tests/faults/test_protections.py`, which sets the scenes.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from app.db.engine import Database
from app.store.verify import Verifier
from tests.chapter.nets import create, read
from tests.faults import kill_points
from tests.faults.forge import Forge
from tests.service import Service

NET = "/v1/networks/net"
ZEROS = [{"parameters": {"*": "zeros_()"}}]
RULES = {"rules": [{"parameters": {"bias": "param + 1"}}]}
MORE = {"edits": [{"index": ":", "expression": "param + 1"}]}
SAFETENSORS = {"content-type": "application/vnd.safetensors"}


@dataclass
class Laboratory:
    """A database, and services on it that lack what `switches` name."""

    forge: Forge
    folder: Path
    databases: Any  # where the database comes from
    switches: list[str]
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.url: str = self.databases.fresh()

    def armed(self, name: str = "a") -> Path:
        return self.folder / f"armed-{name}"

    def running(self, name: str = "a") -> AbstractContextManager[Service]:
        """A service; two at once have two names."""
        env = {"MODEL_LAB_DATABASE_URL": self.url, "MODEL_LAB_DEVICES": "cpu:0", **self.env}
        return self.forge.start(
            self.folder / name, env={**env, kill_points.ARMED: str(self.armed(name))}, switches=self.switches
        )

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        with self.running() as service, service.client() as client:
            yield client

    @contextmanager
    def two_clients(self) -> Iterator[tuple[httpx.Client, httpx.Client]]:
        """Of two services."""
        with self.running("a") as one, self.running("b") as two, one.client() as here, two.client() as there:
            yield here, there

    @contextmanager
    def database(self) -> Iterator[Database]:
        database = Database(self.url)
        try:
            yield database
        finally:
            database.close()

    def damage(self) -> list[str]:
        with self.database() as database:
            return list(Verifier(database).run())


Scene = Callable[[Laboratory], list[str]]


def edit(client: httpx.Client, **headers: str) -> httpx.Response:
    return client.patch(
        f"{NET}/parameters/bias", json=MORE, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def bias(client: httpx.Client) -> list[float]:
    return read(client, NET, "bias").tolist()


def make_net(client: httpx.Client) -> None:
    create(client, "net", "Linear(4, 4)", init=ZEROS)


def unless(good: bool, words: str) -> list[str]:
    return [] if good else [words]
