"""One pipeline on one worker: takes its lease, reads, handles, and says how it stands."""

from __future__ import annotations

import time
from typing import NamedTuple

from sqlalchemy import ColumnElement, Engine, select, update

from eventstore.errors import PipelineError, StaleProjection, TooManyFailures, told
from eventstore.model.record import Record, TopicPartition
from eventstore.pipeline.batch import Batches
from eventstore.pipeline.lease import Lease, Leases
from eventstore.pipeline.membership import Membership
from eventstore.pipeline.options import OnProgress, Pipeline
from eventstore.pipeline.progress import progress_of
from eventstore.pipeline.states import PipelineState
from eventstore.pipeline.status import statuses
from eventstore.sql import schema
from eventstore.sql.engine import is_sqlite, reading, writing
from eventstore.sql.wakeup import Wakeup

LOOK_SECONDS = 1.0
"""How often an idle pipeline looks for itself, should every wake-up be lost."""
STATISTICS_SECONDS = 1.0
REST_SECONDS = 0.005


class _Paused(TooManyFailures):
    """The pipeline was found paused."""


class _Row(NamedTuple):
    state: PipelineState
    reason: str
    fingerprint: str
    revision: int


class Runner:
    """Runs ``pipeline`` as ``worker``, one step at a time. Not to be shared between threads.

    ``force``: take leases of others; only where it is known that they ended.
    """

    def __init__(
        self,
        engine: Engine,
        wakeup: Wakeup,
        pipeline: Pipeline,
        membership: Membership,
        *,
        on_progress: OnProgress | None = None,
        force: bool = False,
    ) -> None:
        self.pipeline = pipeline
        self._engine, self._wakeup, self._membership, self._force = engine, wakeup, membership, force
        self._on_progress, self._progress = on_progress, progress_of(engine)
        seconds = pipeline.options.lease_seconds
        self._leases = Leases(engine, pipeline.name, pipeline.generation, membership.worker, seconds)
        self._batches = Batches(engine, pipeline, self._leases)
        pl = schema.pipeline.c
        self._row_query = select(pl.state, pl.reason, pl.fingerprint, pl.revision).where(self._mine())
        self._leased = False
        self._limit = pipeline.options.batch
        self._readable: list[TopicPartition] = []
        self._revision = -1
        self._worked_off: int | None = None
        self._renew_at = 0.0
        self._woken = wakeup.count
        self._statistics = _Statistics()

    @property
    def leased_whole(self) -> bool:
        """Whether it holds every partition: then nothing is left to others."""
        return self._leased and self._batches.lease.positions.keys() >= set(self._partitions())

    def step(self) -> int:
        """Handle one batch, and dead letters that may go on; how many records that were.

        0: there is nothing to do, or others hold the lease.

        Raises what passes (try again later) and what stops the pipeline; before anything else is done after
        an error, :meth:`drop` must be called.
        """
        self._woken = self._wakeup.count
        if self.pipeline.source is None:
            return self._work_off_alone()
        if not self._leased and not self._take():
            return 0
        self._keep()
        resolved = self._look()
        records = self._read()
        if records:
            self._handle(records)
            self._tell(len(records))
        self._note(len(records))
        return resolved + len(records)

    def _work_off_alone(self) -> int:
        """Without a source the lease is held only while an operator's decision is carried out: whoever reads one
        for the pipeline, an ingest of a file, is to have it meanwhile."""
        revision = self._current_revision()
        if revision == self._worked_off or not self._take():
            return 0
        resolved = self._look()
        self._worked_off = revision
        self._note(resolved)
        self.release()
        return resolved

    def wait(self, timeout: float = LOOK_SECONDS) -> None:
        """Return when there may be something to do, at the latest after ``timeout`` seconds."""
        timeout = min(timeout, LOOK_SECONDS, self._leases.seconds / 3)  # to renew the lease in time
        if self._leased and self._readable and self.pipeline.source is not None:
            self.pipeline.source.wait(self._batches.lease.positions, timeout)
        else:
            self._wakeup.wait(self._woken, timeout)

    def rest(self) -> None:
        """Leave the file to writers of other processes for as long as it was held: they poll, and would starve.

        The time that a batch takes without holding it counts: where folding takes longer, nothing is added.
        """
        if is_sqlite(self._engine):
            held = self._batches.writing_seconds - self._batches.folding_seconds
            time.sleep(min(max(0.0, held), REST_SECONDS))

    def drop(self) -> None:
        """Forget the lease after an error: what is stored counts, and is read when it is taken again."""
        self._leased = False

    def release(self, state: PipelineState = PipelineState.STOPPED, reason: str = "") -> None:
        """Give the lease back, also one that was dropped after an error, so that nobody waits for its end."""
        if self._leased:
            self._note(0, at_once=True)
            self._say(state, reason)
            self._leased = False
        self._leases.release()

    def halt(self, error: PipelineError) -> None:
        """Say that the pipeline stands still and why, and give the lease back."""
        if not isinstance(error, _Paused):  # said already, and an operator may have resumed it since
            paused = isinstance(error, TooManyFailures)
            self._say(PipelineState.PAUSED if paused else PipelineState.HALTED, str(error))
        self._membership.stand(self.pipeline.name, still=True)
        self._leases.release()
        self._leased = False

    def retrying(self, error: BaseException) -> None:
        """Say that it waits for something to come back; the lease is kept if it can be."""
        self._say(PipelineState.RETRYING, str(error))

    def left(self) -> int:
        """How much is not done yet, whoever holds the lease: records after the checkpoints, and letters to try."""
        (status,) = statuses(self._engine, [self.pipeline])
        return status.lag + status.ready

    # ---------------------------------------------------------------- lease

    def _take(self) -> bool:
        handler = self.pipeline.handler
        partitions = self._partitions()
        limit = self._share(len(partitions)) if handler.shared else None
        lease = self._leases.take(partitions, whole=not handler.shared, limit=limit, force=self._force)
        if lease is None:
            return False
        self._force = False  # from now on a lease of others is that of another thread of this process
        row = self._row()
        self._leased = True
        if row.state is PipelineState.PAUSED:
            raise _Paused(*told(row.reason))
        self._check_fingerprint(row)
        self._start(lease)
        self._membership.stand(self.pipeline.name, still=False)
        self._say(PipelineState.RUNNING, "")
        return True

    def _partitions(self) -> list[TopicPartition]:
        return [] if self.pipeline.source is None else list(self.pipeline.source.partitions())

    def _share(self, partitions: int) -> int:
        return -(-partitions // self._membership.alive(self.pipeline.name))

    def _start(self, lease: Lease) -> None:
        self._batches.start(lease)
        self._revision = -1
        self._readable = [partition for partition in self._partitions() if partition in lease.positions]
        self._renew_at = time.monotonic() + self._leases.seconds / 3

    def _check_fingerprint(self, row: _Row) -> None:
        """Rows folded by other logic are not mixed with new ones, unless an operator retries what it mends.

        What was rebuilt belongs to the logic that rebuilt it, even before the first row.
        """
        wanted = self.pipeline.handler.fingerprint
        if row.fingerprint == wanted:
            return
        if row.fingerprint and (row.revision or self._began()):
            name = self.pipeline.name
            raise StaleProjection(
                f"{name} was folded by other logic than this",
                "its handlers, what they use, or its columns changed since",
                f"headwater projection rebuild {name}; or, where it only mends what failed,"
                f" headwater dlq retry --pipeline {name}",
            )
        pl = schema.pipeline.c
        with writing(self._engine) as connection:
            connection.execute(update(schema.pipeline).where(self._mine()).values({pl.fingerprint: wanted}))

    def _began(self) -> bool:
        """Whether any partition was read from, by whoever holds it."""
        cp = schema.checkpoint.c
        begun = select(cp.position).where(
            cp.pipeline == self.pipeline.name, cp.generation == self.pipeline.generation, cp.position > 0
        )
        with reading(self._engine) as connection:
            return connection.execute(begun.limit(1)).first() is not None

    def _keep(self) -> None:
        """Renew the lease now and then, and share partitions with workers that came or went."""
        if time.monotonic() < self._renew_at:
            return
        self._leases.renew(self._batches.lease)
        self._renew_at = time.monotonic() + self._leases.seconds / 3
        if self.pipeline.handler.shared:
            self._balance()

    def _balance(self) -> None:
        partitions = self._partitions()
        fair, held = self._share(len(partitions)), self._batches.lease.positions
        if len(held) == fair:
            return
        lease = self._leases.take(partitions, whole=False, limit=fair)
        if lease is None:
            raise self._leases.lost()
        if lease.positions == held:
            self._batches.lease = lease
        else:
            self._start(lease)

    # ---------------------------------------------------------------- work

    def _look(self) -> int:
        """See what an operator did since the last step; how many dead letters were resolved."""
        row = self._row()
        if row.state is PipelineState.PAUSED:
            raise _Paused(*told(row.reason))
        if row.state is not PipelineState.RUNNING:
            self._say(PipelineState.RUNNING, "")
        if row.revision == self._revision:
            return 0
        self._leases.renew(self._batches.lease)  # a rebuild took it away
        self._check_fingerprint(row)
        resolved = self._batches.work_off()
        self._revision = row.revision
        if resolved:
            self._tell(resolved)
        return resolved

    def _read(self) -> list[Record]:
        source, positions = self.pipeline.source, self._batches.lease.positions
        if source is None or not self._readable:
            return []
        return source.read({p: positions[p] for p in self._readable}, self._limit)

    def _handle(self, records: list[Record]) -> None:
        """A batch that takes too large a part of the lease makes the next one smaller: were it to outlast the lease,
        two workers would take over from each other for ever."""
        began, allowed = time.monotonic(), self._leases.seconds / 3
        try:
            self._batches.handle(records)
        finally:
            took = time.monotonic() - began
            fitting = int(len(records) * allowed / took) if took > allowed else self._limit * 2
            self._limit = max(1, min(fitting, self.pipeline.options.batch))

    def _tell(self, handled: int) -> None:
        self._progress.notify()
        if self._on_progress is not None:
            self._on_progress(self.pipeline.name, handled, dict(self._batches.lease.positions))

    # ---------------------------------------------------------------- what others see

    def _current_revision(self) -> int | None:
        with reading(self._engine) as connection:
            row = connection.execute(self._row_query).first()
        return None if row is None else row.revision

    def _row(self) -> _Row:
        with reading(self._engine) as connection:
            state, reason, fingerprint, revision = connection.execute(self._row_query).one()
        return _Row(PipelineState(state), reason, fingerprint, revision)

    def _say(self, state: PipelineState, reason: str) -> None:
        """A pause stays said, whatever other workers do: it is ended by an operator."""
        with writing(self._engine) as connection:
            connection.execute(
                update(schema.pipeline)
                .where(self._mine(), schema.pipeline.c.state != PipelineState.PAUSED.value)
                .values(state=state.value, reason=reason, updated_at=time.time())
            )
        self._progress.notify()

    def _note(self, handled: int, *, at_once: bool = False) -> None:
        rate = self._statistics.add(handled, at_once=at_once)
        if rate is None:
            return
        pl = schema.pipeline.c
        values = {"handled": pl.handled + self._statistics.take(), "rate": rate, "updated_at": time.time()}
        with writing(self._engine) as connection:
            connection.execute(update(schema.pipeline).where(self._mine()).values(values))

    def _mine(self) -> ColumnElement[bool]:
        pl = schema.pipeline.c
        return (pl.pipeline == self.pipeline.name) & (pl.generation == self.pipeline.generation)


class _Statistics:
    """Counts records, to be written now and then instead of with every batch."""

    def __init__(self) -> None:
        self._handled = 0
        self._since = time.monotonic()

    def add(self, handled: int, *, at_once: bool = False) -> float | None:
        """Count; the rate in records/s when it is time to write it and there is something to write."""
        self._handled += handled
        elapsed = time.monotonic() - self._since
        if not self._handled or (elapsed < STATISTICS_SECONDS and not at_once):
            return None
        return self._handled / max(elapsed, 1e-6)

    def take(self) -> int:
        handled, self._handled, self._since = self._handled, 0, time.monotonic()
        return handled
