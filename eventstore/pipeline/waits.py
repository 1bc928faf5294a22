"""Waiting until a pipeline has passed a position, for any number of callers with one thread."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, select

from eventstore.errors import Parked, WaitError, WaitTimeout, told
from eventstore.model.record import Position, TopicPartition, reached
from eventstore.pipeline.progress import progress_of
from eventstore.pipeline.states import OPEN, PipelineState
from eventstore.sql import schema
from eventstore.sql.engine import reading
from eventstore.sql.faults import available

POLL_SECONDS = 0.01
"""How often checkpoints are looked at while somebody waits for a pipeline of another process."""


@dataclass(slots=True)
class _Wait:
    pipeline: str
    generation: int
    position: Position
    first: Position
    timeout: float
    deadline: float
    future: Future[None] = field(default_factory=Future)


@dataclass(slots=True)
class _Standing:
    """Where a pipeline is, and what its leaseholder last said."""

    state: PipelineState = PipelineState.NEW
    reason: str = ""
    position: dict[TopicPartition, int] = field(default_factory=dict)


class Waits:
    """Futures that end when a pipeline has come far enough. Its thread lives while somebody waits."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._progress = engine, progress_of(engine)
        self._waits: list[_Wait] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(
        self, pipeline: str, generation: int, position: Position, timeout: float, *, first: Position | None = None
    ) -> Future[None]:
        """A future that is done when the pipeline has passed ``position``.

        ``first``: where the awaited records begin; one of them that is a dead letter ends the wait with
        :class:`~eventstore.errors.Parked`. Other ends: :class:`~eventstore.errors.WaitTimeout` after
        ``timeout`` seconds, :class:`~eventstore.errors.WaitError` when the pipeline stands still.
        """
        wait = _Wait(pipeline, generation, position, first or {}, timeout, time.monotonic() + timeout)
        with self._changed:
            if self._closed:
                raise WaitError(f"waiting for {pipeline} is not possible any more", "the application was closed")
            self._waits.append(wait)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="headwater-waits", daemon=True)
                self._thread.start()
        self._progress.notify()
        return wait.future

    def close(self) -> None:
        """End every wait with an error, and the thread."""
        with self._changed:
            self._closed = True
            thread = self._thread
        self._progress.notify()
        if thread is not None:
            thread.join()

    def _serve(self) -> None:
        while True:
            seen = self._progress.count
            with self._changed:
                self._waits = [wait for wait in self._waits if not wait.future.done()]
                waits = list(self._waits)
                if self._closed or not waits:
                    self._thread = None
                    break
            self._look(waits)
            if any(not wait.future.done() for wait in waits):
                self._progress.wait(seen, POLL_SECONDS)
        for wait in waits:
            _fail(wait, WaitError(f"waiting for {wait.pipeline} was given up", "the application was closed"))

    def _look(self, waits: list[_Wait]) -> None:
        try:
            with available(self._engine), reading(self._engine) as connection:
                found = _standings(connection, {wait.pipeline for wait in waits})
                for wait in waits:
                    self._settle(connection, wait, found.get((wait.pipeline, wait.generation), _Standing()))
        except Exception as error:
            now = time.monotonic()
            for wait in waits:
                if now >= wait.deadline:
                    _fail(wait, error)

    def _settle(self, connection: Connection, wait: _Wait, standing: _Standing) -> None:
        if reached(standing.position, wait.position):
            parked = _dead_letter_among(connection, wait)
            if parked is None:
                _succeed(wait)
            else:
                _fail(wait, parked)
        elif standing.state in (PipelineState.PAUSED, PipelineState.HALTED):
            what = f"{wait.pipeline} stands still ({standing.state})"
            _fail(wait, WaitError(what, standing.reason, "headwater status shows more"))
        elif time.monotonic() >= wait.deadline:
            _fail(wait, _too_late(wait, standing))


def _too_late(wait: _Wait, standing: _Standing) -> WaitTimeout:
    if standing.state in (PipelineState.NEW, PipelineState.STOPPED):
        why = "nobody runs it"
    elif standing.state is PipelineState.RETRYING:
        why = f"it waits itself: {standing.reason}"
    else:
        why = "it is behind, or whoever ran it ended"
    return WaitTimeout(
        f"{wait.pipeline} did not come far enough within {wait.timeout:g} s", why, "headwater run, or headwater status"
    )


def _standings(connection: Connection, pipelines: set[str]) -> dict[tuple[str, int], _Standing]:
    """Where the pipelines are and what they do, in two statements whatever the number of waits."""
    cp, pl = schema.checkpoint.c, schema.pipeline.c
    found: dict[tuple[str, int], _Standing] = {}
    states = select(pl.pipeline, pl.generation, pl.state, pl.reason).where(pl.pipeline.in_(pipelines))
    for pipeline, generation, state, reason in connection.execute(states):
        found[pipeline, generation] = _Standing(PipelineState(state), reason, {})
    positions = select(cp.pipeline, cp.generation, cp.topic, cp.partition, cp.position)
    for pipeline, generation, topic, partition, position in connection.execute(
        positions.where(cp.pipeline.in_(pipelines))
    ):
        if (standing := found.get((pipeline, generation))) is not None:
            standing.position[topic, partition] = position
    return found


def _dead_letter_among(connection: Connection, wait: _Wait) -> Parked | None:
    """The awaited record that could not be handled, if there is one."""
    letter = schema.dead_letter.c
    for (topic, partition), end in wait.position.items():
        first = wait.first.get((topic, partition), end - 1)
        row = connection.execute(
            select(letter.id, letter.state, letter.key, letter.error)
            .where(
                letter.pipeline == wait.pipeline,
                letter.generation == wait.generation,
                letter.topic == topic,
                letter.partition == partition,
                letter.offset.between(first, end - 1),
                letter.state.in_(OPEN),
            )
            .order_by(letter.id)
        ).first()
        if row is not None:
            what = f"{wait.pipeline} could not handle what is awaited: dead letter {row.id} of {row.key} is {row.state}"
            if row.error:
                return Parked(what, row.error, f"headwater dlq show {row.id}")
            return Parked(what, *_behind_which(connection, wait, row.id, row.key))
    return None


def _behind_which(connection: Connection, wait: _Wait, id: int, key: str) -> tuple[str, str]:
    """Why and fix of a dead letter that did not fail itself: what it waits behind is what matters."""
    letter = schema.dead_letter.c
    first = connection.execute(
        select(letter.id, letter.error)
        .where(letter.pipeline == wait.pipeline, letter.generation == wait.generation, letter.key == key)
        .where(letter.id < id, letter.state.in_(OPEN), letter.error != "")
        .order_by(letter.id)
    ).first()
    if first is None:
        return "it waits behind another dead letter of its key", f"headwater dlq show {id}"
    what, why, _ = told(first.error)
    return f"it waits behind dead letter {first.id}: {what}" + (
        f"; {why}" if why else ""
    ), f"headwater dlq show {first.id}"


def _succeed(wait: _Wait) -> None:
    if wait.future.set_running_or_notify_cancel():
        wait.future.set_result(None)


def _fail(wait: _Wait, error: BaseException) -> None:
    if not wait.future.done() and wait.future.set_running_or_notify_cancel():
        wait.future.set_exception(error)
