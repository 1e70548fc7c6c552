"""How requests of a network may share a run

Revision 0008, after 0007. Networks that were made before run each request alone, as they did.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("networks", sa.Column("batch_size", sa.BigInteger))
    op.add_column("networks", sa.Column("batch_wait_ms", sa.Double))


def downgrade() -> None:
    op.drop_column("networks", "batch_wait_ms")
    op.drop_column("networks", "batch_size")
