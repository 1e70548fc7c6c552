"""A network's state saved and loaded over HTTP, beside a plain file and the safetensors library; the first forward of a
network that is not loaded yet beside `torch.load`; and clone, diff and restore beside the size of the state.

Every save holds numbers that were never stored before, or nothing would be written. All files lie on one disk; what is
read was written a moment ago, so reading is from the page cache on both sides.
"""

import io
import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

from benchmarks import service
from benchmarks.wire import SAFETENSORS, Client, Stopwatch

MIB = 2**20
WIDTH = 4096  # a layer is 64 MiB
SIZES = {"64 MiB": 1, "512 MiB": 8}  # layers
ROUNDS = 3
STATE_MIB = (1, 64, 512)
NPY = "application/x-npy"
NOTE = """Saving to a plain file is `write` and `fsync`, and what is answered over HTTP is as durable; `save_file` does
not wait for the disk. A cold forward is the first of a network that is on no device, less a warm one; it stands beside
`torch.load` of the same tensors."""


@dataclass
class Times:
    """Seconds of one kind of work, round by round."""

    seconds: list[float] = field(default_factory=list)

    @contextmanager
    def measured(self) -> Iterator[None]:
        with Stopwatch() as watch:
            yield
        self.seconds.append(watch.seconds)

    @property
    def middle(self) -> float:
        return statistics.median(self.seconds)


def measure() -> list[str]:
    """Returns the lines of a Markdown section."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, service.running(Path(folder) / "data") as lab:
        client = Client(lab.port)
        tables = [_save_and_load(client, Path(folder), name, layers) for name, layers in SIZES.items()]
        changes = [_changes(client, mebibytes) for mebibytes in STATE_MIB]
    return [
        "## Files: a network's state over HTTP, plain files, and the safetensors library",
        "",
        "| state | work | over HTTP, ms | plain file, ms | ratio | safetensors, ms | ratio |",
        "|---|---|---|---|---|---|---|",
        *(row for table in tables for row in table),
        "",
        NOTE,
        "",
        "### Clone, diff and restore",
        "",
        "| state | clone, ms | restore, ms | diff of one element, ms | one-element edit, ms |",
        "|---|---|---|---|---|",
        *changes,
        "",
    ]


def _state(layers: int, seed: int) -> dict[str, torch.Tensor]:
    """Random bits as float32, none of them NaN: as quick to make as bytes."""
    numbers = np.random.default_rng(seed)
    state = {}
    for layer in range(layers):
        bits = numbers.integers(0, 2**30, size=WIDTH * WIDTH, dtype=np.uint32)
        state[f"{layer}.weight"] = torch.from_numpy(bits.view(np.float32)).reshape(WIDTH, WIDTH)
    return state


def _tower(layers: int, width: int) -> dict[str, object]:
    return {
        "type": "Sequential",
        "layers": [{"repeat": layers, "block": f"Linear({width}, {width}, bias=False)"}],
    }


def _save_and_load(client: Client, folder: Path, name: str, layers: int) -> list[str]:
    network = f"net{layers}"
    architecture = {
        "type": "Sequential",
        "layers": [{"repeat": layers, "block": f"Linear({WIDTH}, {WIDTH}, bias=False)"}],
    }
    init = [{"parameters": {"weight": "zeros_()"}}]
    client.json("POST", "/v1/networks", {"name": network, "architecture": architecture, "init": init})
    path = f"/v1/networks/{network}"
    saves, file_saves, library_saves = Times(), Times(), Times()
    loads, file_loads, library_loads = Times(), Times(), Times()
    cold, torch_loads = Times(), Times()
    for round_ in range(ROUNDS):
        state = _state(layers, seed=1000 * layers + round_)
        body = safetensors.torch.save(state)
        with saves.measured():
            client.send("PUT", f"{path}/state_dict", body, {"Content-Type": SAFETENSORS})
        plain, library, pickled = folder / "plain", folder / "library", folder / "pickled"
        with file_saves.measured(), plain.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        with library_saves.measured():
            safetensors.torch.save_file(state, library)
        torch.save(state, pickled)
        buffer = memoryview(bytearray(len(body) + MIB))
        with loads.measured():
            size = client.receive_into(f"{path}/state_dict", buffer)
        assert size >= layers * 64 * MIB
        with file_loads.measured(), plain.open("rb", buffering=0) as file:
            file.readinto(buffer)
        with library_loads.measured():
            {key: value.clone() for key, value in safetensors.torch.load_file(library).items()}  # read, not mapped
        cold.seconds.append(_cold_seconds(client, network, f"{network}-cold{round_}"))
        with torch_loads.measured():
            torch.load(pickled, weights_only=True)
        for file_ in (plain, library, pickled):
            file_.unlink()
    return [
        _row(name, "save", saves, file_saves, library_saves),
        _row(name, "load", loads, file_loads, library_loads),
        _cold_row(name, cold.middle, torch_loads.middle),
    ]


def _row(size: str, work: str, ours: Times, file: Times, library: Times) -> str:
    cells = [f"{1e3 * ours.middle:.0f}"]
    for other in (file, library):
        cells += [f"{1e3 * other.middle:.0f}", f"{ours.middle / other.middle:.2f}"]
    return f"| {size} | {work} | {' | '.join(cells)} |"


def _cold_row(size: str, ours: float, theirs: float) -> str:
    return f"| {size} | cold forward | {1e3 * ours:.0f} | `torch.load`: {1e3 * theirs:.0f} | {ours / theirs:.2f} | | |"


def _cold_seconds(client: Client, network: str, clone: str) -> float:
    """The first forward of a clone, which is on no device, less the second."""
    client.json("POST", f"/v1/networks/{network}/clone", {"name": clone})
    times = []
    for _ in range(2):
        with Stopwatch() as watch:
            client.send("POST", f"/v1/networks/{clone}/forward?format=npy", _npy(WIDTH), {"Content-Type": NPY})
        times.append(watch.seconds)
    client.json("DELETE", f"/v1/networks/{clone}")
    return times[0] - times[1]


def _npy(width: int) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.zeros((1, width), dtype=np.float32))
    return stream.getvalue()


def _changes(client: Client, mebibytes: int) -> str:
    """Clone, restore, diff and an edit of one element, of a network whose parameters are layers of at most 64 MiB."""
    name = f"changes{mebibytes}"
    width, layers = (512, 1) if mebibytes == 1 else (WIDTH, mebibytes // 64)
    architecture = {
        "type": "Sequential",
        "layers": [{"repeat": layers, "block": f"Linear({width}, {width}, bias=False)"}],
    }
    client.json("POST", "/v1/networks", {"name": name, "architecture": architecture, "seed": 1})
    path = f"/v1/networks/{name}"
    clones, restores, diffs, edits = Times(), Times(), Times(), Times()
    for round_ in range(5):
        with edits.measured():
            edit = {"edits": [{"index": "1, 1", "value": round_ + 0.5}]}
            head = client.json("PATCH", f"{path}/parameters/0.weight", edit)["revision"]
        with diffs.measured():
            difference = client.json("GET", f"{path}/revisions/{head - 1}/diff/{head}")
        assert difference["changed"][0]["elements_changed"] == 1
        with clones.measured():
            client.json("POST", f"{path}/clone", {"name": f"{name}-{round_}"})
        with restores.measured():
            client.json("POST", f"{path}/revisions/1/restore")
    cells = [f"{1e3 * times.middle:.1f}" for times in (clones, restores, diffs, edits)]
    return f"| {mebibytes} MiB | {' | '.join(cells)} |"
