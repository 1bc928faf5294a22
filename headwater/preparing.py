"""Everything a database needs before an application can use it."""

from __future__ import annotations

from sqlalchemy import select

from eventstore.model.stream import topic_name
from eventstore.sql import schema
from eventstore.sql.engine import reading, writing
from eventstore.sql.faults import available
from headwater import pipelines
from headwater.migrate import migrate
from headwater.parts import Parts
from headwater.resources import Resources


def prepare(resources: Resources, parts: Parts, partitions: int) -> None:
    """Make or migrate headwater's tables, make the topics and the tables of read models that are missing.

    When all is there it costs a few SELECTs and writes nothing. A topic made with another number of
    partitions is a :class:`~eventstore.errors.DeclarationError`.
    """
    migrate(resources.engine)
    _create_topics(resources, parts, partitions)
    _create_tables(resources, parts)


def _create_topics(resources: Resources, parts: Parts, partitions: int) -> None:
    made = topics(resources)
    wanted = {c: partitions for c in parts.categories if made.get(topic_name(resources.log.app, c)) != partitions}
    if wanted:
        resources.log.create_topics(wanted)


def topics(resources: Resources) -> dict[str, int]:
    """The topics of the database, with their partition counts."""
    topic = schema.topic.c
    with available(resources.engine), reading(resources.engine) as connection:
        rows = connection.execute(select(topic.topic, topic.partitions))
        return {row.topic: row.partitions for row in rows}


def _create_tables(resources: Resources, parts: Parts) -> None:
    with available(resources.engine), writing(resources.engine) as connection:
        pipelines.create_read_models(connection, parts)
