"""Which workers live, so that they share the partitions of a pipeline fairly."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from sqlalchemy import Engine, delete, select

from eventstore.pipeline.lease import database_clock
from eventstore.sql import schema
from eventstore.sql.engine import reading, writing
from eventstore.sql.upsert import upsert


class Membership:
    """One worker's row in ``hw_worker``. ``seconds``: how long it counts as alive after its last beat."""

    def __init__(self, engine: Engine, worker: str, pipelines: Sequence[str], seconds: float) -> None:
        self._engine, self.worker, self._seconds = engine, worker, seconds
        self._still = dict.fromkeys(pipelines, False)
        self._now = database_clock(engine)

    def stand(self, pipeline: str, *, still: bool) -> None:
        """Whether ``pipeline`` cannot go on in this worker: its share of partitions is for others then."""
        self._still[pipeline] = still

    def beat(self) -> None:
        """Say that this worker lives, and forget those that are long gone."""
        running = sorted(pipeline for pipeline, still in self._still.items() if not still)
        values = {"seen_until": self._now + self._seconds, "pipelines": orjson.dumps(running).decode()}
        with writing(self._engine) as connection:
            connection.execute(upsert(connection, schema.worker).values(worker=self.worker, **values))
            connection.execute(delete(schema.worker).where(schema.worker.c.seen_until < self._now - 3600))

    def alive(self, pipeline: str) -> int:
        """How many workers can run ``pipeline``, this one included."""
        query = select(schema.worker.c.worker, schema.worker.c.pipelines)
        with reading(self._engine) as connection:
            rows = connection.execute(query.where(schema.worker.c.seen_until > self._now)).all()
        others = sum(pipeline in orjson.loads(row.pipelines) for row in rows if row.worker != self.worker)
        return others + 1

    def leave(self) -> None:
        with writing(self._engine) as connection:
            connection.execute(delete(schema.worker).where(schema.worker.c.worker == self.worker))
