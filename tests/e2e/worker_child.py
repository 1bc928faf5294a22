"""A worker: ``worker_child.py URL`` runs the pipelines of a small application until it is ended.

Prints a line for each batch it committed. Its handler takes its time, so that it can be stopped inside a batch.
"""

from __future__ import annotations

import sys
import time

from sqlalchemy.orm import Mapped, mapped_column

from headwater import Aggregate, App, Event, Projection, ReadModel, applies


class Added(Event, name="added"):
    by: int


class Sum(Aggregate, category="sum"):
    total: int = 0

    @applies(Added)
    def added(self, event: Added) -> None:
        self.total += event.by


class Total(ReadModel):
    """All streams in one row: such a projection is leased whole."""

    __tablename__ = "total"
    name: Mapped[str] = mapped_column(primary_key=True)
    total: Mapped[int] = mapped_column(default=0)
    events: Mapped[int] = mapped_column(default=0)


class History(ReadModel):
    """A row a stream: workers share its partitions."""

    __tablename__ = "history"
    sum_id: Mapped[str] = mapped_column(primary_key=True)
    history: Mapped[str] = mapped_column(default="")


totals = Projection("totals", into=Total)
histories = Projection("histories", into=History)
slow = 0.0


@totals.on(Added, key=lambda event: "all")
def count(row: Total, event: Added) -> None:
    time.sleep(slow)
    row.total += event.by
    row.events += 1


@histories.on(Added)
def remember(row: History, event: Added) -> None:
    row.history += f" {event.by}"


def new_app(url: str) -> App:
    return App("frozen", Sum, totals, histories, database=url, partitions=4)


if __name__ == "__main__":
    slow = 0.002
    with new_app(sys.argv[1]) as app:
        app.run(on_progress=lambda name, handled, _: print(name, handled, flush=True))
