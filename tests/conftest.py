"""Fixtures that all rooms share: databases. Fakes and helpers live beside the tests that need them."""

from collections.abc import Iterator

import pytest

from app.db.engine import Database
from tests.databases import PostgresqlServer, SqliteFiles, running_postgresql

pytest_plugins = ["tests.service"]  # a running service


@pytest.fixture(scope="session")
def sqlite_files(tmp_path_factory: pytest.TempPathFactory) -> SqliteFiles:
    return SqliteFiles(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    with running_postgresql() as server:
        yield server


@pytest.fixture
def sqlite_url(sqlite_files: SqliteFiles) -> str:
    """A fresh SQLite database, migrated."""
    return sqlite_files.fresh()


@pytest.fixture
def postgres_url(postgresql_server: PostgresqlServer) -> Iterator[str]:
    """A fresh PostgreSQL database, migrated."""
    url = postgresql_server.fresh()
    yield url
    postgresql_server.drop(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh migrated database; the test runs once on SQLite and once on PostgreSQL."""
    return request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A fresh database without any table, once of each kind."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_files").fresh(migrated=False)
        return
    server = request.getfixturevalue("postgresql_server")
    url = server.fresh(migrated=False)
    yield url
    server.drop(url)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """`database_url`, opened."""
    opened = Database(database_url)
    yield opened
    opened.close()
