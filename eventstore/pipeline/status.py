"""How pipelines stand, for people and scripts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, func, select

from eventstore.model.record import Position, TopicPartition
from eventstore.pipeline import deadletter
from eventstore.pipeline.lease import database_clock
from eventstore.pipeline.options import Pipeline
from eventstore.pipeline.states import LetterState, PipelineState
from eventstore.sql import schema
from eventstore.sql.engine import reading
from eventstore.sql.faults import available

RATE_SECONDS = 10.0
"""A rate that nobody renewed for so long is not shown."""


@dataclass(frozen=True, slots=True)
class PipelineStatus:
    """``lag``: records not handled yet (0 without a source); ``rate``: records/s lately; ``owner``: who runs it.

    ``stale``: its rows were folded by other logic than its handler's. ``ready``: dead letters that are tried
    next, because they are due or blocked by nothing any more.
    """

    name: str
    generation: int
    state: PipelineState
    reason: str
    position: Mapping[TopicPartition, int]
    end: Position
    lag: int
    rate: float
    handled: int
    parked: int
    blocked: int
    due: int
    owner: str
    stale: bool = False
    ready: int = 0


def statuses(engine: Engine, pipelines: Sequence[Pipeline]) -> list[PipelineStatus]:
    """The status of each of ``pipelines``, in their order."""
    with available(engine), reading(engine) as connection:
        return [_status(connection, pipeline) for pipeline in pipelines]


def _status(connection: Connection, pipeline: Pipeline) -> PipelineStatus:
    pl, cp = schema.pipeline.c, schema.checkpoint.c
    row = connection.execute(
        select(schema.pipeline).where(pl.pipeline == pipeline.name, pl.generation == pipeline.generation)
    ).first()
    points = connection.execute(
        select(
            cp.topic, cp.partition, cp.position, cp.owner, (cp.lease_until > database_clock(connection)).label("held")
        )
        .where(cp.pipeline == pipeline.name, cp.generation == pipeline.generation)
        .order_by(cp.topic, cp.partition)
    ).all()
    position = {(point.topic, point.partition): point.position for point in points}
    end = dict(pipeline.source.ends()) if pipeline.source is not None else {}
    letters = _letters(connection, pipeline)
    recent = row is not None and time.time() - row.updated_at < RATE_SECONDS
    owner = ", ".join(sorted({point.owner for point in points if point.owner and point.held}))
    return PipelineStatus(
        pipeline.name,
        pipeline.generation,
        _state(row.state, owner, points) if row is not None else PipelineState.NEW,
        row.reason if row is not None else "",
        position,
        end,
        sum(max(0, last - position.get(partition, 0)) for partition, last in end.items()),
        row.rate if row is not None and recent else 0.0,
        row.handled if row is not None else 0,
        letters.get(LetterState.PARKED, 0),
        letters.get(LetterState.BLOCKED, 0),
        letters.get(LetterState.DUE, 0),
        owner,
        row is not None
        and row.fingerprint not in ("", pipeline.handler.fingerprint)
        and bool(row.revision or any(position.values())),
        _ready(connection, pipeline) if {LetterState.BLOCKED, LetterState.DUE} & letters.keys() else 0,
    )


def _state(said: str, owner: str, points: Sequence[object]) -> PipelineState:
    """What the leaseholder last said; one that was killed said nothing any more, and its lease has ended."""
    state = PipelineState(said)
    return PipelineState.STOPPED if state is PipelineState.RUNNING and points and not owner else state


def _ready(connection: Connection, pipeline: Pipeline) -> int:
    return deadletter.ready(deadletter.waiting(connection, pipeline.name, pipeline.generation))


def _letters(connection: Connection, pipeline: Pipeline) -> dict[LetterState, int]:
    letter = schema.dead_letter.c
    rows = connection.execute(
        select(letter.state, func.count())
        .where(letter.pipeline == pipeline.name, letter.generation == pipeline.generation)
        .group_by(letter.state)
    )
    return {LetterState(state): count for state, count in rows}
