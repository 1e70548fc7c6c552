"""Gradients: what backward leaves to be read, a manifest for each network and the revision it belongs to

Revision 0006, after 0005.
"""

import sqlalchemy as sa
from alembic import op

from app.db.columns import Digest, UtcTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "gradients",
        sa.Column("network_id", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("manifest", Digest, nullable=False),
        sa.Column("passes", sa.BigInteger, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("updated_at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("network_id", name="pk_gradients"),
        sa.ForeignKeyConstraint(["manifest"], ["manifests.digest"], name="fk_gradients_manifest_manifests"),
        sa.ForeignKeyConstraint(
            ["network_id", "number"],
            ["revisions.network_id", "revisions.number"],
            name="fk_gradients_network_id_number_revisions",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_gradients_manifest", "gradients", ["manifest"])
    op.create_index("ix_gradients_network_id_number", "gradients", ["network_id", "number"])


def downgrade() -> None:
    op.drop_table("gradients")
