"""The tables an ingest keeps beside the log: row images, watermarks, snapshots of the source, mirrors made."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from eventstore.sql.schema import metadata

# The last known state of every source row. ``moved_to`` is empty for a row that stands; a row that left for
# another key, and has not arrived there yet, keeps its image under the key it had. ``row`` is null while the
# row is awaited from another key; ``held`` are the changes that wait for it.
row_image = Table(
    "hw_row_image",
    metadata,
    Column("ingest", Text, primary_key=True),
    Column("source_table", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("moved_to", Text, primary_key=True),
    Column("partition", Integer, nullable=False),
    # Equal rows of a table without a key, and those of them that the snapshot ``seen`` read, or that came after it.
    Column("copies", Integer, nullable=False),
    Column("confirmed", Integer, nullable=False),
    Column("row", Text),
    Column("held", Text),
    Column("commit_lsn", BigInteger),
    Column("lsn", BigInteger),
    Column("total_order", BigInteger),
    # The snapshot (its LSN) that read the row last.
    Column("seen", BigInteger),
    Index("hw_row_image_age", "ingest", "source_table", "partition", "lsn"),
    sqlite_with_rowid=False,
)

watermark = Table(
    "hw_watermark",
    metadata,
    Column("ingest", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("source_table", Text, nullable=False),
    Column("commit_lsn", BigInteger, nullable=False),
    Column("lsn", BigInteger, nullable=False),
    Column("total_order", BigInteger),
    # Microseconds since 1970: the latest source time seen.
    Column("at", BigInteger, nullable=False),
    Column("seen", Text, nullable=False),
)

source_snapshot = Table(
    "hw_source_snapshot",
    metadata,
    Column("ingest", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("lsn", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("tables", Text, nullable=False),
    Column("done", Text, nullable=False),
    Column("until", Text),
    Column("closed", Integer, nullable=False),
)

truncated = Table(
    "hw_truncated",
    metadata,
    Column("ingest", Text, primary_key=True),
    Column("source_table", Text, primary_key=True),
    Column("commit_lsn", BigInteger, nullable=False),
    Column("lsn", BigInteger, nullable=False),
    Column("total_order", BigInteger),
)

# What mirrors headwater made: nothing else is ever altered, written or emptied by one.
mirror = Table(
    "hw_mirror",
    metadata,
    Column("name", Text, primary_key=True),
    Column("ingest", Text, nullable=False),
    Column("source_table", Text, nullable=False),
    Column("columns", Text, nullable=False),
)
