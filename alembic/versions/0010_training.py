"""Training: the curves of its jobs, and a quick way to the jobs of a network

Revision 0010, after 0009.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "curves",
        sa.Column("job", sa.BigInteger, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("job", name="pk_curves"),
        sa.ForeignKeyConstraint(["job"], ["jobs.number"], name="fk_curves_job_jobs", ondelete="CASCADE"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_jobs_network_id_kind_state", "jobs", ["network_id", "kind", "state"])


def downgrade() -> None:
    op.drop_index("ix_jobs_network_id_kind_state", "jobs")
    op.drop_table("curves")
