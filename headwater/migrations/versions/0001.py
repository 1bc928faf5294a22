"""The tables of the first release."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SCHEMA = "headwater"
Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# On SQLite times are ISO 8601 text in UTC, which sorts as the times do.
Time = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "hw_checkpoint",
        sa.Column("pipeline", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("pipeline", "generation", "topic", "partition"),
        schema=SCHEMA,
    )
    op.create_table(
        "hw_dead_letter",
        sa.Column("id", Serial, autoincrement=True, nullable=False),
        sa.Column("pipeline", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("keys", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("record_key", sa.LargeBinary(), nullable=True),
        sa.Column("record_value", sa.LargeBinary(), nullable=True),
        sa.Column("record_headers", sa.Text(), nullable=False),
        sa.Column("record_at", Time, nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("error_type", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("traceback", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_failed_at", Time, nullable=False),
        sa.Column("last_failed_at", Time, nullable=False),
        sa.Column("closed_at", Time, nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("pipeline", "generation", "topic", "partition", "offset", name="hw_dead_letter_record"),
        schema=SCHEMA,
        sqlite_autoincrement=True,
    )
    op.create_index("hw_dead_letter_key", "hw_dead_letter", ["key"], unique=False, schema=SCHEMA)
    op.create_index(
        "hw_dead_letter_state", "hw_dead_letter", ["pipeline", "generation", "state"], unique=False, schema=SCHEMA
    )
    op.create_table(
        "hw_event",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("data_version", sa.Integer(), nullable=False),
        sa.Column("at", Time, nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("appended", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition", "offset"),
        sa.UniqueConstraint("id", "topic", name="hw_event_id"),
        sa.UniqueConstraint("stream", "version", "topic", name="hw_event_stream"),
        schema=SCHEMA,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "hw_head",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("next", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition"),
        schema=SCHEMA,
    )
    op.create_table(
        "hw_mirror",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("ingest", sa.Text(), nullable=False),
        sa.Column("source_table", sa.Text(), nullable=False),
        sa.Column("columns", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        schema=SCHEMA,
    )
    op.create_table(
        "hw_pipeline",
        sa.Column("pipeline", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("handled", sa.BigInteger(), nullable=False),
        sa.Column("rate", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("pipeline", "generation"),
        schema=SCHEMA,
    )
    op.create_table(
        "hw_read_model",
        sa.Column("relation", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("projection", sa.Text(), nullable=False),
        sa.Column("shape", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("relation", "generation"),
        schema=SCHEMA,
    )
    op.create_table(
        "hw_row_image",
        sa.Column("ingest", sa.Text(), nullable=False),
        sa.Column("source_table", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("moved_to", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("copies", sa.Integer(), nullable=False),
        sa.Column("confirmed", sa.Integer(), nullable=False),
        sa.Column("row", sa.Text(), nullable=True),
        sa.Column("held", sa.Text(), nullable=True),
        sa.Column("commit_lsn", sa.BigInteger(), nullable=True),
        sa.Column("lsn", sa.BigInteger(), nullable=True),
        sa.Column("total_order", sa.BigInteger(), nullable=True),
        sa.Column("seen", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("ingest", "source_table", "key", "moved_to"),
        schema=SCHEMA,
        sqlite_with_rowid=False,
    )
    op.create_index(
        "hw_row_image_age", "hw_row_image", ["ingest", "source_table", "partition", "lsn"], unique=False, schema=SCHEMA
    )
    op.create_table(
        "hw_snapshot",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("shape", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "stream"),
        schema=SCHEMA,
    )
    op.create_table(
        "hw_source_snapshot",
        sa.Column("ingest", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("lsn", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("tables", sa.Text(), nullable=False),
        sa.Column("done", sa.Text(), nullable=False),
        sa.Column("until", sa.Text(), nullable=True),
        sa.Column("closed", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("ingest", "source"),
        schema=SCHEMA,
    )
    op.create_table(
        "hw_topic",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partitions", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("topic"),
        schema=SCHEMA,
    )
    op.create_table(
        "hw_truncated",
        sa.Column("ingest", sa.Text(), nullable=False),
        sa.Column("source_table", sa.Text(), nullable=False),
        sa.Column("commit_lsn", sa.BigInteger(), nullable=False),
        sa.Column("lsn", sa.BigInteger(), nullable=False),
        sa.Column("total_order", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("ingest", "source_table"),
        schema=SCHEMA,
    )
    op.create_table(
        "hw_watermark",
        sa.Column("ingest", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("source_table", sa.Text(), nullable=False),
        sa.Column("commit_lsn", sa.BigInteger(), nullable=False),
        sa.Column("lsn", sa.BigInteger(), nullable=False),
        sa.Column("total_order", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("seen", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("ingest", "topic", "partition"),
        schema=SCHEMA,
    )
    op.create_table(
        "hw_worker",
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("seen_until", sa.Double(), nullable=False),
        sa.Column("pipelines", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("worker"),
        schema=SCHEMA,
    )
