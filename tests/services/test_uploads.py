"""Uploads that wait in a file: a disk that is full, and what a killed service left."""

import os
import time
from pathlib import Path

import pytest

from app.errors import StorageFull
from app.services.uploads import _Spool
from tests.service import start_service


def test_a_disk_that_is_full_when_the_last_of_an_upload_is_written_is_told(tmp_path):
    spool = _Spool(tmp_path)
    spool._file.close()
    spool._file = Path("/dev/full").open("wb")  # noqa: SIM115  # closed by `remove`
    spool.feed(b"buffered")
    with pytest.raises(StorageFull):
        spool.finish()
    spool.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_service_that_starts_removes_what_a_killed_one_was_reading_a_day_ago(tmp_path):
    folder = tmp_path / "spool"
    left, young = _Spool(folder), _Spool(folder)
    others = folder / "somebody-elses"
    others.touch()
    yesterday = time.time() - 90_000
    for path in (left.path, others):
        os.utime(path, (yesterday, yesterday))
    with start_service(tmp_path, env={"MODEL_LAB_SPOOL_DIR": str(folder)}):
        assert set(folder.iterdir()) == {young.path, others}
