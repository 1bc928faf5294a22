"""The pipelines of an application, made from its parts."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from cdc.handler import IngestHandler
from cdc.ingest import Ingest
from eventstore.model.log import Source
from eventstore.pipeline import Handler, Options, Pipeline
from headwater.parts import AnyProjection, Parts
from headwater.resources import Resources
from headwater.settings import Settings
from projections import ProjectionHandler, SqlProjection, SqlProjectionHandler, create_tables

GENERATION = 1
"""Of every read model: there is one physical copy of each."""


def options(settings: Settings) -> Options:
    return Options(
        batch=settings.batch_size,
        attempts=settings.attempts,
        lease_seconds=settings.lease_seconds,
        parked_limit=settings.parked_limit,
        parked_window=settings.parked_window,
        blocked_limit=settings.blocked_limit,
    )


def build(resources: Resources, parts: Parts, settings: Settings, names: Sequence[str] = ()) -> list[Pipeline]:
    """The pipelines of these names; without any, all: those of ingests work on dead letters only."""
    wanted = set(names) or {*parts.projections, *parts.ingests}
    projections = (projection for name, projection in parts.projections.items() if name in wanted)
    ingests = (ingest for name, ingest in parts.ingests.items() if name in wanted)
    return [
        *(of_projection(resources, parts, projection, settings) for projection in projections),
        *(of_ingest(resources, ingest, settings) for ingest in ingests),
    ]


def of_projection(resources: Resources, parts: Parts, projection: AnyProjection, settings: Settings) -> Pipeline:
    handler: Handler
    categories = parts.read_by(projection)
    if isinstance(projection, SqlProjection):
        handler = SqlProjectionHandler(projection)
    else:
        handler = ProjectionHandler(projection, GENERATION, categories=len(categories))
    source = resources.log.source(categories)
    return Pipeline(projection.name, source, handler, GENERATION, options(settings))


def create_read_models(connection: Connection, parts: Parts) -> None:
    """Make the tables of read models that are missing."""
    for projection in parts.projections.values():
        if isinstance(projection, SqlProjection):
            SqlProjectionHandler(projection).create(connection)
        else:
            create_tables(projection, connection, GENERATION)


def of_ingest(resources: Resources, ingest: Ingest, settings: Settings, source: Source | None = None) -> Pipeline:
    handler = IngestHandler(ingest, resources.log, source.ends if source is not None else None)
    return Pipeline(ingest.name, source, handler, GENERATION, options(settings))
