"""Artifacts: saved tensors, one, a list or a dict, under a name

Revision 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op

from app.db.columns import Digest, UtcTime, name_text

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "artifacts",
        sa.Column("workspace", name_text(), nullable=False),
        sa.Column("name", name_text(), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("manifest", Digest, nullable=False),
        sa.Column("tensor_count", sa.BigInteger, nullable=False),
        sa.Column("byte_count", sa.BigInteger, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("updated_at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("workspace", "name", name="pk_artifacts"),
        sa.ForeignKeyConstraint(["manifest"], ["manifests.digest"], name="fk_artifacts_manifest_manifests"),
    )
    op.create_index("ix_artifacts_manifest", "artifacts", ["manifest"])


def downgrade() -> None:
    op.drop_table("artifacts")
