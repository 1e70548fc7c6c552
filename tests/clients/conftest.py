"""Clients that ask for other versions than we do live in an environment of their own, which `make install` makes."""

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
