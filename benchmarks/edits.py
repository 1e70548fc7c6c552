"""One element of a parameter changed over HTTP: the time, and the bytes that the service's processes write to the disk,
for parameters of 1 MiB, 64 MiB and 1 GiB. What is asked: at most 5 MiB written, and 3 times the time at most.

Sizes take turns, edit after edit, so that a noisy minute hits all of them.
"""

import statistics
import tempfile
from pathlib import Path

import psutil

from benchmarks import service
from benchmarks.wire import Client, Stopwatch

MIB = 2**20
WIDTHS = {"1 MiB": 512, "64 MiB": 4096, "1 GiB": 16384}
EDITS = 20
NOTE = "Written is the mean of many, with what SQLite writes again when its log goes into the file."
WARM_UP = 3


def measure() -> list[str]:
    """Returns the lines of a Markdown section."""
    seconds: dict[str, list[float]] = {size: [] for size in WIDTHS}
    written: dict[str, float] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        service.running(Path(folder), {"MODEL_LAB_DEADLINE_SECONDS": "600"}) as lab,
    ):
        client = Client(lab.port)
        for size, width in WIDTHS.items():
            architecture = f"Linear({width}, {width}, bias=False)"
            client.json("POST", "/v1/networks", {"name": _name(size), "architecture": architecture, "seed": 1})
        for round_ in range(WARM_UP + EDITS):
            for size in WIDTHS:
                with Stopwatch() as watch:
                    _edit(client, size, round_)
                if round_ >= WARM_UP:
                    seconds[size].append(watch.seconds)
        for size in WIDTHS:
            before = _written(lab.pid)
            for round_ in range(EDITS):
                _edit(client, size, WARM_UP + EDITS + round_)
            written[size] = (_written(lab.pid) - before) / EDITS
    return _table(seconds, written)


def _name(size: str) -> str:
    return size.replace(" ", "")


def _edit(client: Client, size: str, round_: int) -> None:
    place = (round_ * 7919) % WIDTHS[size]
    edit = {"edits": [{"index": f"{place}, {place}", "value": round_ + 0.5}]}
    client.json("PATCH", f"/v1/networks/{_name(size)}/parameters/weight", edit)


def _written(pid: int) -> int:
    """Bytes that a process and those it started have given to the disk."""
    root = psutil.Process(pid)
    return sum(process.io_counters().write_bytes for process in (root, *root.children(recursive=True)))


def _table(seconds: dict[str, list[float]], written: dict[str, float]) -> list[str]:
    lines = [
        "## Edits: one element of a parameter",
        "",
        "| parameter | p50, ms | of 1 MiB | MiB written for one |",
        "|---|---|---|---|",
    ]
    smallest = statistics.median(seconds["1 MiB"])
    for size, times in seconds.items():
        middle = statistics.median(times)
        lines.append(f"| {size} | {1e3 * middle:.1f} | {middle / smallest:.2f} | {written[size] / MIB:.2f} |")
    return [
        *lines,
        "",
        "Written is the mean of many, with what SQLite writes again when its log goes into the file.",
        "",
    ]
