"""Tensors that differ from another one in some chunks keep those alone

Revision 0004. Going back writes out the chunks of each such tensor in full.
"""

import sqlalchemy as sa
from alembic import op

from app.db.columns import Digest

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tensor_bases",
        sa.Column("tensor", Digest, nullable=False),
        sa.Column("base", Digest, nullable=False),
        sa.PrimaryKeyConstraint("tensor", name="pk_tensor_bases"),
        sa.ForeignKeyConstraint(
            ["tensor"], ["tensors.digest"], name="fk_tensor_bases_tensor_tensors", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["base"], ["tensors.digest"], name="fk_tensor_bases_base_tensors"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_tensor_bases_base", "tensor_bases", ["base"])


def downgrade() -> None:
    op.execute(
        "INSERT INTO tensor_chunks (tensor, position, chunk) "
        "SELECT b.tensor, t.position, t.chunk FROM tensor_bases b JOIN tensor_chunks t ON t.tensor = b.base "
        "WHERE NOT EXISTS (SELECT 1 FROM tensor_chunks o WHERE o.tensor = b.tensor AND o.position = t.position)"
    )
    op.drop_table("tensor_bases")
