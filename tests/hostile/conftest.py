"""One service under attack for all hostile tests of a session, looked over when they have ended."""

from collections.abc import Iterator

import pytest

from tests.hostile.laboratory import SETTINGS, Laboratory
from tests.service import start_service


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    folder = tmp_path_factory.mktemp("hostile")
    with start_service(folder, env=SETTINGS) as service, service.client() as client:
        lab = Laboratory(service, client, folder / "data")
        yield lab
        lab.look_around()
