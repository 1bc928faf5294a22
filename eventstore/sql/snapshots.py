"""Snapshots of aggregates in SQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine, select

from eventstore.model.log import Snapshot
from eventstore.model.stream import split_stream, topic_name
from eventstore.sql import schema
from eventstore.sql.engine import reading, writing
from eventstore.sql.faults import available
from eventstore.sql.upsert import insert_into


class SqlSnapshots:
    """Implements :class:`~eventstore.model.log.SnapshotStore`."""

    def __init__(self, engine: Engine, app: str) -> None:
        self._engine, self._app = engine, app

    def load(self, stream: str, shape: str) -> Snapshot | None:
        kept = schema.snapshot.c
        query = select(kept.version, kept.state).where(
            kept.topic == self._topic(stream), kept.stream == stream, kept.shape == shape
        )
        with available(self._engine), reading(self._engine) as connection:
            row = connection.execute(query).first()
        return None if row is None else Snapshot(stream, row.version, shape, row.state.encode())

    def save(self, snapshots: Sequence[Snapshot]) -> None:
        rows = [
            {"topic": self._topic(s.stream), "stream": s.stream, "version": s.version, "shape": s.shape}
            | {"state": s.state.decode()}
            for s in snapshots
        ]
        if not rows:
            return
        insert = insert_into(self._engine, schema.snapshot)
        new = insert.excluded
        kept = schema.snapshot.c
        upsert = insert.on_conflict_do_update(
            index_elements=[kept.topic, kept.stream],
            set_={"version": new.version, "shape": new.shape, "state": new.state},
            # A slower writer must not put an older one back; of another shape, only ours is of use.
            where=(kept.version < new.version) | (kept.shape != new.shape),
        )
        with available(self._engine), writing(self._engine) as connection:
            connection.execute(upsert, rows)

    def _topic(self, stream: str) -> str:
        return topic_name(self._app, split_stream(stream)[0])
