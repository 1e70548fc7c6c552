"""A disk that is full: whatever would need room is answered 507, reads and forwards go on, and when there is room again
everything works without a restart. A service that starts on a full disk serves what there is."""

import io
import os
import resource
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import safetensors.torch
import torch

from tests.chapter.nets import create
from tests.databases import PostgresqlServer
from tests.faults.conditions import create as create_wide
from tests.faults.conditions import forward, gives, numbers
from tests.faults.forge import Forge
from tests.faults.test_database_away import NET, READS, WRITES, prepare

MIB = 2**20
DISK_BYTES = 24 * MIB
UNCHANGED = {f"{NET}", f"{NET}/checkpoints/best", "/v1/blocks/Same"}  # written already just so: nothing to keep


@dataclass(frozen=True)
class SmallDisk:
    """A file system of a few megabytes, and a file that takes all the room that is left."""

    place: Path

    @contextmanager
    def full(self) -> Iterator[None]:
        ballast = self.place / "ballast"
        with ballast.open("wb", buffering=0) as file:
            while (free := os.statvfs(self.place).f_bavail * os.statvfs(self.place).f_frsize) > 0:
                file.write(b"\0" * min(free, MIB))
        try:
            yield
        finally:
            ballast.unlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with mounted(tmp_path / "disk") as disk:
        yield disk


@contextmanager
def mounted(place: Path) -> Iterator[SmallDisk]:
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    try:
        yield SmallDisk(place)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def large() -> dict[str, torch.Tensor]:
    return {"weight": torch.randn(500, 500), "bias": torch.randn(500)}


def as_safetensors(tensors: dict[str, torch.Tensor]) -> tuple[bytes, dict[str, str]]:
    return safetensors.torch.save(tensors), {"content-type": "application/vnd.safetensors"}


def as_pt(tensors: dict[str, torch.Tensor]) -> tuple[bytes, dict[str, str]]:
    file = io.BytesIO()
    torch.save(tensors, file)
    return file.getvalue(), {"content-type": "application/x-pytorch"}


def uploads(client: httpx.Client) -> Iterator[httpx.Response]:
    """Files of a network and artifacts in two formats, each of new content."""
    for written in (as_safetensors, as_pt):
        for path in ("/v1/networks/large/state_dict", "/v1/artifacts/large"):
            body, headers = written(large())
            yield client.put(path, content=body, headers=headers)


def check_refused(reply: httpx.Response) -> None:
    told = (reply.request.method, reply.request.url.path, reply.text[:300])
    assert reply.status_code == 507, told
    assert reply.json()["code"] == "storage-full", told


def check_reads(client: httpx.Client, state: Any) -> None:
    for method, path, body in READS:
        if not path.endswith("backward"):  # which keeps its gradients
            reply = client.request(method, path, json=body)
            assert reply.is_success, (method, path, reply.text)
    assert client.get("/readyz").status_code == 200
    assert look(client) == state


def look(client: httpx.Client) -> Any:
    """What a refused write might have left in part."""
    networks = client.get("/v1/networks").json()["items"]
    artifacts = client.get("/v1/artifacts").json()["items"]
    return (
        {item["name"]: item["revision"] for item in networks},
        {item["name"]: item["updated_at"] for item in artifacts},
        client.get(f"{NET}/parameters/bias").json()["value"]["data"],
    )


def check_refusals(client: httpx.Client) -> None:
    for method, path, body in WRITES:
        reply = client.request(method, path, json=body)
        if path not in UNCHANGED:
            check_refused(reply)
    for reply in uploads(client):
        check_refused(reply)


def check_writes(client: httpx.Client) -> None:
    for method, path, body in WRITES[:-1]:
        reply = client.request(method, path, json=body)
        assert reply.is_success, (method, path, reply.text)
    assert client.delete("/v1/artifacts/saved").status_code == 204
    for reply in uploads(client):
        assert reply.is_success, reply.text


def test_on_a_full_disk_writes_are_refused_and_reads_go_on_until_there_is_room(
    forge: Forge, tmp_path: Path, small_disk: SmallDisk
) -> None:
    env = {"MODEL_LAB_DATABASE_URL": f"sqlite:///{small_disk.place}/lab.sqlite", "MODEL_LAB_DEVICES": "cpu:0"}
    with forge.start(tmp_path, env=env) as service, service.client() as client:
        prepare(client)
        create(client, "large", "Linear(500, 500)")
        state = look(client)
        with small_disk.full():
            check_refusals(client)
            check_reads(client, state)
            service.process.kill()
            service.process.wait()
            with forge.start(tmp_path, env=env) as another, another.client() as its_client:
                check_reads(its_client, state)
                check_refusals(its_client)
                check_reads(its_client, state)
        with forge.start(tmp_path, env=env) as another, another.client() as its_client:
            check_writes(its_client)


def test_networks_are_made_whole_or_not_at_all_while_the_disk_fills(
    forge: Forge, tmp_path: Path, small_disk: SmallDisk
) -> None:
    env = {"MODEL_LAB_DATABASE_URL": f"sqlite:///{small_disk.place}/lab.sqlite", "MODEL_LAB_DEVICES": "cpu:0"}
    with forge.start(tmp_path, env=env) as service, service.client() as client:
        assert create_wide(client, "first", 1).status_code == 201
        ballast = small_disk.place / "some"
        ballast.write_bytes(b"\0" * (DISK_BYTES // 3))
        kept = []
        for seed in range(100, 200):
            reply = create_wide(client, f"wide{seed}", seed, width=100_000)
            if reply.status_code != 201:
                break
            kept.append(seed)
        check_refused(reply)
        assert kept
        assert gives(forward(client, "first"), numbers(1))
        assert gives(forward(client, f"wide{kept[-1]}"), numbers(kept[-1], 100_000))
        names = {item["name"] for item in client.get("/v1/networks").json()["items"]}
        assert names == {"first", *(f"wide{seed}" for seed in kept)}
        assert client.get("/readyz").status_code == 200
        ballast.unlink()
        assert create_wide(client, "healed", 7, width=100_000).status_code == 201
        assert gives(forward(client, "healed"), numbers(7, 100_000))


def test_a_folder_for_uploads_that_is_full_refuses_them_and_nothing_else(
    forge: Forge, tmp_path: Path, small_disk: SmallDisk
) -> None:
    env = {"MODEL_LAB_SPOOL_DIR": str(small_disk.place), "MODEL_LAB_DEVICES": "cpu:0"}
    body, headers = as_pt({"t": torch.zeros(4 * MIB)})
    with forge.start(tmp_path, env=env) as service, service.client() as client:
        prepare(client)
        with small_disk.full():
            check_refused(client.put("/v1/artifacts/large", content=body, headers=headers))
            assert client.put("/v1/artifacts/small", json=[1.0]).is_success
            assert [path.name for path in small_disk.place.iterdir()] == ["ballast"]
        assert client.put("/v1/artifacts/large", content=body, headers=headers).is_success
        assert list(small_disk.place.iterdir()) == []


def test_a_limit_on_the_size_of_files_is_met_like_a_full_disk(forge: Forge, tmp_path: Path) -> None:
    """As a quota is, which says EFBIG or EDQUOT where a disk says ENOSPC."""
    env = {"MODEL_LAB_DEVICES": "cpu:0"}
    with forge.start(tmp_path, env=env, switches=["bear limits"]) as service, service.client() as client:
        prepare(client)
        create(client, "large", "Linear(500, 500)")
        state = look(client)
        pid = service.process.pid
        processes = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]

        def limit(file_bytes: int) -> None:
            for process in processes:
                resource.prlimit(process, resource.RLIMIT_FSIZE, (file_bytes, resource.RLIM_INFINITY))

        limit(4096)
        check_refusals(client)
        check_reads(client, state)
        limit(resource.RLIM_INFINITY)
        check_writes(client)


def test_a_full_disk_of_postgresql_refuses_writes_and_reads_go_on_until_there_is_room(
    forge: Forge, tmp_path: Path, breakable_server: PostgresqlServer
) -> None:
    place = Path(tempfile.mkdtemp(prefix="pg-disk-"))  # where the server's own user may go
    place.rmdir()
    with mounted(place) as disk, breakable_server.database_in(disk.place) as url:
        env = {"MODEL_LAB_DATABASE_URL": url, "MODEL_LAB_DEVICES": "cpu:0"}
        with forge.start(tmp_path, env=env) as service, service.client() as client:
            prepare(client)
            create(client, "large", "Linear(500, 500)")
            state = look(client)
            with disk.full():
                for reply in uploads(client):
                    check_refused(reply)
                check_refused(client.post("/v1/networks", json={"architecture": "Linear(500, 500)"}))
                check_reads(client, state)
                for method, path, body in WRITES:  # small ones find room in pages that are there already
                    reply = client.request(method, path, json=body)
                    if not reply.is_success:
                        check_refused(reply)
            check_writes(client)
    place.rmdir()
