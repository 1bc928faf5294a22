"""Leases on checkpoints: who runs a pipeline, fenced by epoch and position. Protocols, section 2, steps 1 and 4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Float,
    Select,
    Update,
    and_,
    bindparam,
    literal_column,
    select,
    update,
)

from eventstore.errors import LeaseLost
from eventstore.model.record import TopicPartition
from eventstore.pipeline.states import PipelineState
from eventstore.sql import schema
from eventstore.sql.engine import is_sqlite, reading, writing
from eventstore.sql.upsert import insert_into


@dataclass(slots=True)
class Lease:
    """The partitions held: their next offsets, and the epochs that fence them."""

    positions: dict[TopicPartition, int] = field(default_factory=dict)
    epochs: dict[TopicPartition, int] = field(default_factory=dict)


def database_clock(on: Engine | Connection) -> ColumnElement[float]:
    """Seconds since 1970 by the database's clock: the one clock that all workers share."""
    text = (
        "(julianday('now') - 2440587.5) * 86400.0"
        if is_sqlite(on)
        else "extract(epoch from clock_timestamp())::double precision"
    )
    return literal_column(text, Float)


class Leases:
    """The leases of one pipeline's generation, as seen by one worker.

    ``owner`` names the worker; ``seconds`` is how long a lease lasts without progress or renewal.
    """

    def __init__(self, engine: Engine, pipeline: str, generation: int, owner: str, seconds: float) -> None:
        self._engine, self.pipeline, self.generation = engine, pipeline, generation
        self.owner, self.seconds = owner, seconds
        self._now = database_clock(engine)
        self._advance = self._advance_one()

    def take(
        self, partitions: Iterable[TopicPartition], *, whole: bool, limit: int | None = None, force: bool = False
    ) -> Lease | None:
        """Take what is free, expired or already ours, raising its epoch; None when there is nothing to be had.

        ``whole``: all of the pipeline's partitions or none. ``limit``: no more than that many; what is ours
        beyond it is given back. ``force``: leases of others too, where something else proves that they
        ended (the lock file on SQLite).
        """
        cp = schema.checkpoint.c
        free = (cp.lease_until <= self._now) | (cp.owner == "")
        query = (
            select(cp.topic, cp.partition, (cp.owner == self.owner).label("ours"), free.label("free"))
            .where(self._mine())
            .order_by(cp.topic, cp.partition)
        )
        named = set(partitions)
        if not force and self._held_by_others(query, named, whole):
            return None
        with writing(self._engine) as connection:
            ensure_pipeline(connection, self.pipeline, self.generation)
            self._add(connection, named)
            rows = connection.execute(query.with_for_update()).all()
            ours = [(row.topic, row.partition) for row in rows if row.ours]
            others = [(row.topic, row.partition) for row in rows if not row.ours and (row.free or force)]
            wanted = [*ours, *others][:limit]
            if not wanted or (whole and len(wanted) < len(rows)):
                return None
            self._give_back(connection, [partition for partition in ours if partition not in wanted])
            lease = Lease()
            for topic, partition in sorted(wanted):
                taken = connection.execute(
                    update(schema.checkpoint)
                    .where(self._mine(), cp.topic == topic, cp.partition == partition)
                    .values(epoch=cp.epoch + 1, owner=self.owner, lease_until=self._now + self.seconds)
                    .returning(cp.position, cp.epoch)
                ).one()
                lease.positions[topic, partition], lease.epochs[topic, partition] = taken
        return lease

    def _held_by_others(self, query: Select[Any], partitions: set[TopicPartition], whole: bool) -> bool:
        """Looked at without a lock: who waits is woken by every commit, and is not to disturb the holder."""
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        others = {(row.topic, row.partition) for row in rows if not row.ours and not row.free}
        return bool(others) and (whole or (len(others) == len(rows) and partitions <= others))

    def advance(self, connection: Connection, lease: Lease, to: Mapping[TopicPartition, int]) -> None:
        """Move the positions in the batch's transaction. Epoch and position must be ours: :class:`LeaseLost`.

        The epoch alone would apply a batch twice whose COMMIT was answered by a lost connection.
        """
        moved = connection.execute(
            self._advance,
            [
                {
                    "at_topic": partition[0],
                    "at_partition": partition[1],
                    "at_epoch": lease.epochs[partition],
                    "at_position": lease.positions[partition],
                    "to_position": position,
                }
                for partition, position in sorted(to.items())
            ],
        )
        if moved.rowcount != len(to):
            raise self.lost()

    def _advance_one(self) -> Update:
        """Made once: it runs in every batch, for each of its partitions, while the batch holds its locks."""
        cp = schema.checkpoint.c
        return (
            update(schema.checkpoint)
            .where(
                self._mine(),
                cp.topic == bindparam("at_topic"),
                cp.partition == bindparam("at_partition"),
                cp.epoch == bindparam("at_epoch"),
                cp.position == bindparam("at_position"),
            )
            .values(position=bindparam("to_position"), lease_until=self._now + self.seconds)
        )

    def renew(self, lease: Lease) -> None:
        """Keep the lease without progress; :class:`LeaseLost` when any part of it is gone."""
        cp = schema.checkpoint.c
        with writing(self._engine) as connection:
            kept = connection.execute(
                update(schema.checkpoint)
                .where(self._mine(), cp.owner == self.owner)
                .values(lease_until=self._now + self.seconds)
            )
            if kept.rowcount != len(lease.positions):
                raise self.lost()

    def release(self) -> None:
        """Give back all that we hold, so that others need not wait for its end."""
        cp = schema.checkpoint.c
        with writing(self._engine) as connection:
            connection.execute(
                update(schema.checkpoint).where(self._mine(), cp.owner == self.owner).values(owner="", lease_until=0.0)
            )

    def _give_back(self, connection: Connection, partitions: Sequence[TopicPartition]) -> None:
        cp = schema.checkpoint.c
        for topic, partition in partitions:
            connection.execute(
                update(schema.checkpoint)
                .where(self._mine(), cp.topic == topic, cp.partition == partition)
                .values(owner="", lease_until=0.0)
            )

    def lost(self) -> LeaseLost:
        return LeaseLost(
            f"another worker took over pipeline {self.pipeline}",
            f"its lease was not renewed for {self.seconds:g} s, or it was reset by a rebuild",
            "nothing to do: this worker rolled back and asks for the lease again",
        )

    def _mine(self) -> ColumnElement[bool]:
        cp = schema.checkpoint.c
        return and_(cp.pipeline == self.pipeline, cp.generation == self.generation)

    def _add(self, connection: Connection, partitions: Iterable[TopicPartition]) -> None:
        rows = [
            {"pipeline": self.pipeline, "generation": self.generation, "topic": topic, "partition": partition}
            | {"position": 0, "epoch": 0, "owner": "", "lease_until": 0.0}
            for topic, partition in sorted(partitions)
        ]
        if rows:
            connection.execute(insert_into(connection, schema.checkpoint).on_conflict_do_nothing(), rows)


def ensure_pipeline(connection: Connection, pipeline: str, generation: int) -> None:
    """Make the pipeline's row and lock it, so that one at a time hands out its leases."""
    pl = schema.pipeline.c
    found = connection.scalar(
        select(pl.pipeline).where(pl.pipeline == pipeline, pl.generation == generation).with_for_update()
    )
    if found is None:
        connection.execute(
            insert_into(connection, schema.pipeline).on_conflict_do_nothing(),
            {"pipeline": pipeline, "generation": generation, "state": PipelineState.NEW.value, "reason": ""}
            | {"fingerprint": "", "revision": 0, "handled": 0, "rate": 0.0, "updated_at": 0.0},
        )


def reset_positions(connection: Connection, pipeline: str, generation: int) -> None:
    """Back to the beginning, past every lease: whoever holds one is fenced from now on."""
    cp = schema.checkpoint.c
    connection.execute(
        update(schema.checkpoint)
        .where(cp.pipeline == pipeline, cp.generation == generation)
        .values(position=0, epoch=cp.epoch + 1, owner="", lease_until=0.0)
    )
