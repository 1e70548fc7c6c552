"""Uploads that wait in a file: a disk that is full."""

from pathlib import Path

import pytest

from app.errors import StorageFull
from app.services.uploads import _Spool


def test_a_disk_that_is_full_when_the_last_of_an_upload_is_written_is_told(tmp_path):
    spool = _Spool(tmp_path)
    spool._file.close()
    spool._file = Path("/dev/full").open("wb")  # noqa: SIM115  # closed by `remove`
    spool.feed(b"buffered")
    with pytest.raises(StorageFull):
        spool.finish()
    spool.remove()
    assert list(tmp_path.iterdir()) == []
