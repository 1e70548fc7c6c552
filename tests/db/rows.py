"""Rows as the tests need them."""

import uuid

import sqlalchemy as sa

from app.db import networks, revisions
from app.db.networks import NetworkRow, NewNetwork
from app.db.revisions import NewRevision
from app.store.manifests import keep_manifest

MANIFEST = "ab" * 32
OTHER_MANIFEST = "cd" * 32


def new_network(name: str = "net", workspace: str = "main", **changes: object) -> NewNetwork:
    values: dict[str, object] = {
        "id": str(uuid.uuid4()),
        "workspace": workspace,
        "name": name,
        "original": b'["Linear(2, 3)"]',
        "resolved": b'{"type":"Sequential"}',
        "dtype": "float32",
        "device": "cpu:0",
        "seed": 7,
        "labels": {"b": "1", "a": "2"},
        "inputs": ["input"],
        "parameter_count": 9,
        "parameter_bytes": 36,
    }
    return NewNetwork(**{**values, **changes})  # type: ignore[arg-type]


def add_network(connection: sa.Connection, name: str = "net", workspace: str = "main") -> NetworkRow:
    """A network with its first revision."""
    row = networks.insert(connection, new_network(name, workspace))
    for digest in (MANIFEST, OTHER_MANIFEST):
        keep_manifest(connection, digest, [])
    revisions.insert(connection, NewRevision(row.id, 1, MANIFEST, "create"))
    return row


def next_revision(row: NetworkRow, number: int, manifest: str = OTHER_MANIFEST) -> NewRevision:
    return NewRevision(row.id, number, manifest, "edit", author="ada", detail={"z": 1, "a": [2]})
