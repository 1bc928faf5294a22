"""One batch of a pipeline, and what becomes of one that fails. Protocols, section 2, steps 3 and 4.

A failing batch is cut in halves, each run as a batch of its own, until the guilty record is alone. So a
handler needs no savepoints, every transaction is a whole batch with its positions, and a record is found
in a few transactions more.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from threading import current_thread, main_thread

from sqlalchemy import Connection, Engine

from eventstore.errors import PipelineError, TooManyFailures
from eventstore.model.record import Record, TopicPartition
from eventstore.pipeline import deadletter
from eventstore.pipeline.deadletter import DeadLetter, Failure, Waiting
from eventstore.pipeline.handler import Item
from eventstore.pipeline.lease import Lease, Leases
from eventstore.pipeline.options import Pipeline
from eventstore.pipeline.states import LetterState
from eventstore.sql.engine import reading, writing
from eventstore.sql.faults import is_forbidden, is_transient


def passes(error: BaseException) -> bool:
    """Whether the same may work later: then nothing is parked, and the batch is tried for as long as it takes.

    A right that the role lacks is no record's fault either: an administrator grants it.
    """
    return is_transient(error) or is_forbidden(error) or isinstance(error, (ConnectionError, TimeoutError))


def ends_process(error: BaseException) -> bool:
    """Whether it is for the process, not about a record: what a signal raises, in the one thread where it does.

    Anything else that a handler raises is its failure, sys.exit() in a worker's thread included.
    """
    return isinstance(error, (SystemExit, KeyboardInterrupt)) and current_thread() is main_thread()


def _is_no_failure(error: BaseException) -> bool:
    """Whether no record is to blame: the batch is tried again, or the pipeline or the process stops."""
    return ends_process(error) or passes(error) or isinstance(error, PipelineError)


class Batches:
    """Handles records under a lease. Not a word about when and why: see :mod:`eventstore.pipeline.runner`."""

    def __init__(self, engine: Engine, pipeline: Pipeline, leases: Leases) -> None:
        self._engine, self._pipeline, self._leases = engine, pipeline, leases
        self._handler, self._options = pipeline.handler, pipeline.options
        self.lease = Lease()
        self._held: set[str] = set()
        self._blocked = 0
        self._parked_at: deque[float] = deque()
        self.folding_seconds = self.writing_seconds = 0.0
        """How long the last batch was at work without locks, and how long its transaction held them."""

    def start(self, lease: Lease) -> None:
        """Begin under a new lease: nothing that is in memory counts any more."""
        self.lease = lease
        self.reset()

    def reset(self) -> None:
        with reading(self._engine) as connection:
            self._handler.reset(connection)

    # ---------------------------------------------------------------- records

    def handle(self, records: Sequence[Record]) -> None:
        """Handle ``records``, committing their positions. Raises what passes, and what stops the pipeline."""
        error = self._failure(records)
        if error is None:
            return
        if len(records) == 1:
            self._again_or_park(records[0], error)
        else:
            half = len(records) // 2
            self.handle(records[:half])
            self.handle(records[half:])

    def _failure(self, records: Sequence[Record]) -> BaseException | None:
        """Handle ``records``; what one of them failed with, or None. Raises what is not about a record."""
        try:
            self._attempt(records)
        except BaseException as error:
            is_flood = isinstance(error, TooManyFailures) and len(records) > 1  # what comes before it is handled
            if _is_no_failure(error) and not is_flood:
                raise
            failure = error
        else:
            return None
        self.reset()  # out of the handler, so that what fails next is not told as a consequence of this
        return failure

    def _again_or_park(self, record: Record, error: BaseException) -> None:
        for _ in range(self._options.attempts - 1):
            again = self._failure([record])
            if again is None:
                return
            error = again
        self._attempt([record], guilty=error)

    def _attempt(self, records: Sequence[Record], guilty: BaseException | None = None) -> None:
        """Decode, block and fold in memory; then one transaction. ``guilty``: park the one record for this.

        The checkpoints come first, as in a rebuild: locking in another order, the two would deadlock.
        """
        failures: list[Failure] = []
        began = time.monotonic()
        with reading(self._engine) as connection:
            items = self._admit(records, failures, connection, guilty)
            work = self._handler.prepare(items, connection)
        self._check_flood(failures, alone=len(records) == 1)
        to = _positions(records)
        self.folding_seconds = time.monotonic() - began
        with writing(self._engine) as connection:
            began = time.monotonic()
            self._leases.advance(connection, self.lease, to)
            work.write(connection)
            deadletter.add(connection, self._pipeline.name, self._pipeline.generation, failures)
        self.writing_seconds = time.monotonic() - began
        work.committed()
        self.lease.positions.update(to)
        self._remember(failures)

    def _admit(
        self, records: Sequence[Record], failures: list[Failure], connection: Connection, guilty: BaseException | None
    ) -> list[Item]:
        """Sort a batch: what is to be handled, what cannot be decoded, what waits behind a dead letter."""
        items: list[Item] = []
        held = set(self._held)
        for record in records:
            item, error = None, guilty
            attempts = self._options.attempts if guilty else 1
            try:
                item = self._handler.admit(record)
            except BaseException as undecodable:
                if _is_no_failure(undecodable):
                    raise
                error = undecodable
            if error is None and (item is None or not held):
                if item is not None:
                    items.append(item)
                continue
            keys = self._keys(record, item, connection)
            if not held.isdisjoint(keys):
                failures.append(Failure(record, keys, None))
            elif error is not None:
                failures.append(Failure(record, keys, error, attempts))
            elif item is not None:
                items.append(item)
                continue
            held.update(keys)
        return items

    def _keys(self, record: Record, item: Item | None, connection: Connection) -> Sequence[str]:
        try:
            keys = self._handler.keys(record, item, connection)
        except BaseException as error:
            if ends_process(error) or passes(error):
                raise
            keys = ()
        return keys or (f"record:{record.place}",)

    # ---------------------------------------------------------------- dead letters

    def work_off(self) -> int:
        """Try what is due, and what is blocked behind nothing any more, in order; how many were resolved."""
        with reading(self._engine) as connection:
            letters = deadletter.waiting(connection, self._pipeline.name, self._pipeline.generation)
        held: set[str] = set()
        blocked = resolved = 0
        for letter in letters:
            if letter.partition not in self.lease.positions:
                continue
            free = letter.state is not LetterState.PARKED and held.isdisjoint(letter.keys)
            if free and self._retry(letter):
                resolved += 1
                continue
            blocked += letter.state is LetterState.BLOCKED and not free
            held.update(letter.keys)
        self._held, self._blocked = held, blocked
        return resolved

    def _retry(self, letter: Waiting) -> bool:
        """Handle a dead letter as a batch of one; whether it is off the table. Failing again, it is parked again."""
        with reading(self._engine) as connection:
            whole = deadletter.get(connection, letter.id)
        if whole is None or whole.state is not letter.state:
            return True  # an operator closed it meanwhile
        try:
            self._resolve(whole)
        except _Changed:
            self.reset()  # its change is seen as a new revision, and everything is looked at again
            return False
        except BaseException as error:
            if _is_no_failure(error):
                raise
            self.reset()
            with writing(self._engine) as connection:
                self._fence(connection, whole)
                deadletter.park_again(connection, whole, error)
            return False
        return True

    def _resolve(self, letter: DeadLetter) -> None:
        item = self._handler.admit(letter.record, again=True)
        with reading(self._engine) as connection:
            work = self._handler.prepare([] if item is None else [item], connection)
        with writing(self._engine) as connection:
            self._fence(connection, letter)
            work.write(connection)
            if not deadletter.move(connection, letter, LetterState.RESOLVED):
                raise _Changed
        work.committed()

    def _fence(self, connection: Connection, letter: DeadLetter) -> None:
        partition = (letter.record.topic, letter.record.partition)
        self._leases.advance(connection, self.lease, {partition: self.lease.positions[partition]})

    # ---------------------------------------------------------------- floods

    def _check_flood(self, failures: Sequence[Failure], *, alone: bool) -> None:
        """Refuse the batch when it parks too many: a bad deploy must not park a million records.

        ``alone``: it is the one record that is too many, so this is where the pipeline pauses.
        """
        now, options = time.monotonic(), self._options
        while self._parked_at and self._parked_at[0] < now - options.parked_window:
            self._parked_at.popleft()
        parked = [failure.error for failure in failures if failure.error is not None]
        if parked and len(self._parked_at) + len(parked) > options.parked_limit:
            if alone:
                self._parked_at.clear()
            last = deadletter.said(parked[-1]).partition("\n")[0]
            raise self._flood(
                f"more than {options.parked_limit} records failed within {options.parked_window:g} s; "
                f"the last one: {last}"
            )
        blocked = sum(failure.error is None for failure in failures)
        if blocked and self._blocked + blocked > options.blocked_limit:
            raise self._flood(f"more than {options.blocked_limit} records wait behind dead letters")

    def _flood(self, why: str) -> TooManyFailures:
        name = self._pipeline.name
        return TooManyFailures(
            f"pipeline {name} paused",
            why,
            f"see headwater dlq list --pipeline {name}, mend the cause, then headwater dlq retry --pipeline {name}",
        )

    def _remember(self, failures: Sequence[Failure]) -> None:
        now = time.monotonic()
        for failure in failures:
            self._held.update(failure.keys)
            if failure.error is None:
                self._blocked += 1
            else:
                self._parked_at.append(now)


class _Changed(Exception):
    """The dead letter was changed by an operator while it was tried."""


def _positions(records: Sequence[Record]) -> dict[TopicPartition, int]:
    return {(record.topic, record.partition): record.offset + 1 for record in records}
