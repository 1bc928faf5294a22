"""The pipelines of an application, made from its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from cdc.handler import IngestHandler
from cdc.ingest import Ingest
from eventstore.errors import AlreadyRunning, PipelineError
from eventstore.model.log import Source
from eventstore.model.record import Position, reached
from eventstore.pipeline import (
    Handler,
    OnProgress,
    Options,
    Pipeline,
    PipelineState,
    PipelineStatus,
    catch_up,
    statuses,
)
from headwater.parts import AnyProjection, Parts
from headwater.resources import Resources
from headwater.settings import Settings
from projections import ProjectionHandler, SqlProjection, SqlProjectionHandler, create_tables

GENERATION = 1
"""Of every read model: there is one physical copy of each."""
LOOK_SECONDS = 0.1


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
    made = [of_projection(resources, parts, projection, settings) for projection in parts.projections.values()]
    made += [of_ingest(resources, ingest, settings) for ingest in parts.ingests.values()]
    return [pipeline for pipeline in made if not names or pipeline.name in names]


def of_projection(resources: Resources, parts: Parts, projection: AnyProjection, settings: Settings) -> Pipeline:
    handler: Handler
    if isinstance(projection, SqlProjection):
        handler = SqlProjectionHandler(projection)
    else:
        handler = ProjectionHandler(projection, GENERATION, categories=len(parts.categories))
    source = resources.log.source(parts.categories)
    return Pipeline(projection.name, source, handler, GENERATION, options(settings))


def create_read_models(connection: Connection, parts: Parts) -> None:
    """Make the tables of read models that are missing."""
    for projection in parts.projections.values():
        if isinstance(projection, SqlProjection):
            SqlProjectionHandler(projection).create(connection)
        else:
            create_tables(projection, connection, GENERATION)


def of_ingest(resources: Resources, ingest: Ingest, settings: Settings, source: Source | None = None) -> Pipeline:
    return Pipeline(ingest.name, source, IngestHandler(ingest, resources.log), GENERATION, options(settings))


def finish(resources: Resources, pipelines: Sequence[Pipeline], on_progress: OnProgress | None) -> None:
    """Return when ``pipelines`` have handled all that there is now: run them here, or wait for whoever does."""
    ends = {pipeline.name: dict(pipeline.source.ends()) if pipeline.source else {} for pipeline in pipelines}
    try:
        catch_up(resources.engine, resources.wakeup, pipelines, on_progress=on_progress)
    except AlreadyRunning:
        if not any(status.owner for status in statuses(resources.engine, pipelines)):
            raise  # it is busy with something else
    _await(resources, pipelines, ends, on_progress)


def _await(
    resources: Resources, pipelines: Sequence[Pipeline], ends: Mapping[str, Position], on_progress: OnProgress | None
) -> None:
    handled = {status.name: sum(status.position.values()) for status in statuses(resources.engine, pipelines)}
    while True:
        seen = resources.wakeup.count
        standing = statuses(resources.engine, pipelines)
        for status in standing:
            _check(status)
            done = sum(status.position.values())
            if on_progress is not None and done > handled[status.name]:
                on_progress(status.name, done - handled[status.name], status.position)
                handled[status.name] = done
        if not any(status.due or not reached(status.position, ends[status.name]) for status in standing):
            return
        resources.wakeup.wait(seen, LOOK_SECONDS)


def _check(status: PipelineStatus) -> None:
    if status.state in (PipelineState.PAUSED, PipelineState.HALTED):
        raise PipelineError(f"{status.name} stands still ({status.state})", status.reason, "headwater doctor says more")
