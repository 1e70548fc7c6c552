"""Rows of tensors that live on a device: by name within a workspace, kept by the collector, known to the checker."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from app.db import placed_tensors
from app.db.engine import Database
from app.db.placed_tensors import NewPlacedTensor
from app.errors import Conflict
from app.store.collect import collect
from app.store.store import TensorStore
from app.store.tensors import TensorBytes
from app.store.verify import Verifier


def keep(
    database: Database, name: str, device: str = "cpu:0", workspace: str = "default", data: bytes = b"1234"
) -> str:
    manifest = TensorStore(database).put([("tensor", TensorBytes("uint8", (len(data),), memoryview(data)))])
    new = NewPlacedTensor(f"{workspace}/{name}", workspace, name, manifest, device, "uint8", [len(data)], len(data))
    with database.transaction() as connection:
        placed_tensors.insert(connection, new)
    return manifest


def test_a_name_belongs_to_one_tensor_of_a_workspace(database):
    keep(database, "X", data=b"ours")
    keep(database, "X", workspace="theirs", data=b"not ours")
    with pytest.raises(Conflict, match="'X'"):
        keep(database, "X")
    with database.reading() as connection:
        found = placed_tensors.find(connection, "default", "X")
        assert found is not None
        assert (found.device, found.shape, found.byte_count) == ("cpu:0", [4], 4)
        ids = ["default/X", "theirs/X", "nobody"]
        assert placed_tensors.names_of(connection, "default", ids) == {"default/X": "X"}


def test_bytes_are_counted_by_device_over_all_workspaces(database):
    keep(database, "X", data=b"1234")
    keep(database, "Y", device="cpu:1", data=b"123456")
    keep(database, "X", device="cpu:1", workspace="theirs", data=b"1")
    with database.reading() as connection:
        assert placed_tensors.placed_bytes(connection) == {"cpu:0": 4, "cpu:1": 7}


def test_what_a_tensor_holds_is_kept_until_it_is_deleted(database):
    manifest = keep(database, "X")
    collect(database, timedelta(0))
    assert list(TensorStore(database).manifest(manifest)) == ["tensor"]
    with database.transaction() as connection:
        assert placed_tensors.delete(connection, "default", "X") is not None
        assert placed_tensors.delete(connection, "default", "X") is None
    assert collect(database, timedelta(0)).manifests == 1


def test_damage_is_named_with_the_tensor_that_needs_it(database):
    keep(database, "X", data=b"x" * 1000)
    assert list(Verifier(database).run()) == []
    with database.transaction() as connection:
        connection.execute(sa.text("UPDATE chunks SET size = size + 1"))
    lines = list(Verifier(database).run())
    assert lines
    assert all("used by tensor 'X'" in line for line in lines)
