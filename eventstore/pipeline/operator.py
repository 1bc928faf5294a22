"""What an operator does with dead letters. It only changes their states; the leaseholder does the work.

A retry done by anybody else would overtake live records of the key, or be overtaken by them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy import Connection, Engine, func, select, update

from eventstore.errors import NotFound, Refused
from eventstore.model.record import Record
from eventstore.pipeline import deadletter
from eventstore.pipeline.deadletter import DeadLetter
from eventstore.pipeline.states import OPEN, LetterState, PipelineState
from eventstore.sql import schema
from eventstore.sql.engine import reading, writing
from eventstore.sql.faults import available
from eventstore.sql.wakeup import Wakeup

# `list` is a method below, and would be taken for the type there.
Letters: TypeAlias = list[DeadLetter]


@dataclass(frozen=True, slots=True)
class Retry:
    """What a retry marked: how many are due now, and how many wait behind them."""

    due: int
    blocked: int


class DeadLetters:
    """Inspect and decide on dead letters. The pipelines of the database act on it within milliseconds."""

    def __init__(self, engine: Engine, wakeup: Wakeup) -> None:
        self._engine, self._wakeup = engine, wakeup

    def list(
        self,
        pipeline: str | None = None,
        *,
        states: Iterable[LetterState] = OPEN,
        key: str | None = None,
        after: int = 0,
        limit: int | None = 100,
    ) -> Letters:
        """Dead letters in the order in which they came; ``after``: those with a higher id."""
        with available(self._engine), reading(self._engine) as connection:
            return deadletter.find(connection, pipeline=pipeline, states=states, key=key, after=after, limit=limit)

    def get(self, id: int) -> DeadLetter:
        """One dead letter, whole. :class:`~eventstore.errors.NotFound`."""
        with available(self._engine), reading(self._engine) as connection:
            return self._get(connection, id)

    def counts(self) -> dict[tuple[str, LetterState], int]:
        """How many there are, by pipeline and state."""
        letter = schema.dead_letter.c
        query = select(letter.pipeline, letter.state, func.count()).group_by(letter.pipeline, letter.state)
        with available(self._engine), reading(self._engine) as connection:
            return {(pipeline, LetterState(state)): count for pipeline, state, count in connection.execute(query)}

    def retry(self, *, id: int | None = None, key: str | None = None, pipeline: str | None = None) -> Retry:
        """Mark parked ones due: one by id, those of a key, or all of a pipeline, which is resumed if it paused.

        What is blocked behind one follows by itself, in order, until one fails again. A projection whose code
        was mended goes on with its rows as they are: only a rebuild folds them by the new code.
        """
        with available(self._engine), writing(self._engine) as connection:
            if id is not None:
                chosen = [self._get_locked(connection, id)]
                self._check_retry(connection, chosen[0])
            else:
                chosen = self._find_locked(connection, pipeline, key)
            due = sum(
                deadletter.move(connection, letter, LetterState.DUE)
                for letter in chosen
                if letter.state is LetterState.PARKED
            )
            due += sum(letter.state is LetterState.DUE for letter in chosen)
            keys = {name for letter in chosen for name in letter.keys}
            pipelines = {letter.pipeline for letter in chosen} | ({pipeline} if pipeline else set())
            blocked = 0
            for name in pipelines:
                mended = any(letter.pipeline == name and letter.state is not LetterState.BLOCKED for letter in chosen)
                _revise(connection, name, resume=pipeline is not None, mended=mended)
                others = self._find(connection, name, None)
                blocked += sum(o.state is LetterState.BLOCKED and not keys.isdisjoint(o.keys) for o in others)
        self._wakeup.notify()
        return Retry(due, blocked)

    def discard(self, id: int, why: str) -> DeadLetter:
        """Close one without handling it; what waited behind it goes on. ``why`` is kept."""
        if not why.strip():
            raise Refused(f"dead letter {id} was not discarded", "no reason was given", "say why, for who comes after")
        with available(self._engine), writing(self._engine) as connection:
            letter = self._get_locked(connection, id)
            if letter.state not in OPEN or not deadletter.move(connection, letter, LetterState.DISCARDED, why):
                raise Refused(f"dead letter {id} is {letter.state} already", "what is closed stays closed")
            _revise(connection, letter.pipeline)
            closed = self._get(connection, id)
        self._wakeup.notify()
        return closed

    def collapse(self, key: str, whole: Callable[[str, Record], bool], *, pipeline: str | None = None) -> DeadLetter:
        """Keep only the newest open one of ``key``, which carries the whole row, and retry it.

        The others become superseded. ``whole(pipeline, record)`` says whether a record can stand for those
        before it; if not, or if one of them concerns other keys too, nothing is done: :class:`Refused`.
        """
        with available(self._engine), writing(self._engine) as connection:
            letters = self._find_locked(connection, pipeline, key)
            if not letters:
                raise NotFound(f"there is no open dead letter of {key}", "", "headwater dlq list shows them")
            if len({letter.pipeline for letter in letters}) > 1:
                raise Refused(f"{key} waits in several pipelines", "each is collapsed by itself", "say --pipeline")
            *others, newest = letters
            self._check_collapse(key, others, newest, whole)
            for letter in others:
                deadletter.move(connection, letter, LetterState.SUPERSEDED, f"superseded by {newest.id}")
            if newest.state is LetterState.PARKED:
                deadletter.move(connection, newest, LetterState.DUE)
            _revise(connection, newest.pipeline)
            kept = self._get(connection, newest.id)
        self._wakeup.notify()
        return kept

    # ---------------------------------------------------------------- inside

    def _get_locked(self, connection: Connection, id: int) -> DeadLetter:
        _lock(connection, {self._get(connection, id).pipeline})
        return self._get(connection, id, lock=True)

    def _find_locked(self, connection: Connection, pipeline: str | None, key: str | None) -> Letters:
        found = {letter.pipeline for letter in self._find(connection, pipeline, key)}
        _lock(connection, found | ({pipeline} if pipeline else set()))
        return self._find(connection, pipeline, key, lock=True)

    def _get(self, connection: Connection, id: int, *, lock: bool = False) -> DeadLetter:
        letter = deadletter.get(connection, id, lock=lock)
        if letter is None:
            raise NotFound(f"there is no dead letter {id}", "", "headwater dlq list shows them")
        return letter

    def _find(self, connection: Connection, pipeline: str | None, key: str | None, *, lock: bool = False) -> Letters:
        return deadletter.find(connection, pipeline=pipeline, states=OPEN, key=key, after=0, limit=None, lock=lock)

    def _check_retry(self, connection: Connection, letter: DeadLetter) -> None:
        if letter.state not in OPEN:
            raise Refused(f"dead letter {letter.id} is {letter.state} already", "what is closed stays closed")
        if letter.state is LetterState.BLOCKED:
            before = [
                other.id
                for other in self._find(connection, letter.pipeline, None)
                if other.id < letter.id and not set(other.keys).isdisjoint(letter.keys)
            ]
            if before:
                raise Refused(
                    f"dead letter {letter.id} waits behind {before[0]}",
                    f"records of {letter.key} are handled in their order",
                    f"retry or discard {before[0]}; {letter.id} follows by itself",
                )

    def _check_collapse(
        self, key: str, others: Letters, newest: DeadLetter, whole: Callable[[str, Record], bool]
    ) -> None:
        if not whole(newest.pipeline, newest.record):
            raise Refused(
                f"dead letter {newest.id}, the newest of {key}, cannot stand for those before it",
                "it does not carry the whole row: an event, a re-key, or a change with values left out",
                "retry them in their order",
            )
        wide = [letter.id for letter in (*others, newest) if len(letter.keys) > 1]
        if wide:
            raise Refused(
                f"dead letter {wide[0]} of {key} concerns other keys too",
                "skipping it would lose what it says about them",
                "retry them in their order",
            )


def _lock(connection: Connection, pipelines: Iterable[str]) -> None:
    """Pipelines before their dead letters, in the order of everybody else: the other way round is a deadlock."""
    pl = schema.pipeline.c
    wanted = select(pl.pipeline).where(pl.pipeline.in_([*pipelines]))
    connection.execute(wanted.order_by(pl.pipeline, pl.generation).with_for_update()).all()


def _revise(connection: Connection, pipeline: str, *, resume: bool = False, mended: bool = False) -> None:
    """Tell the leaseholder to look at its dead letters. ``mended``: it may do so by other logic than before."""
    pl = schema.pipeline.c
    query = update(schema.pipeline).where(pl.pipeline == pipeline)
    connection.execute(query.values(revision=pl.revision + 1))
    if mended:
        connection.execute(query.values(fingerprint=""))
    if resume:
        connection.execute(
            query.where(pl.state == PipelineState.PAUSED.value).values(state=PipelineState.RUNNING.value, reason="")
        )
