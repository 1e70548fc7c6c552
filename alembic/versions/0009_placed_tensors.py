"""Tensors that live on a device; and bytes by device, for those who choose one

Revision 0009, after 0008. Going back forgets these tensors.
"""

import sqlalchemy as sa
from alembic import op

from app.db.columns import Digest, OrderedJson, UtcTime, name_text

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "placed_tensors",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("workspace", name_text(), nullable=False),
        sa.Column("name", name_text(), nullable=False),
        sa.Column("manifest", Digest, nullable=False),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("dtype", sa.Text, nullable=False),
        sa.Column("shape", OrderedJson, nullable=False),
        sa.Column("byte_count", sa.BigInteger, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_placed_tensors"),
        sa.UniqueConstraint("workspace", "name", name="uq_placed_tensors_workspace_name"),
        sa.ForeignKeyConstraint(["manifest"], ["manifests.digest"], name="fk_placed_tensors_manifest_manifests"),
    )
    op.create_index("ix_placed_tensors_manifest", "placed_tensors", ["manifest"])
    op.create_index("ix_placed_tensors_device", "placed_tensors", ["device", "byte_count"])
    op.create_index("ix_networks_device", "networks", ["device", "parameter_bytes"])


def downgrade() -> None:
    op.drop_index("ix_networks_device", "networks")
    op.drop_table("placed_tensors")
