"""The tables, as SQLAlchemy Core sees them; the migrations in `alembic/` make them, and a test holds the two together.

Networks have revisions; a revision names a manifest; a manifest is an ordered list of (name, tensor); a tensor is
dtype, shape and an ordered list of chunks. Everything from the manifest down is content-addressed and immutable, and
shared by all that hold the same content: deleting a network takes its revisions with it and leaves the rest to the
collector. Foreign keys without an action refuse the deletion of what is still in use.
"""

import sqlalchemy as sa

from app.db.columns import Digest, OrderedJson, UtcTime, WideInteger, database_time, name_text

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

networks = sa.Table(
    "networks",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),  # a UUID as text
    sa.Column("workspace", name_text(), nullable=False),
    sa.Column("name", name_text(), nullable=False),
    sa.Column("original", sa.LargeBinary, nullable=False),  # the architecture as it was sent: JSON, byte for byte
    sa.Column("resolved", sa.LargeBinary, nullable=False),  # the architecture that needs no library: JSON
    sa.Column("dtype", sa.Text, nullable=False),
    sa.Column("device", sa.Text, nullable=False),
    sa.Column("seed", WideInteger),
    sa.Column("labels", OrderedJson, nullable=False),
    sa.Column("inputs", OrderedJson, nullable=False),  # names, in order
    sa.Column("head_revision", sa.BigInteger, nullable=False),
    sa.Column("parameter_count", sa.BigInteger, nullable=False),
    sa.Column("parameter_bytes", sa.BigInteger, nullable=False),
    sa.Column("layout", sa.LargeBinary),  # modules, names and ties: JSON; NULL for networks of the first format
    sa.Column("keep_last", sa.BigInteger),  # how many revisions are kept; NULL keeps all
    sa.Column("batch_size", sa.BigInteger),  # requests that may share a run; NULL: each runs alone
    sa.Column("batch_wait_ms", sa.Double),  # how long the first of them waits for others; NULL with batch_size
    sa.Column("created_at", UtcTime, nullable=False, default=database_time()),
    sa.Column("updated_at", UtcTime, nullable=False, default=database_time()),
    sa.UniqueConstraint("workspace", "name"),
    sa.Index("ix_networks_device", "device", "parameter_bytes"),
)

manifests = sa.Table(
    "manifests",
    metadata,
    sa.Column("digest", Digest, primary_key=True),
    sa.Column("last_seen", UtcTime, nullable=False),
    sqlite_with_rowid=False,
)

tensors = sa.Table(
    "tensors",
    metadata,
    sa.Column("digest", Digest, primary_key=True),
    sa.Column("dtype", sa.Text, nullable=False),
    sa.Column("shape", OrderedJson, nullable=False),
    sa.Column("byte_count", sa.BigInteger, nullable=False),
    sa.Column("chunk_bytes", sa.BigInteger, nullable=False),  # size of each of its chunks but the last
    sa.Column("last_seen", UtcTime, nullable=False),
    sqlite_with_rowid=False,
)

manifest_tensors = sa.Table(
    "manifest_tensors",
    metadata,
    sa.Column("manifest", Digest, sa.ForeignKey("manifests.digest", ondelete="CASCADE"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("name", name_text(), nullable=False),
    sa.Column("tensor", Digest, sa.ForeignKey("tensors.digest"), nullable=False, index=True),
    sqlite_with_rowid=False,
)

chunks = sa.Table(
    "chunks",
    metadata,
    sa.Column("digest", Digest, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("last_seen", UtcTime, nullable=False, index=True),
    sa.Column("data", sa.LargeBinary, nullable=False),  # last: what stands before it is read without its pages
)

tensor_chunks = sa.Table(
    "tensor_chunks",
    metadata,
    sa.Column("tensor", Digest, sa.ForeignKey("tensors.digest", ondelete="CASCADE"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("chunk", Digest, sa.ForeignKey("chunks.digest"), nullable=False, index=True),
    sqlite_with_rowid=False,
)

tensor_bases = sa.Table(  # a tensor here has the chunks of its base, but where it has chunks of its own
    "tensor_bases",
    metadata,
    sa.Column("tensor", Digest, sa.ForeignKey("tensors.digest", ondelete="CASCADE"), primary_key=True),
    sa.Column("base", Digest, sa.ForeignKey("tensors.digest"), nullable=False, index=True),
    sqlite_with_rowid=False,
)

revisions = sa.Table(
    "revisions",
    metadata,
    sa.Column("network_id", sa.Text, sa.ForeignKey("networks.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True),
    sa.Column("manifest", Digest, sa.ForeignKey("manifests.digest"), nullable=False, index=True),
    sa.Column("operation", sa.Text, nullable=False),  # what made it: "create", "edit", ...
    sa.Column("author", sa.Text),  # who: the key's name, or NULL where no keys are made
    sa.Column("detail", OrderedJson, nullable=False),
    sa.Column("requires_grad", OrderedJson),  # name -> bool, where it is not as it was built; NULL: nowhere
    sa.Column("created_at", UtcTime, nullable=False, default=database_time()),
    sqlite_with_rowid=False,
)

artifacts = sa.Table(
    "artifacts",
    metadata,
    sa.Column("workspace", name_text(), primary_key=True),
    sa.Column("name", name_text(), primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),  # "tensor", "list" or "dict"
    sa.Column("manifest", Digest, sa.ForeignKey("manifests.digest"), nullable=False, index=True),
    sa.Column("tensor_count", sa.BigInteger, nullable=False),
    sa.Column("byte_count", sa.BigInteger, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False, default=database_time()),
    sa.Column("updated_at", UtcTime, nullable=False, default=database_time()),
)

checkpoints = sa.Table(
    "checkpoints",
    metadata,
    sa.Column("network_id", sa.Text, primary_key=True),
    sa.Column("tag", name_text(), primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("author", sa.Text),
    sa.Column("created_at", UtcTime, nullable=False, default=database_time()),
    sa.ForeignKeyConstraint(["network_id", "number"], ["revisions.network_id", "revisions.number"], ondelete="CASCADE"),
    sa.Index("ix_checkpoints_network_id_number", "network_id", "number"),
)

gradients = sa.Table(  # what the last backward of a network left, or several that were added up
    "gradients",
    metadata,
    sa.Column("network_id", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),  # of the revision they belong to
    sa.Column("manifest", Digest, sa.ForeignKey("manifests.digest"), nullable=False, index=True),
    sa.Column("passes", sa.BigInteger, nullable=False),  # how many were added up
    sa.Column("created_at", UtcTime, nullable=False, default=database_time()),
    sa.Column("updated_at", UtcTime, nullable=False, default=database_time()),
    sa.ForeignKeyConstraint(["network_id", "number"], ["revisions.network_id", "revisions.number"], ondelete="CASCADE"),
    sa.Index("ix_gradients_network_id_number", "network_id", "number"),
)

placed_tensors = sa.Table(  # tensors that live on a device
    "placed_tensors",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),  # a UUID as text
    sa.Column("workspace", name_text(), nullable=False),
    sa.Column("name", name_text(), nullable=False),
    sa.Column("manifest", Digest, sa.ForeignKey("manifests.digest"), nullable=False, index=True),
    sa.Column("device", sa.Text, nullable=False),
    sa.Column("dtype", sa.Text, nullable=False),
    sa.Column("shape", OrderedJson, nullable=False),
    sa.Column("byte_count", sa.BigInteger, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.UniqueConstraint("workspace", "name"),
    sa.Index("ix_placed_tensors_device", "device", "byte_count"),
)

blocks = sa.Table(
    "blocks",
    metadata,
    sa.Column("workspace", name_text(), primary_key=True),
    sa.Column("name", name_text(), primary_key=True),
    sa.Column("definition", sa.LargeBinary, nullable=False),  # JSON, byte for byte
    sa.Column("uses", OrderedJson, nullable=False),  # names of the library blocks it uses itself
    sa.Column("created_at", UtcTime, nullable=False, default=database_time()),
    sa.Column("updated_at", UtcTime, nullable=False, default=database_time()),
)

idempotency = sa.Table(
    "idempotency",
    metadata,
    sa.Column("workspace", name_text(), primary_key=True),
    sa.Column("key", name_text(), primary_key=True),
    sa.Column("request_digest", sa.Text, nullable=False),  # of method, path and body
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("headers", OrderedJson, nullable=False),  # [[name, value], ...]
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False, default=database_time(), index=True),
)

jobs = sa.Table(
    "jobs",
    metadata,
    # the order they came in; a number is never used again
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("workspace", name_text(), nullable=False),
    sa.Column("kind", sa.Text, nullable=False),  # "forward", "initialize", ...
    sa.Column("network_id", sa.Text),  # no foreign key: a job outlives its network, and then says so
    sa.Column("network", name_text()),  # its name when the job was asked for
    sa.Column("author", sa.Text),
    sa.Column("priority", sa.Integer, nullable=False),  # 0 is most urgent
    sa.Column("state", sa.Text, nullable=False),  # "queued", "running", "succeeded", "failed" or "cancelled"
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("deaths", sa.Integer, nullable=False),  # of workers and services, since the last checkpoint
    sa.Column("not_before", UtcTime, nullable=False),  # a queued job waits until then
    sa.Column("lease_token", sa.Text),  # the fence: who runs it says so in every statement
    sa.Column("lease_until", UtcTime),
    sa.Column("progress", OrderedJson),
    sa.Column("last_event", sa.BigInteger, nullable=False),
    sa.Column("result_status", sa.Integer),
    sa.Column("result_headers", OrderedJson),  # [[name, value], ...]
    sa.Column("failure", sa.LargeBinary),  # JSON of the error it ended with
    sa.Column("created_at", UtcTime, nullable=False, default=database_time()),
    sa.Column("started_at", UtcTime),  # the newest attempt
    sa.Column("finished_at", UtcTime, index=True),
    sa.Column("request", sa.LargeBinary, nullable=False),  # in the words of its kind
    sa.Column("checkpoint", sa.LargeBinary),  # where the next attempt goes on, in the words of its kind
    sa.Column("body", sa.LargeBinary),  # of the request where it is small; else manifest "body"
    sa.Column("result", sa.LargeBinary),  # bytes where they are few; else manifest "result"
    sa.Index("ix_jobs_state_priority_number", "state", "priority", "number"),
    sa.Index("ix_jobs_workspace_number", "workspace", "number"),
    sa.Index("ix_jobs_workspace_network_number", "workspace", "network", "number"),
    sa.Index("ix_jobs_network_id_kind_state", "network_id", "kind", "state"),
    sqlite_autoincrement=True,
)

curves = sa.Table(  # how the loss of a training went so far
    "curves",
    metadata,
    sa.Column("job", sa.BigInteger, sa.ForeignKey("jobs.number", ondelete="CASCADE"), primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),  # in the words of training
    sqlite_with_rowid=False,
)

job_events = sa.Table(
    "job_events",
    metadata,
    sa.Column("job", sa.BigInteger, sa.ForeignKey("jobs.number", ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True),  # 1 for the first of a job
    sa.Column("type", sa.Text, nullable=False),  # "state" or "progress"
    sa.Column("data", OrderedJson, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False, default=database_time()),
    sqlite_with_rowid=False,
)

job_manifests = sa.Table(  # what a job needs of the store
    "job_manifests",
    metadata,
    sa.Column("job", sa.BigInteger, sa.ForeignKey("jobs.number", ondelete="CASCADE"), primary_key=True),
    sa.Column("role", name_text(), primary_key=True),  # "body", "result", or a word of its kind
    sa.Column("manifest", Digest, sa.ForeignKey("manifests.digest"), nullable=False, index=True),
    sqlite_with_rowid=False,
)

keys = sa.Table(
    "keys",
    metadata,
    sa.Column("id", name_text(), primary_key=True),  # stands in the key itself, to look it up by
    sa.Column("digest", sa.LargeBinary(32), nullable=False),  # SHA-256 of the secret, which is kept nowhere
    sa.Column("workspace", name_text(), nullable=False),
    sa.Column("role", sa.Text, nullable=False),  # "read", "write" or "admin"
    sa.Column("name", sa.Text),
    sa.Column("requests_per_second", sa.Float),
    sa.Column("body_bytes", sa.BigInteger),
    sa.Column("created_at", UtcTime, nullable=False, default=database_time()),
    sa.Column("expires_at", UtcTime),
    sa.Column("revoked_at", UtcTime),
)
