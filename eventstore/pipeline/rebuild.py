"""Beginning anew: everything a handler wrote is dropped, and its pipeline goes back to the start."""

from __future__ import annotations

from sqlalchemy import Engine, update

from eventstore.pipeline import deadletter
from eventstore.pipeline.lease import ensure_pipeline, reset_positions
from eventstore.pipeline.options import Pipeline
from eventstore.pipeline.states import PipelineState
from eventstore.sql import schema
from eventstore.sql.engine import writing
from eventstore.sql.faults import available
from eventstore.sql.wakeup import Wakeup


def rebuild(engine: Engine, wakeup: Wakeup, pipeline: Pipeline) -> None:
    """Reset ``pipeline`` in one transaction; whoever runs pipelines then folds it again from the beginning.

    The rows, the positions and the dead letters go together, and a worker at it is fenced: at no moment
    are there rows of two beginnings.
    """
    pl = schema.pipeline.c
    with available(engine), writing(engine) as connection:
        ensure_pipeline(connection, pipeline.name, pipeline.generation)
        reset_positions(connection, pipeline.name, pipeline.generation)
        deadletter.delete_all(connection, pipeline.name, pipeline.generation)
        pipeline.handler.clear(connection)
        connection.execute(
            update(schema.pipeline)
            .where(pl.pipeline == pipeline.name, pl.generation == pipeline.generation)
            .values(
                state=PipelineState.RUNNING.value,
                reason="",
                fingerprint=pipeline.handler.fingerprint,
                revision=pl.revision + 1,
                handled=0,
            )
        )
    wakeup.notify()
