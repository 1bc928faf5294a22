"""The tables of the log and the pipelines.

They live in the schema ``headwater`` on PostgreSQL, so that a user's own migrations never see them. SQLite
has no schemas: engines made by :func:`eventstore.sql.engine.connect` drop the schema's name there.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

from eventstore.sql.columns import AwareDateTime

SCHEMA = "headwater"
metadata = MetaData(schema=SCHEMA)

# A SQLite integer primary key counts by itself only when it is declared INTEGER.
Serial = BigInteger().with_variant(Integer(), "sqlite")
Time = AwareDateTime()

topic = Table(
    "hw_topic",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partitions", Integer, nullable=False),
)

head = Table(
    "hw_head",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next", BigInteger, nullable=False),
)

event = Table(
    "hw_event",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("stream", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("data_version", Integer, nullable=False),
    Column("at", Time, nullable=False),
    Column("data", Text, nullable=False),
    Column("headers", Text, nullable=False),
    # How many events the append had, and what its command was: enough to answer a repetition.
    Column("appended", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    # The topic comes last: while a table is new and has no statistics, PostgreSQL takes an index that begins
    # with the topic for as good as any, keeps that plan, and reads the whole topic for every append.
    UniqueConstraint("stream", "version", "topic", name="hw_event_stream"),
    UniqueConstraint("id", "topic", name="hw_event_id"),
    sqlite_with_rowid=False,
)

snapshot = Table(
    "hw_snapshot",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("stream", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("shape", Text, nullable=False),
    Column("state", Text, nullable=False),
)

pipeline = Table(
    "hw_pipeline",
    metadata,
    Column("pipeline", Text, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    # What the rows were folded by; other logic needs a rebuild.
    Column("fingerprint", Text, nullable=False),
    # Counts every change of a dead letter made by somebody else than the leaseholder, who looks at it.
    Column("revision", BigInteger, nullable=False),
    Column("handled", BigInteger, nullable=False),
    Column("rate", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
)

checkpoint = Table(
    "hw_checkpoint",
    metadata,
    Column("pipeline", Text, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),
    # Seconds since 1970 by the database's clock; the lease is free when it is past.
    Column("lease_until", Double, nullable=False),
)

worker = Table(
    "hw_worker",
    metadata,
    Column("worker", Text, primary_key=True),
    Column("seen_until", Double, nullable=False),
    Column("pipelines", Text, nullable=False),
)

dead_letter = Table(
    "hw_dead_letter",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("pipeline", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("keys", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("record_key", LargeBinary),
    Column("record_value", LargeBinary),
    Column("record_headers", Text, nullable=False),
    Column("record_at", Time),
    Column("source", Text, nullable=False),
    Column("error_type", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("traceback", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first_failed_at", Time, nullable=False),
    Column("last_failed_at", Time, nullable=False),
    Column("closed_at", Time),
    Column("note", Text, nullable=False),
    UniqueConstraint("pipeline", "generation", "topic", "partition", "offset", name="hw_dead_letter_record"),
    Index("hw_dead_letter_state", "pipeline", "generation", "state"),
    Index("hw_dead_letter_key", "key"),
    sqlite_autoincrement=True,  # an id that an operator has in hand is never that of another
)
