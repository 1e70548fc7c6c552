"""Networks, their revisions, the tensors these hold, blocks and idempotency keys

Revision 0001, the first.
"""

import sqlalchemy as sa
from alembic import op

from app.db.columns import Digest, OrderedJson, UtcTime, WideInteger, name_text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "networks",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("workspace", name_text(), nullable=False),
        sa.Column("name", name_text(), nullable=False),
        sa.Column("original", sa.LargeBinary, nullable=False),
        sa.Column("resolved", sa.LargeBinary, nullable=False),
        sa.Column("dtype", sa.Text, nullable=False),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("seed", WideInteger),
        sa.Column("labels", OrderedJson, nullable=False),
        sa.Column("inputs", OrderedJson, nullable=False),
        sa.Column("head_revision", sa.BigInteger, nullable=False),
        sa.Column("parameter_count", sa.BigInteger, nullable=False),
        sa.Column("parameter_bytes", sa.BigInteger, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("updated_at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_networks"),
        sa.UniqueConstraint("workspace", "name", name="uq_networks_workspace_name"),
    )
    op.create_table(
        "manifests",
        sa.Column("digest", Digest, nullable=False),
        sa.Column("last_seen", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_manifests"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tensors",
        sa.Column("digest", Digest, nullable=False),
        sa.Column("dtype", sa.Text, nullable=False),
        sa.Column("shape", OrderedJson, nullable=False),
        sa.Column("byte_count", sa.BigInteger, nullable=False),
        sa.Column("chunk_bytes", sa.BigInteger, nullable=False),
        sa.Column("last_seen", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_tensors"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "manifest_tensors",
        sa.Column("manifest", Digest, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("name", name_text(), nullable=False),
        sa.Column("tensor", Digest, nullable=False),
        sa.PrimaryKeyConstraint("manifest", "position", name="pk_manifest_tensors"),
        sa.ForeignKeyConstraint(
            ["manifest"], ["manifests.digest"], name="fk_manifest_tensors_manifest_manifests", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tensor"], ["tensors.digest"], name="fk_manifest_tensors_tensor_tensors"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_manifest_tensors_tensor", "manifest_tensors", ["tensor"])
    op.create_table(
        "chunks",
        sa.Column("digest", Digest, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("last_seen", UtcTime, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_chunks"),
    )
    op.create_index("ix_chunks_last_seen", "chunks", ["last_seen"])
    if op.get_bind().dialect.name == "postgresql":  # the default would try to compress every chunk
        op.execute("ALTER TABLE chunks ALTER COLUMN data SET STORAGE EXTERNAL")
    op.create_table(
        "tensor_chunks",
        sa.Column("tensor", Digest, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("chunk", Digest, nullable=False),
        sa.PrimaryKeyConstraint("tensor", "position", name="pk_tensor_chunks"),
        sa.ForeignKeyConstraint(
            ["tensor"], ["tensors.digest"], name="fk_tensor_chunks_tensor_tensors", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["chunk"], ["chunks.digest"], name="fk_tensor_chunks_chunk_chunks"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_tensor_chunks_chunk", "tensor_chunks", ["chunk"])
    op.create_table(
        "revisions",
        sa.Column("network_id", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("manifest", Digest, nullable=False),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("author", sa.Text),
        sa.Column("detail", OrderedJson, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("network_id", "number", name="pk_revisions"),
        sa.ForeignKeyConstraint(
            ["network_id"], ["networks.id"], name="fk_revisions_network_id_networks", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["manifest"], ["manifests.digest"], name="fk_revisions_manifest_manifests"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_revisions_manifest", "revisions", ["manifest"])
    op.create_table(
        "blocks",
        sa.Column("workspace", name_text(), nullable=False),
        sa.Column("name", name_text(), nullable=False),
        sa.Column("definition", sa.LargeBinary, nullable=False),
        sa.Column("uses", OrderedJson, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("updated_at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("workspace", "name", name="pk_blocks"),
    )
    op.create_table(
        "idempotency",
        sa.Column("workspace", name_text(), nullable=False),
        sa.Column("key", name_text(), nullable=False),
        sa.Column("request_digest", sa.Text, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("headers", OrderedJson, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("workspace", "key", name="pk_idempotency"),
    )
    op.create_index("ix_idempotency_created_at", "idempotency", ["created_at"])


def downgrade() -> None:
    for table in (
        "idempotency",
        "blocks",
        "revisions",
        "tensor_chunks",
        "chunks",
        "manifest_tensors",
        "tensors",
        "manifests",
        "networks",
    ):
        op.drop_table(table)
