"""A forward compiled from text, beside the same forward written by hand; both are called in turn in one process."""

import statistics
import time
from collections.abc import Callable

import torch

from app.architecture.build import build
from app.architecture.resolve import resolve
from app.settings import Limits
from benchmarks.networks import TWINS

CALLS = 200
ROUNDS = 40


def measure() -> list[str]:
    """Returns the lines of a Markdown section."""
    torch.set_num_threads(1)
    limits = Limits()
    lines = [
        "## A compiled forward and the same by hand",
        "",
        "| network | compiled, µs | by hand, µs | ratio |",
        "|---|---|---|---|",
    ]
    for name, (architecture, by_hand, shape) in TWINS.items():
        resolved = resolve(architecture, library=lambda _: None, limits=limits, pointer="/architecture")
        compiled = build(resolved, limits=limits)
        written = by_hand()
        written.load_state_dict(compiled.state_dict())
        inputs = torch.rand(shape)
        with torch.inference_mode():
            assert torch.equal(compiled(inputs), written(inputs))
            mine, theirs = _in_turn(lambda: compiled(inputs), lambda: written(inputs))  # noqa: B023  # called here
        lines.append(f"| {name} | {mine:.1f} | {theirs:.1f} | {mine / theirs:.3f} |")
    return [*lines, ""]


def _in_turn(first: Callable[[], object], second: Callable[[], object]) -> tuple[float, float]:
    """Median microseconds of each over rounds that alternate, so that noise hits both."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for measured, function in zip(times, (first, second), strict=True):
            start = time.perf_counter()
            for _ in range(CALLS):
                function()
            measured.append((time.perf_counter() - start) / CALLS * 1e6)
    return statistics.median(times[0]), statistics.median(times[1])
