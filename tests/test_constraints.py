"""`constraints.txt` is what a fresh `make install` installs: all that is needed, at the version that was tested."""

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
OF_TORCH_ALONE = re.compile(
    r"nvidia-(?!ml-py)|cuda-|triton$"
)  # which of these there are depends on the build of PyTorch


def pinned() -> dict[str, str]:
    lines = [line for line in CONSTRAINTS.read_text().splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in lines}


def required() -> list[str]:
    """What the project asks for itself, tools included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["dependencies"] + project["optional-dependencies"]["dev"]


def needed() -> set[str]:
    """Names of all that the project needs here, and of what that needs in turn."""
    found: set[str] = set()
    waiting = [(text, "") for text in required()]
    seen: set[tuple[str, str]] = set()
    while waiting:
        text, extra = waiting.pop()
        requirement = Requirement(text)
        left_out = requirement.marker and not requirement.marker.evaluate({"extra": extra})
        if left_out or OF_TORCH_ALONE.match(requirement.name) or (text, extra) in seen:
            continue
        seen.add((text, extra))
        found.add(canonicalize_name(requirement.name))
        for inner in ("", *requirement.extras):
            waiting += [(further, inner) for further in distribution(requirement.name).requires or []]
    return found


def test_each_line_pins_one_release_that_any_index_has():
    for line in CONSTRAINTS.read_text().splitlines():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line), line


def test_everything_that_is_needed_is_pinned_and_nothing_else():
    unpinned = needed() - set(pinned()) - {"setuptools"}  # torch's own, which venv may bring
    assert (unpinned, set(pinned()) - needed()) == (set(), set())


@pytest.mark.parametrize("name", sorted(pinned()))
def test_what_is_installed_is_what_is_pinned(name):
    assert Version(distribution(name).version).public == pinned()[name]
