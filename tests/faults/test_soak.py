"""Mixed load of 32 clients while a worker is killed every few seconds: ten minutes with `make soak`, else briefly."""

from pathlib import Path

import pytest

from tests.faults.forge import Forge
from tests.faults.soak import Soaked, soak
from tests.service import start_service

TWO_DEVICES = {"MODEL_LAB_DEVICES": "cpu:0,cpu:1"}
MIB = 2**20


def check(found: Soaked) -> None:
    print("\n" + found.histogram())
    assert found.wrong == []
    done = {name for (name, status, _), count in found.outcomes.items() if status < 300 and count}
    assert done == {"forward", "edit", "job", "upload"}
    assert set(found.jobs) <= {"succeeded", "failed (worker-died)"}
    assert found.jobs["succeeded"]


def test_mixed_load_and_dying_workers_cost_nobody_more_than_a_reason(forge: Forge, tmp_path: Path) -> None:
    with forge.start(tmp_path, env=TWO_DEVICES) as service, service.client() as client:
        found = soak(client, service.process.pid, seconds=20, pause_seconds=1.5)
    check(found)
    assert found.kills >= 3


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_minutes_of_mixed_load_and_dying_workers_leave_memory_flat(tmp_path: Path) -> None:
    env = {**TWO_DEVICES, "MODEL_LAB_SPARE_WORKERS": "1"}
    with start_service(tmp_path, env=env) as service, service.client() as client:
        found = soak(client, service.process.pid, seconds=600, pause_seconds=3)
    check(found)
    assert found.kills >= 60
    early, late = found.memory()
    assert late < early * 1.1 + 32 * MIB
