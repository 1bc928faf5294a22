"""A whole life of an application in one process: appends, batches, a rebuild, a retry.

``kill_child.py URL PHASE STATEMENT``: kills itself with SIGKILL right before the given statement of the given
phase is sent to the database; ``- 0``: never. Prints a line for every command that was acknowledged. What it
does is the same whenever it is started again.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.orm import Mapped, mapped_column

from headwater import Aggregate, App, Command, Event, Projection, ReadModel, applies, handles

COMMANDS, STREAMS = 40, 4
PHASES = ("append", "batch", "rebuild", "retry")


class Added(Event, name="added"):
    by: int


class Open(Command):
    sum_id: str
    by: int


class Add(Command):
    sum_id: str
    by: int


class Sum(Aggregate, category="sum"):
    total: int = 0

    @handles(Open, new=True)
    def begin(self, command: Open) -> Event:
        return Added(by=command.by)

    @handles(Add)
    def add(self, command: Add) -> Event:
        return Added(by=command.by)

    @applies(Added)
    def added(self, event: Added) -> None:
        self.total += event.by


class Total(ReadModel):
    __tablename__ = "total"
    sum_id: Mapped[str] = mapped_column(primary_key=True)
    total: Mapped[int] = mapped_column(default=0)
    history: Mapped[str] = mapped_column(default="")


class Picky(ReadModel):
    __tablename__ = "picky"
    sum_id: Mapped[str] = mapped_column(primary_key=True)
    history: Mapped[str] = mapped_column(default="")


totals = Projection("totals", into=Total)
picky = Projection("picky", into=Picky)


@totals.on(Added)
def count(row: Total, event: Added) -> None:
    row.total += event.by
    row.history += f" {event.by}"


@picky.on(Added)
def refuse(row: Picky, event: Added) -> None:
    if event.by in (5, 18) and not os.environ.get("MENDED"):
        raise RuntimeError("a bug")
    row.history += f" {event.by}"


class Killer:
    """Counts the statements that are sent, and ends the process before a certain one."""

    def __init__(self, phase: str, statement: int) -> None:
        self.phase, self.statement = phase, statement
        self.now = ""
        self.sent: dict[str, int] = {}

    def enter(self, phase: str) -> None:
        self.now = phase
        print(f"phase {phase}", flush=True)

    def __call__(self, *_: Any) -> None:
        self.sent[self.now] = self.sent.get(self.now, 0) + 1
        if self.now == self.phase and self.sent[self.now] == self.statement:
            os.kill(os.getpid(), signal.SIGKILL)

    def acknowledged(self, number: int) -> None:
        """PostgreSQL's appends are not seen statement by statement: end the process while the next is under way."""
        if self.phase == "append" and number == self.statement and self.now not in self.sent:
            delay = random.Random(number).uniform(0, 0.003)
            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()

    def watch(self, engine: Engine) -> None:
        @event.listens_for(engine, "connect")
        def connected(connection: Any, _: object) -> None:
            if hasattr(connection, "set_trace_callback"):
                connection.set_trace_callback(self)  # every statement, BEGIN and COMMIT included

        if engine.dialect.name != "sqlite":
            for name in ("before_cursor_execute", "commit"):
                event.listen(engine, name, self)


def live(url: str, killer: Killer) -> None:
    with App("kill", Sum, totals, picky, database=url, partitions=2) as app:
        killer.watch(app.resources.engine)
        app.resources.engine.dispose()  # so that every connection is watched
        killer.enter("append")
        for number in range(COMMANDS):
            command = Open if number < STREAMS else Add
            app.execute(command(sum_id=f"s{number % STREAMS}", by=number), id=f"add-{number}")
            print(f"ack {number}", flush=True)
            killer.acknowledged(number)
        killer.enter("batch")
        app.catch_up()
        killer.enter("rebuild")
        app.rebuild(totals)
        killer.enter("retry")
        os.environ["MENDED"] = "1"
        app.dead_letters.retry(pipeline="picky")
        app.catch_up()
        killer.enter("end")
        print("sent", *(f"{phase}={count}" for phase, count in killer.sent.items()), flush=True)


if __name__ == "__main__":
    live(sys.argv[1], Killer(sys.argv[2], int(sys.argv[3])))
