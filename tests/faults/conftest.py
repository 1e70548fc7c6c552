"""Fixtures of the tests of faults: the forge, and a database of each kind for services to keep their data in."""

from collections.abc import Iterator

import pytest

from tests.databases import PostgresqlServer, running_postgresql
from tests.faults.forge import Forge, running_forge
from tests.faults.storms import HISTOGRAMS


@pytest.fixture(scope="session")
def forge() -> Iterator[Forge]:
    """Starts services in a fraction of a second."""
    with running_forge() as forge:
        yield forge


@pytest.fixture(scope="session")
def breakable_server() -> Iterator[PostgresqlServer]:
    """A PostgreSQL server that no other test uses, as it is to be frozen, to crash and to find its disk full."""
    with running_postgresql() as server:
        yield server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Shows at the end what clients were told while services and workers were killed under them."""
    for storm, told in HISTOGRAMS.items():
        terminalreporter.section(storm)
        for what, count in sorted(told.items()):
            bar = "#" * max(1, round(40 * count / max(told.values())))
            terminalreporter.write_line(f"{what:<50} {count:>7,} {bar}")
