"""The pool on a Ray cluster keeps the contract of worker pools, and outlives its actors and its machines."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest

from app.errors import Unavailable
from app.pool.base import WorkerInfo, WorkerPool
from app.settings import Settings
from tests.contracts.cluster import Nodes, running_cluster
from tests.contracts.worker_pool import FOREVER, Run, WorkerPoolContract, check, ready_pid, running, spin, wait_until
from tests.faults.conditions import eventually, workers
from tests.laboratory import create
from tests.service import Service, start_service

CLUSTER_LOST = 75  # as `app.pool.ray` has it, which is not to be imported before a cluster runs


@pytest.fixture(scope="module", name="nodes")
def start_nodes() -> Iterator[Nodes]:
    with running_cluster() as nodes:
        yield nodes


def ray_pool(nodes: Nodes, settings: Settings, **changes: object) -> WorkerPool:
    from app.pool import ray as engine

    engine.ABSENCE_SECONDS = 90.0  # an actor comes back within seconds, but not on a machine that is busy with tests
    there = {"pool": "ray", "ray_address": nodes.address, "ray_namespace": settings.data_dir.name}
    there |= {"ray_lost_seconds": 600.0, **changes}  # nothing here ends the tests' own process
    return engine.RayPool(settings.model_copy(update=there))


class TestRayPool(WorkerPoolContract):
    nodes: Nodes

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def joins(cls, nodes: Nodes) -> None:
        cls.nodes = nodes

    def make_pool(self, settings: Settings) -> WorkerPool:
        return ray_pool(self.nodes, settings)


class TestSeatsThatDie:
    @pytest.fixture(scope="class")
    @classmethod
    def pool(cls, nodes: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
        folder = tmp_path_factory.mktemp("deaths")
        with running(lambda settings: ray_pool(nodes, settings), folder, deadline_seconds=100) as run:
            yield run

    def test_an_actor_that_is_killed_is_brought_back_and_what_it_ran_is_tried_again(self, pool: Run) -> None:
        async def scenario(pool: WorkerPool) -> None:
            await pool.submit(check())
            before = (await pool.workers())[0]
            at_work = asyncio.ensure_future(pool.submit(spin(30_000)))
            behind = [asyncio.ensure_future(pool.submit(check())) for _ in range(3)]
            await asyncio.sleep(0.1)
            killed_at = time.monotonic()
            kill_seat(before)
            assert (await at_work).output_shapes["output"].shape == [1]
            for neighbour in behind:
                assert (await neighbour).parameter_count > 0
            assert time.monotonic() - killed_at < 60  # some seconds on a quiet machine
            assert (await pool.workers())[0].pid != before.pid
            await wait_until(lambda: not psutil.pid_exists(before.pid))  # a worker goes with its seat

        pool(scenario)

    @pytest.mark.slow
    def test_a_task_that_two_actors_died_on_fails_with_the_cause_and_a_job_at_the_first(self, pool: Run) -> None:
        async def scenario(pool: WorkerPool) -> None:
            await pool.submit(check())
            deadly = asyncio.ensure_future(pool.submit(spin(FOREVER)))
            job = asyncio.ensure_future(pool.submit(spin(FOREVER), lane="jobs"))
            await ready_pid(pool, lane="jobs")
            for task in (job, deadly):
                await asyncio.sleep(0.2)
                kill_seat(await at_work(pool))
                if task is job:
                    with pytest.raises(Unavailable, match=r"cpu:0 died") as caught:
                        await job
                    assert caught.value.code == "worker-died"
            with pytest.raises(Unavailable, match="successor") as caught:
                await deadly
            assert caught.value.code == "worker-died"
            assert (await pool.submit(check())).parameter_count > 0

        pool(scenario)

    def test_an_actor_that_was_ended_on_purpose_is_made_anew(self, pool: Run) -> None:
        async def scenario(pool: WorkerPool) -> None:
            import ray

            await pool.submit(check())
            before = (await pool.workers())[0].pid
            ray.kill(pool._remotes["cpu:0"].handle)
            assert (await pool.submit(check())).parameter_count > 0
            assert (await pool.workers())[0].pid != before

        pool(scenario)


def test_a_node_whose_processes_are_killed_is_survived_and_its_neighbour_notices_nothing(
    nodes: Nodes, postgres_url: str, tmp_path: Path
) -> None:
    other = nodes.add()

    async def scenario(pool: WorkerPool) -> None:
        for device in pool.devices:
            await pool.submit(check(), device=device)
        seats = {worker.device: worker for worker in await pool.workers()}
        lost = [device for device, worker in seats.items() if nodes.holds(other, worker.pid)]
        assert len(lost) == 1  # one seat on each
        kept = next(device for device in seats if device not in lost)
        there = asyncio.ensure_future(pool.submit(spin(60_000), device=lost[0]))
        here = asyncio.ensure_future(pool.submit(spin(60_000), device=kept))
        await asyncio.sleep(0.2)
        nodes.kill(other)
        assert (await here).output_shapes["output"].shape == [1]
        assert (await there).output_shapes["output"].shape == [1]
        now = {worker.device: worker for worker in await pool.workers()}
        assert now[kept].pid == seats[kept].pid
        assert now[lost[0]].pid != seats[lost[0]].pid

    with running(
        lambda settings: ray_pool(nodes, settings, database_url=postgres_url),
        tmp_path,
        devices="cpu:0,cpu:1",
        deadline_seconds=100,
    ) as run:
        run(scenario)


@pytest.mark.slow
def test_services_share_the_workers_of_a_cluster_and_the_last_one_ends_them(
    nodes: Nodes, postgres_url: str, tmp_path: Path
) -> None:
    env = {**nodes.environment, "MODEL_LAB_POOL": "ray", "MODEL_LAB_RAY_ADDRESS": nodes.address}
    env |= {"MODEL_LAB_DATABASE_URL": postgres_url, "MODEL_LAB_RAY_NAMESPACE": tmp_path.name}
    with ExitStack() as stack:
        clients: list[httpx.Client] = []
        services: list[Service] = []
        for name in "ab":
            services.append(stack.enter_context(start_service(tmp_path / name, env=env)))
            clients.append(stack.enter_context(services[-1].client()))
        first, second = clients
        create(first, "net", ["Linear(3, 1)"])
        reply = second.post("/v1/networks/net/forward", json={"inputs": [[1, 2, 3]]})
        assert (reply.status_code, reply.json()["device"]) == (200, "cpu:0")
        [worker] = workers(first)
        assert [worker["pid"]] == [other["pid"] for other in workers(second)]
        assert services[0].stop() == -signal.SIGTERM
        assert second.post("/v1/networks/net/forward", json={"inputs": [[1, 2, 3]]}).json() == reply.json()
        assert psutil.pid_exists(worker["pid"])
        assert services[1].stop() == -signal.SIGTERM
        eventually(lambda: not psutil.pid_exists(worker["pid"]), "the worker has ended")


def test_a_service_whose_cluster_has_gone_ends_and_comes_back_with_the_next_one(
    postgres_url: str, tmp_path: Path
) -> None:
    env = {"MODEL_LAB_POOL": "ray", "MODEL_LAB_DATABASE_URL": postgres_url, "MODEL_LAB_RAY_LOST_SECONDS": "2"}
    with running_cluster() as first:
        there = {**first.environment, **env, "MODEL_LAB_RAY_ADDRESS": first.address}
        with start_service(tmp_path / "first", env=there) as service, service.client() as client:
            create(client, "net", ["Linear(3, 1)"], seed=1)
            before = client.post("/v1/networks/net/forward", json={"inputs": [[1, 2, 3]]}).json()
            first.kill(first.cluster.head_node)
            eventually(lambda: service.process.poll() is not None, "the service has ended", 60)
            assert service.process.returncode == CLUSTER_LOST
    with running_cluster() as second:
        there = {**second.environment, **env, "MODEL_LAB_RAY_ADDRESS": second.address}
        with start_service(tmp_path / "second", env=there) as service, service.client() as client:
            assert client.post("/v1/networks/net/forward", json={"inputs": [[1, 2, 3]]}).json() == before


@pytest.mark.parametrize(
    ("changes", "environment", "words"),
    [
        ({}, {"RAY_AUTH_MODE": ""}, "asks for a token"),
        ({"ray_address": "127.0.0.1:1"}, {}, "MODEL_LAB_RAY_ADDRESS"),
    ],
)
def test_a_cluster_that_is_not_there_or_asks_for_no_token_is_refused_in_words(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], environment, words: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Unavailable, match=words):
        asyncio.run(ray_pool(nodes, Settings(data_dir=tmp_path), **changes).start())


def kill_seat(worker: WorkerInfo) -> None:
    """Ends the process of the actor that a worker sits in."""
    assert worker.pid is not None
    os.kill(psutil.Process(worker.pid).ppid(), signal.SIGKILL)


async def at_work(pool: WorkerPool) -> WorkerInfo:
    """The first worker, as soon as it runs a task."""
    found: list[WorkerInfo] = []

    async def runs() -> bool:
        first = (await pool.workers())[0]
        found.append(first)
        return first.state == "ready" and first.queue > 0

    await wait_until(runs)
    return found[-1]
