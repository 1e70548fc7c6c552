"""What a network is made of beside its row, tags on revisions, and how many revisions are kept

Revision 0003. Networks that were made before have no layout (a worker finds it out from their architecture when it
needs it), keep all their revisions, and train all their parameters.
"""

import sqlalchemy as sa
from alembic import op

from app.db.columns import OrderedJson, UtcTime, name_text

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("networks", sa.Column("layout", sa.LargeBinary))
    op.add_column("networks", sa.Column("keep_last", sa.BigInteger))
    op.add_column("revisions", sa.Column("requires_grad", OrderedJson))
    op.create_table(
        "checkpoints",
        sa.Column("network_id", sa.Text, nullable=False),
        sa.Column("tag", name_text(), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("author", sa.Text),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("network_id", "tag", name="pk_checkpoints"),
        sa.ForeignKeyConstraint(
            ["network_id", "number"],
            ["revisions.network_id", "revisions.number"],
            name="fk_checkpoints_network_id_number_revisions",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_checkpoints_network_id_number", "checkpoints", ["network_id", "number"])


def downgrade() -> None:
    op.drop_table("checkpoints")
    op.drop_column("revisions", "requires_grad")
    op.drop_column("networks", "keep_last")
    op.drop_column("networks", "layout")
