"""Clients that ask for other versions than we do live in an environment of their own, which `make install` makes."""

import shutil
import sys
from pathlib import Path

import pytest

ENVIRONMENT = Path(sys.prefix) / "clients"


@pytest.fixture(scope="session")
def clients() -> Path:
    """Where the commands of these clients are."""
    if not (ENVIRONMENT / "bin" / "python").exists():
        pytest.skip("the environment of the clients is not there; `make install` makes it")
    return ENVIRONMENT / "bin"


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """Where the packages are that make and check a client for TypeScript."""
    found = ENVIRONMENT / "typescript" / "node_modules"
    if not (found / ".bin" / "tsc").exists() or shutil.which("node") is None:
        pytest.skip("Node.js or its packages are not there; `make install` fetches the packages where there is npm")
    return found
