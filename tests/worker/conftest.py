"""A worker without a process around it, and networks for it."""

import uuid

import orjson
import pytest

from app.db import networks, revisions
from app.db.engine import Database
from app.db.migrations import migrate
from app.db.networks import NewNetwork
from app.db.revisions import NewRevision
from app.messages import BuildNetwork, NetworkRef
from app.settings import Settings
from app.worker.architectures import build_network
from app.worker.context import Worker


@pytest.fixture
def make_worker(tmp_path):
    databases = []

    def make(**changes) -> Worker:
        settings = Settings(data_dir=tmp_path, **changes)
        migrate(settings.resolved_database_url)
        databases.append(Database(settings.resolved_database_url))
        return Worker.make("cpu:0", settings, databases[-1])

    yield make
    for database in databases:
        database.close()


def create(worker: Worker, architecture: object, seed: int = 0) -> NetworkRef:
    built = build_network(
        worker, BuildNetwork("default", orjson.dumps(architecture), "/architecture", dtype="float32", seed=seed)
    )
    network_id = str(uuid.uuid4())
    with worker.database.transaction() as connection:
        row = NewNetwork(
            id=network_id, workspace="default", name=network_id, original=b"{}", resolved=built.resolved,
            dtype="float32", device="cpu:0", seed=seed, labels={}, inputs=built.inputs,
            parameter_count=built.parameter_count, parameter_bytes=built.parameter_bytes,
        )  # fmt: skip
        networks.insert(connection, row)
        revisions.insert(connection, NewRevision(network_id, 1, built.manifest, "create"))
    return NetworkRef(network_id, 1, built.manifest, "float32", "cpu:0")
