"""kill -9 at named points of every kind of write, in the service and in its worker: done once, or not at all.

For each operation and each point: the process dies there, the client hears nothing, the service starts again on what
the database kept, and the client sends the same request again. What must be there is computed, not read.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.faults import kill_points
from tests.faults.conditions import workers
from tests.faults.forge import Forge
from tests.faults.operations import Operation, State, look, operations, prepare
from tests.service import Service

POINTS = {
    "sqlite": ["before", "written", "torn", "committed"],
    "postgresql": ["before", "written", "sent", "committed"],
}
UNDONE = {"before", "written", "torn"}
COMMIT_SECONDS = (0.0001, 0.0003, 0.0006, 0.001, 0.002)  # when a timer goes off inside a commit
IN_WORKER = {"create", "edit", "initialize"}

Settle = Callable[[httpx.Client], State]  # what a client does first on a service that has started again


@dataclass
class Laboratory:
    """Services on one database, started again and again, and the order to die that they find there."""

    forge: Forge
    folder: Path
    url: str

    @property
    def kind(self) -> str:
        return self.url.partition(":")[0]

    @property
    def armed(self) -> Path:
        return self.folder / "armed"

    def running(self) -> AbstractContextManager[Service]:
        settings = {"MODEL_LAB_DATABASE_URL": self.url, "MODEL_LAB_DEVICES": "cpu:0"}
        return self.forge.start(self.folder, env={**settings, kill_points.ARMED: str(self.armed)})

    def kill_again_and_again(self, kills: Iterable[tuple[Operation, str, float]]) -> int:
        """Kills one service during each operation, at its point; every service settles what the one before left."""
        settle: Settle = begin
        count = 0
        for operation, point, seconds in kills:
            with self.running() as service, service.client() as client:
                state = settle(client)
                headers = operation.headers(f"{operation.name}-{count}", client)
                kill_points.arm(self.armed, point, skip=operation.transactions - 1, seconds=seconds)
                with pytest.raises(httpx.TransportError):
                    pytest.fail(f"{operation.name}, {point}: {operation.send(client, headers).text}")
                assert service.process.wait(10) < 0
            assert not self.armed.exists()
            settle = settling(operation, point, headers, state)
            count += 1
        with self.running() as service, service.client() as client:
            settle(client)
        return count


def begin(client: httpx.Client) -> State:
    prepare(client)
    return look(client)


def settling(operation: Operation, point: str, headers: dict[str, str], state: State) -> Settle:
    """Checks what a kill left, sends the request again as a client does that heard nothing, and checks that."""
    done = operation.after(state)

    def settle(client: httpx.Client) -> State:
        where = f"{operation.name}, {point}"
        found = look(client)
        assert found in [state, done] if point == "committing" else found == (state if point in UNDONE else done), where
        again = operation.send(client, headers)
        assert again.is_success or (found == done and again.status_code == operation.done_already), (where, again.text)
        if operation.keyed:
            assert operation.send(client, headers).content == again.content, where
        assert look(client) == done, where
        return done

    return settle


@pytest.fixture
def laboratory(forge: Forge, tmp_path: Path, database_url: str) -> Laboratory:
    return Laboratory(forge, tmp_path, database_url)


def test_a_service_killed_at_any_point_of_a_write_has_done_it_once_or_not_at_all(laboratory: Laboratory) -> None:
    points = enumerate(POINTS[laboratory.kind])
    kills = [(operation, point, 0.0) for number, point in points for operation in operations(number)]
    assert laboratory.kill_again_and_again(kills) >= 30


def test_a_service_killed_while_the_database_commits_has_done_it_once_or_not_at_all(laboratory: Laboratory) -> None:
    edit = operations(0)[1]
    assert laboratory.kill_again_and_again((edit, "committing", seconds) for seconds in COMMIT_SECONDS) == 5


def test_a_worker_killed_at_any_point_of_a_write_is_replaced_and_the_write_done_once(laboratory: Laboratory) -> None:
    with laboratory.running() as service, service.client() as client:
        state = begin(client)
        for number, point in enumerate(("before", "written", "committed")):
            for operation in operations(number):
                if operation.name not in IN_WORKER:
                    continue
                pid = workers(client)[0]["pid"]
                kill_points.arm(laboratory.armed, point, role="worker")
                reply = operation.send(client, operation.headers(f"{operation.name}-{point}", client))
                assert reply.is_success, reply.text
                assert not laboratory.armed.exists()
                assert workers(client)[0]["pid"] != pid
                state = operation.after(state)
                assert look(client) == state, (operation.name, point)
