"""Keys: who may use the service

Revision 0007, after 0006. Going back forgets every key, and the service asks for none.
"""

import sqlalchemy as sa
from alembic import op

from app.db.columns import UtcTime, name_text

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "keys",
        sa.Column("id", name_text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("workspace", name_text(), nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("name", sa.Text),
        sa.Column("requests_per_second", sa.Float),
        sa.Column("body_bytes", sa.BigInteger),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("expires_at", UtcTime),
        sa.Column("revoked_at", UtcTime),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
    )


def downgrade() -> None:
    op.drop_table("keys")
