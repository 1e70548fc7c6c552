"""Jobs: long work that outlives the request, its events, and what it needs of the store

Revision 0005.
"""

import sqlalchemy as sa
from alembic import op

from app.db.columns import Digest, OrderedJson, UtcTime, name_text

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False, autoincrement=True),
        sa.Column("workspace", name_text(), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("network_id", sa.Text),
        sa.Column("network", name_text()),
        sa.Column("author", sa.Text),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("deaths", sa.Integer, nullable=False),
        sa.Column("not_before", UtcTime, nullable=False),
        sa.Column("lease_token", sa.Text),
        sa.Column("lease_until", UtcTime),
        sa.Column("progress", OrderedJson),
        sa.Column("last_event", sa.BigInteger, nullable=False),
        sa.Column("result_status", sa.Integer),
        sa.Column("result_headers", OrderedJson),
        sa.Column("failure", sa.LargeBinary),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("started_at", UtcTime),
        sa.Column("finished_at", UtcTime),
        sa.Column("request", sa.LargeBinary, nullable=False),
        sa.Column("checkpoint", sa.LargeBinary),
        sa.Column("body", sa.LargeBinary),
        sa.Column("result", sa.LargeBinary),
        sa.PrimaryKeyConstraint("number", name="pk_jobs"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_jobs_finished_at", "jobs", ["finished_at"])
    op.create_index("ix_jobs_state_priority_number", "jobs", ["state", "priority", "number"])
    op.create_index("ix_jobs_workspace_number", "jobs", ["workspace", "number"])
    op.create_index("ix_jobs_workspace_network_number", "jobs", ["workspace", "network", "number"])
    op.create_table(
        "job_events",
        sa.Column("job", sa.BigInteger, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("data", OrderedJson, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("job", "number", name="pk_job_events"),
        sa.ForeignKeyConstraint(["job"], ["jobs.number"], name="fk_job_events_job_jobs", ondelete="CASCADE"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "job_manifests",
        sa.Column("job", sa.BigInteger, nullable=False),
        sa.Column("role", name_text(), nullable=False),
        sa.Column("manifest", Digest, nullable=False),
        sa.PrimaryKeyConstraint("job", "role", name="pk_job_manifests"),
        sa.ForeignKeyConstraint(["job"], ["jobs.number"], name="fk_job_manifests_job_jobs", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["manifest"], ["manifests.digest"], name="fk_job_manifests_manifest_manifests"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_job_manifests_manifest", "job_manifests", ["manifest"])


def downgrade() -> None:
    op.drop_table("job_manifests")
    op.drop_table("job_events")
    op.drop_table("jobs")
