"""Files larger than memory would like: neither the HTTP process nor a worker grows with what passes through them."""

import hashlib
import struct
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import httpx
import orjson
import psutil
import pytest

from tests.files.conftest import MEDIA
from tests.service import Service, start_service

MIB = 2**20
MOST_GROWTH = 64 * MIB
LAYERS = 32


class Watch:
    """The most that the service and its workers grew, in bytes of resident memory, while the block ran."""

    def __init__(self, service: Service) -> None:
        main = psutil.Process(service.process.pid)
        self._processes = [main, *main.children(recursive=True)]
        self.growth: dict[int, int] = {}

    def __enter__(self) -> Self:
        self._before = {process.pid: process.memory_info().rss for process in self._processes}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def _look(self) -> None:
        while not self._stop.wait(0.01):
            for process in self._processes:
                grown = process.memory_info().rss - self._before[process.pid]
                self.growth[process.pid] = max(grown, self.growth.get(process.pid, 0))

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def pattern(number: int, size: int) -> bytes:
    """Bytes that differ from tensor to tensor and from MiB to MiB, made quickly."""
    block = hashlib.shake_128(str(number).encode()).digest(MIB - 8)
    return b"".join(struct.pack("<Q", position) + block for position in range(size // MIB))


def safetensors_file(layers: int, columns: int) -> tuple[int, Callable[[], Iterator[bytes]]]:
    size = 1024 * columns * 4
    header: dict[str, object] = {}
    for number in range(layers):
        header[f"{number}.weight"] = {
            "dtype": "F32",
            "shape": [1024, columns],
            "data_offsets": [number * size, (number + 1) * size],
        }
    text = orjson.dumps(header)

    def parts() -> Iterator[bytes]:
        yield len(text).to_bytes(8, "little") + text
        for number in range(layers):
            whole = memoryview(pattern(number, size))
            for start in range(0, size, MIB):
                yield bytes(whole[start : start + MIB])

    return 8 + len(text) + layers * size, parts


def pass_both_ways(service: Service, layers: int, columns: int) -> dict[str, float]:
    """Loads a network of so many layers and reads it back; returns growth in MiB and seconds, by direction."""
    told: dict[str, float] = {}
    with service.client() as client:
        client.timeout = httpx.Timeout(600)
        small = client.post("/v1/networks", json={"name": "small", "architecture": ["Linear(1024, 1024, bias=False)"]})
        assert small.status_code == 201
        warm_size, warm = safetensors_file(1, 1024)
        headers = {"content-type": MEDIA["safetensors"], "content-length": str(warm_size)}
        for _ in range(2):  # what is only needed once is not counted
            assert client.put("/v1/networks/small/state_dict", content=warm(), headers=headers).status_code == 200
            client.get("/v1/networks/small/state_dict")
        one = f"Linear({columns}, 1024, bias=False)"
        made = client.post("/v1/networks", json={"name": "large", "architecture": [one] * layers, "seed": 1})
        assert made.status_code == 201, made.text
        size, parts = safetensors_file(layers, columns)
        headers["content-length"] = str(size)
        with Watch(service) as watch:
            started = time.monotonic()
            reply = client.put("/v1/networks/large/state_dict", content=parts(), headers=headers)
            told["up seconds"] = time.monotonic() - started
        assert reply.status_code == 200, reply.text
        told["up MiB"] = max(watch.growth.values()) / MIB
        expected, got = hashlib.blake2b(), hashlib.blake2b()
        for part in parts():
            expected.update(part if part[8:9] != b"{" else b"")
        with Watch(service) as watch:
            started = time.monotonic()
            with client.stream("GET", "/v1/networks/large/state_dict") as stream:
                assert int(stream.headers["content-length"]) >= layers * 1024 * columns * 4
                received = header_bytes = 0
                for piece in stream.iter_bytes(MIB):
                    header_bytes = header_bytes or 8 + int.from_bytes(piece[:8], "little")
                    got.update(piece[max(header_bytes - received, 0) :])
                    received += len(piece)
            told["down seconds"] = time.monotonic() - started
        told["down MiB"] = max(watch.growth.values()) / MIB
        assert received == int(stream.headers["content-length"])
        assert got.hexdigest() == expected.hexdigest()
    return told


@pytest.mark.timeout(600)
def test_half_a_gibibyte_passes_both_ways_in_little_memory(tmp_path):
    with start_service(tmp_path) as service:
        told = pass_both_ways(service, LAYERS, 4096)
    print(told)
    assert told["up MiB"] < MOST_GROWTH / MIB, told
    assert told["down MiB"] < MOST_GROWTH / MIB, told


def pass_file(service: Service, folder: Path, format_name: str, layers: int, columns: int) -> dict[str, float]:
    """Saves an artifact, has it written in a format, and saves that file; returns growth in MiB by direction."""
    told: dict[str, float] = {}
    size, parts = safetensors_file(layers, columns)
    with service.client() as client:
        client.timeout = httpx.Timeout(600)
        headers = {"content-type": MEDIA["safetensors"], "content-length": str(size)}
        assert client.put("/v1/artifacts/first", content=parts(), headers=headers).status_code == 201
        tag = client.get("/v1/artifacts/first?format=safetensors", headers={"range": "bytes=0-1"}).headers["etag"]
        warm_size, warm = safetensors_file(1, 4096)
        for name in ("warm", "warm-2"):  # what is only needed once is not counted: PyTorch's reader, NumPy's
            headers["content-length"] = str(warm_size)
            client.put(f"/v1/artifacts/{name}", content=warm(), headers=headers)
            body = client.get(f"/v1/artifacts/{name}?format={format_name}").content
            client.put(f"/v1/artifacts/{name}", content=body, headers={"content-type": MEDIA[format_name]})
        path = folder / f"file.{format_name}"
        wanted = client.stream("GET", f"/v1/artifacts/first?format={format_name}")
        with Watch(service) as watch, path.open("wb") as file, wanted as stream:
            for piece in stream.iter_bytes(MIB):
                file.write(piece)
        told["down MiB"] = max(watch.growth.values()) / MIB
        assert zipfile.ZipFile(path).namelist()
        with Watch(service) as watch, path.open("rb") as file:
            started = time.monotonic()
            again = client.put("/v1/artifacts/again", content=file, headers={"content-type": MEDIA[format_name]})
            told["up seconds"] = time.monotonic() - started
        told["up MiB"] = max(watch.growth.values()) / MIB
        assert again.status_code == 201, again.text
        assert again.headers["etag"] == tag, "the same tensors have the same tag"
    path.unlink()
    return told


@pytest.mark.timeout(600)
@pytest.mark.parametrize("format_name", ["pt", "npz"])
def test_half_a_gibibyte_of_other_formats_passes_in_little_memory(tmp_path, format_name):
    with start_service(tmp_path) as service:
        told = pass_file(service, tmp_path, format_name, LAYERS, 4096)
    print(told)
    assert told["up MiB"] < MOST_GROWTH / MIB, told
    assert told["down MiB"] < MOST_GROWTH / MIB, told


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_gibibytes_pass_in_little_memory(tmp_path):
    with start_service(tmp_path / "a") as service:
        told = pass_both_ways(service, LAYERS, 16384)
    print(told)
    assert max(told["up MiB"], told["down MiB"]) < MOST_GROWTH / MIB, told
    for format_name in ("pt", "npz"):
        with start_service(tmp_path / format_name) as service:
            told = pass_file(service, tmp_path, format_name, 2, 2**18 + 2**16)  # tensors past 1 GiB
        print(told)
        assert max(told["up MiB"], told["down MiB"]) < MOST_GROWTH / MIB, told
