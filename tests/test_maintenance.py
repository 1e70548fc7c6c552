"""`model-lab gc` and `model-lab fsck` as an operator meets them, also beside a running service."""

import re
import shutil
import sqlite3
import threading
from contextlib import closing

import httpx
import pytest
import torch

from tests.files.conftest import Files, equal, from_file, mlp, to_file
from tests.service import start_service
from tests.test_cli import check_refusal, run


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    with start_service(folder) as service, service.client() as client:
        yield Files(client), folder / "data"


def command(lab, *arguments: str):
    return run(*arguments, "--data-dir", str(lab[1]))


def chunks(lab) -> int:
    with closing(sqlite3.connect(lab[1] / "model-lab.sqlite")) as connection:
        return connection.execute("SELECT COUNT(*) FROM chunks").fetchone()[0]


def test_gc_takes_deleted_networks_after_the_time_of_grace_and_leaves_the_others(lab):
    files, _ = lab
    kept = files.make("kept", seed=1)
    before = files.get(kept)
    gone = files.make("gone", seed=2)
    there = chunks(lab)
    assert files.client.delete(gone).status_code == 204
    done = command(lab, "gc")
    assert done.returncode == 0
    assert "Collected 0 manifests, 0 tensors and 0 chunks" in done.stdout
    done = command(lab, "gc", "--grace", "0")
    assert done.returncode == 0
    assert "Collected 1 manifests, 4 tensors" in done.stdout
    assert chunks(lab) == there - 4
    assert equal(files.get(kept), before)
    assert command(lab, "fsck").returncode == 0


def test_gc_gives_room_back_to_the_disk_beside_the_service(lab):
    files, folder = lab
    address = files.make("large", ["Linear(1000, 2000)"])
    assert files.client.delete(address).status_code == 204
    done = command(lab, "gc", "--grace", "0")
    assert done.returncode == 0
    given = int(re.search(r"Gave ([\d,]+) bytes back to the disk", done.stdout)[1].replace(",", ""))
    assert given >= 8_000_000
    assert (folder / "model-lab.sqlite").stat().st_size < 8_000_000
    assert "Gave 0 bytes back" in command(lab, "gc").stdout


def test_gc_tells_how_to_shrink_a_file_of_an_earlier_version(sqlite_files, tmp_path):
    file = tmp_path / "model-lab.sqlite"
    shutil.copy(sqlite_files.fresh().removeprefix("sqlite:///"), file)
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA auto_vacuum = NONE")
        connection.execute("VACUUM")
        long_ago = "2020-01-01T00:00:00.000000Z"
        rows = [(bytes([number]) * 32, 2**20, long_ago, bytes(2**20)) for number in range(8)]
        connection.executemany("INSERT INTO chunks (digest, size, last_seen, data) VALUES (?, ?, ?, ?)", rows)
    done = run("gc", "--data-dir", str(tmp_path))
    assert "bytes in the file are free and will be used again; --vacuum shrinks it" in done.stdout
    assert file.stat().st_size > 8_000_000
    done = run("gc", "--vacuum", "--data-dir", str(tmp_path))
    assert re.search(r"Gave 8,\d{3},\d{3} bytes back", done.stdout)
    assert file.stat().st_size < 8_000_000


def test_gc_beside_a_service_that_writes_takes_nothing_that_was_acknowledged(lab):
    files, _ = lab
    address = files.make("busy")
    stop = threading.Event()
    failed: list[str] = []

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            reply = files.put(address, mlp(number).state_dict())
            if reply.status_code == 200:
                if not equal(files.get(address), mlp(number).state_dict()):
                    failed.append(f"{number} is not what was written")
            elif reply.status_code not in (429, 503):  # it was too late, and may try again
                failed.append(reply.text)

    thread = threading.Thread(target=write)
    thread.start()
    for _ in range(4):
        assert command(lab, "gc", "--grace", "0s").returncode == 0
    stop.set()
    thread.join()
    assert failed == []
    done = command(lab, "fsck")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "No damage; looked at" in done.stdout
    assert torch.equal(files.get(address, revision=2)["0.bias"], mlp(1).state_dict()["0.bias"])


def test_fsck_names_a_flipped_byte_and_the_service_does_not_serve_it(lab):
    files, folder = lab
    address = files.make("hurt", seed=777_777)
    with closing(sqlite3.connect(folder / "model-lab.sqlite")) as connection:
        data = files.get(address)["2.weight"].numpy().tobytes()
        digest = connection.execute("SELECT hex(digest) FROM chunks WHERE data = ?", (data,)).fetchone()[0].lower()
        flipped = bytearray(data)
        flipped[1234] ^= 16
        connection.execute("UPDATE chunks SET data = ? WHERE data = ?", (bytes(flipped), data))
        connection.commit()
        try:
            done = command(lab, "fsck")
            assert done.returncode == 1
            [line, summary] = done.stdout.splitlines()
            assert line == (
                f"chunk {digest}: its bytes are not as stored; used by network 'hurt' revision 1 (2.weight)"
            )
            assert summary.startswith("1 thing is damaged; looked at ")
            assert command(lab, "fsck", "--sample", "100000").returncode == 1
            assert "damaged-data" in files.client.get(f"{address}/state_dict").text
        finally:
            connection.execute("UPDATE chunks SET data = ? WHERE data = ?", (data, bytes(flipped)))
            connection.commit()
    assert command(lab, "fsck").returncode == 0


@pytest.mark.parametrize("format_name", ["safetensors", "npz", "pt"])
def test_damage_far_inside_a_file_breaks_the_reply_off(lab, format_name):
    files, folder = lab
    tensor = torch.arange(4_000_000, dtype=torch.int32)
    assert files.send("/v1/artifacts/long", to_file({"t": tensor}, "safetensors"), "safetensors").status_code < 300
    last = tensor.numpy().tobytes()[15 * 2**20 :]
    with closing(sqlite3.connect(folder / "model-lab.sqlite")) as connection:
        connection.execute("UPDATE chunks SET data = ? WHERE data = ?", (last[:-1] + b"x", last))
        connection.commit()
        try:
            with pytest.raises(httpx.RemoteProtocolError):
                files.client.get(f"/v1/artifacts/long?format={format_name}")
            part = files.client.get("/v1/artifacts/long?format=safetensors", headers={"range": "bytes=0-1000000"})
            assert part.status_code == 206
        finally:
            connection.execute("UPDATE chunks SET data = ? WHERE data = ?", (last, last[:-1] + b"x"))
            connection.commit()
    assert equal(
        from_file(files.client.get(f"/v1/artifacts/long?format={format_name}").content, format_name), {"t": tensor}
    )


def test_a_client_that_leaves_half_way_changes_nothing(lab):
    files, _ = lab
    address = files.make("left", ["Linear(1000, 3000)"])
    before = files.get(address)
    body = to_file(dict(torch.nn.Sequential(torch.nn.Linear(1000, 3000)).state_dict()), "safetensors")

    def leave():
        yield body[:6_000_000]
        raise RuntimeError("the line is cut")

    for format_name in ("safetensors", "pt"):
        with pytest.raises(RuntimeError):
            files.send(f"{address}/state_dict", leave(), format_name)
    assert files.client.get(address).json()["revision"] == 1
    assert equal(files.get(address), before)
    assert files.send(f"{address}/state_dict", body, "safetensors").json()["revision"] == 2


def test_a_database_that_is_not_there_or_not_of_this_version_is_one_line(tmp_path):
    for name in ("gc", "fsck"):
        check_refusal(run(name, "--data-dir", str(tmp_path / "none")), "no database")
        assert not (tmp_path / "none").exists()
        check_refusal(run(name, "--database-url", "postgresql://127.0.0.1:1/x"), "database")
        (tmp_path / "old").mkdir(exist_ok=True)
        with closing(sqlite3.connect(tmp_path / "old" / "model-lab.sqlite")) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS x (y)")
        check_refusal(run(name, "--data-dir", str(tmp_path / "old")), "model-lab migrate")
    check_refusal(run("gc", "--grace", "soon", "--data-dir", str(tmp_path)), "--grace")
