"""An application at work, on both databases."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import BigInteger, Column, MetaData, Table, select
from sqlalchemy.orm import Mapped, mapped_column

from headwater import (
    NO_STREAM,
    Aggregate,
    App,
    Command,
    CommandError,
    CommandIdReused,
    DeclarationError,
    Event,
    NotFound,
    Parked,
    Projection,
    ReadModel,
    Rejected,
    StaleProjection,
    Unavailable,
    VersionConflict,
    WaitTimeout,
    applies,
    handles,
)

GAUGE = threading.Event()
"""Something outside that was broken, and is mended."""
NOTES = Table("app_note", MetaData(), Column("id", BigInteger, primary_key=True))


class Filled(Event):
    litres: Decimal


class Renamed(Event): ...


class Fill(Command):
    tank_id: str
    litres: Decimal


class Top(Command):
    tank_id: str
    litres: Decimal


class Tank(Aggregate, category="tank"):
    litres: Decimal = Decimal(0)

    @handles(Fill, new=True)
    def fill(self, command: Fill) -> Event:
        return Filled(litres=command.litres)

    @handles(Top)
    def top(self, command: Top) -> Event:
        if self.litres + command.litres > 100:
            raise Rejected("it would flow over")
        return Filled(litres=command.litres)

    @applies(Filled)
    def filled(self, event: Filled) -> None:
        self.litres += event.litres


class Level(ReadModel):
    __tablename__ = "app_level"
    tank_id: Mapped[str] = mapped_column(primary_key=True)
    litres: Mapped[Decimal] = mapped_column(default=Decimal(0))


levels = Projection("levels", into=Level)


@levels.on(Filled)
def filled(row: Level, event: Filled) -> None:
    if event.litres < 0 and not GAUGE.is_set():
        raise ValueError("a tank cannot hold less than nothing")
    row.litres += event.litres


@pytest.fixture
def app(database_url: str) -> Iterator[App]:
    GAUGE.clear()
    with App("plant", Tank, levels, database=database_url) as app:
        yield app


@pytest.fixture
def small(sqlite_url: str) -> Iterator[App]:
    """The same on SQLite only: for what no database has a part in."""
    with App("plant", Tank, levels, database=sqlite_url) as app:
        yield app


def test_a_command_its_row_and_its_state(app: App) -> None:
    with app.running():
        app.execute(Fill(tank_id="t-1", litres=Decimal(10)))
        receipt = app.execute(Top(tank_id="t-1", litres=Decimal(5)), wait=levels)
        row = app.get(levels, "t-1")
    assert (receipt.stream, receipt.version) == ("tank-t-1", 2)
    assert row is not None
    assert row.litres == 15
    assert app.state(Tank, "t-1").litres == 15
    assert app.state(Tank, "t-1", version=1).litres == 10


def test_the_row_that_shows_a_receipt_is_waited_for(app: App) -> None:
    receipt = app.execute(Fill(tank_id="t-1", litres=Decimal(10)))
    with app.running():
        row = app.get(levels, "t-1", after=receipt)
    assert row is not None


def test_waiting_ends_when_nobody_runs_the_projection(small: App) -> None:
    with pytest.raises(WaitTimeout, match="levels did not come far enough"):
        small.execute(Fill(tank_id="t-1", litres=Decimal(10)), wait=levels, timeout=0.05)


def test_a_projection_can_be_waited_for_by_its_name(app: App) -> None:
    with app.running():
        app.execute(Fill(tank_id="t-1", litres=Decimal(10)), wait="levels")
        assert app.get(levels, "t-1") is not None


def test_a_wait_for_what_is_no_projection_is_refused_before_anything_is_stored(small: App) -> None:
    stranger = Projection("stranger", into=Level)
    for wait in ("levls", [stranger]):
        with pytest.raises((NotFound, DeclarationError)):
            small.execute(Fill(tank_id="t-1", litres=Decimal(10)), wait=wait)
    with pytest.raises(NotFound):
        small.state(Tank, "t-1")


def test_waiting_for_a_record_that_is_parked_says_so(app: App) -> None:
    with app.running(), pytest.raises(Parked, match="dead letter 1"):
        app.execute(Fill(tank_id="t-1", litres=Decimal(-1)), wait=levels, timeout=10)


def test_a_repeated_command_gives_the_first_receipt(app: App) -> None:
    fill = Fill(tank_id="t-1", litres=Decimal(1))
    first = app.execute(fill, id="once")
    again = app.execute(fill, id="once")
    assert again.repeated
    assert again.events == first.events
    with pytest.raises(CommandIdReused):
        app.execute(Fill(tank_id="t-1", litres=Decimal(2)), id="once")


def test_an_expected_version_is_insisted_on(small: App) -> None:
    small.execute(Fill(tank_id="t-1", litres=Decimal(1)))
    with pytest.raises(VersionConflict):
        small.execute(Top(tank_id="t-1", litres=Decimal(1)), expected=7)


def test_a_command_of_another_application_is_explained(small: App) -> None:
    class Drain(Command):
        tank_id: str

    with pytest.raises(DeclarationError, match="no aggregate of this application handles Drain"):
        small.execute(Drain(tank_id="t-1"))


def test_a_projection_that_is_not_a_part_is_refused(small: App) -> None:
    with pytest.raises(DeclarationError, match="is not part of this application"):
        small.get(Projection("levels", into=Level), "t-1")


def test_a_stream_that_is_not_there_has_no_state(small: App) -> None:
    with pytest.raises(NotFound, match="no stream tank-t-9"):
        small.state(Tank, "t-9")
    small.execute(Fill(tank_id="t-1", litres=Decimal(1)))
    with pytest.raises(NotFound, match="has no version 2"):
        small.state(Tank, "t-1", version=2)


def test_events_and_streams_are_read(app: App) -> None:
    app.execute(Fill(tank_id="t-1", litres=Decimal(1)), user="ada")
    app.execute(Top(tank_id="t-1", litres=Decimal(2)))
    versions = [event.meta.version for event in app.events("tank-t-1", backwards=True)]
    assert versions == [2, 1]
    assert [(info.stream, info.version) for info in app.streams("tank")] == [("tank-t-1", 2)]
    assert next(app.events("tank-t-1")).meta.user == "ada"


def test_read_models_are_queried_as_models(app: App) -> None:
    app.execute(Fill(tank_id="t-1", litres=Decimal("2.50")))
    app.catch_up()
    with app.session() as session:
        assert session.scalars(select(Level.litres)).all() == [Decimal("2.50")]


# -------------------------------------------------------------------- the caller's own transaction


def test_rows_and_events_are_committed_together(app: App) -> None:
    app.prepare()
    with app.transaction() as connection:
        NOTES.create(connection)
        connection.execute(NOTES.insert().values(id=1))
        receipts = app.append({"tank-t-1": [Filled(litres=Decimal(3))]}, connection=connection, id="a")
    assert receipts["tank-t-1"].version == 1
    assert app.state(Tank, "t-1").litres == 3


def test_a_refused_append_takes_the_rows_with_it(app: App) -> None:
    app.execute(Fill(tank_id="t-1", litres=Decimal(1)))
    with app.transaction() as connection:
        NOTES.create(connection)

    def fill_anew() -> None:
        with app.transaction() as connection:
            connection.execute(NOTES.insert().values(id=1))
            app.append({"tank-t-1": [Filled(litres=Decimal(3))]}, expected=NO_STREAM, connection=connection)

    with pytest.raises(VersionConflict):
        fill_anew()
    with app.session() as session:
        assert session.execute(select(NOTES)).all() == []


def test_several_streams_are_appended_all_or_none(app: App) -> None:
    app.execute(Fill(tank_id="t-2", litres=Decimal(1)))
    new = {f"tank-t-{n}": [Filled(litres=Decimal(1))] for n in (1, 2)}
    with pytest.raises(VersionConflict):
        app.append(new, expected={"tank-t-2": NO_STREAM})
    assert [info.stream for info in app.streams("tank")] == ["tank-t-2"]
    assert {receipt.version for receipt in app.append(new).values()} == {1, 2}


def test_a_repeated_append_gives_the_first_receipts(app: App) -> None:
    new = {"tank-t-1": [Filled(litres=Decimal(1))]}
    first = app.append(new, id="once")["tank-t-1"]
    again = app.append(new, id="once")["tank-t-1"]
    assert again.repeated
    assert again.position == first.position


@pytest.mark.parametrize("context", [{"at": datetime(2026, 1, 1)}, {"user": "a\x00b"}, {"id": ""}])
def test_what_surrounds_an_append_is_checked_as_for_a_command(small: App, context: Any) -> None:
    with pytest.raises(CommandError, match="an append was sent with"):
        small.append({"tank-t-1": [Filled(litres=Decimal(1))]}, **context)


def test_an_event_its_aggregate_cannot_apply_is_not_appended(small: App) -> None:
    with pytest.raises(DeclarationError, match="Renamed does not belong into tank-t-1"):
        small.append({"tank-t-1": [Renamed()]})


def test_one_transaction_has_one_append(small: App) -> None:
    def append_twice() -> None:
        with small.transaction() as connection:
            small.append({"tank-t-1": [Filled(litres=Decimal(1))]}, connection=connection)
            small.append({"tank-t-2": [Filled(litres=Decimal(1))]}, connection=connection)

    with pytest.raises(DeclarationError, match="a second append"):
        append_twice()
    assert small.streams("tank") == []


@pytest.mark.parametrize("call", ["execute", "submit", "wait", "get", "catch_up", "rebuild", "transaction"])
def test_what_would_wait_for_itself_is_refused_in_a_transaction(call: str, small: App) -> None:
    fill = Fill(tank_id="t-2", litres=Decimal(1))
    receipt = small.execute(Fill(tank_id="t-1", litres=Decimal(1)))
    calls = {
        "execute": lambda: small.execute(fill),
        "submit": lambda: small.submit(fill),
        "wait": lambda: small.wait(levels, receipt),
        "get": lambda: small.get(levels, "t-1", after=receipt),
        "catch_up": lambda: small.catch_up(),
        "rebuild": lambda: small.rebuild(levels),
        "transaction": lambda: small.transaction().__enter__(),
    }
    with small.transaction(), pytest.raises(DeclarationError, match=r"was called inside `with app.transaction\(\)`"):
        calls[call]()
    assert small.execute(fill).version == 1


# -------------------------------------------------------------------- pipelines


def test_a_rebuild_folds_the_same_rows_again(app: App) -> None:
    for n in range(5):
        app.execute(Fill(tank_id=f"t-{n}", litres=Decimal(n)))
    app.catch_up()
    handled: list[int] = []
    app.rebuild(levels, on_progress=lambda _name, count, _position: handled.append(count))
    assert sum(handled) == 5
    row = app.get(levels, "t-4")
    assert row is not None
    assert row.litres == 4


def test_a_rebuild_is_followed_while_a_worker_runs_it(app: App) -> None:
    app.execute(Fill(tank_id="t-1", litres=Decimal(4)))
    with app.running():
        app.rebuild("levels")
        row = app.get(levels, "t-1")
    assert row is not None


def test_rows_folded_by_other_logic_are_not_added_to(app: App, database_url: str) -> None:
    app.execute(Fill(tank_id="t-1", litres=Decimal(4)))
    app.catch_up()
    app.close()
    other = Projection("levels", into=Level, version=2)
    other.on(Filled)(filled)
    with App("plant", Tank, other, database=database_url) as changed:
        changed.execute(Top(tank_id="t-1", litres=Decimal(4)))
        with pytest.raises(StaleProjection, match="folded by other logic"):
            changed.catch_up()
        changed.rebuild(other)
        row = changed.get(other, "t-1")
    assert row is not None
    assert row.litres == 8


def test_a_dead_letter_is_worked_off_after_the_mend(app: App) -> None:
    app.execute(Fill(tank_id="t-1", litres=Decimal(-1)))
    app.catch_up()
    (letter,) = app.dead_letters.list()
    assert letter.error_type == "ValueError"
    GAUGE.set()
    app.dead_letters.retry(id=letter.id)
    app.work_off(["levels"])
    row = app.get(levels, "t-1")
    assert row is not None
    assert app.dead_letters.list() == []


def test_a_row_is_explained(small: App) -> None:
    small.execute(Fill(tank_id="t-1", litres=Decimal(4)))
    small.execute(Top(tank_id="t-1", litres=Decimal(2)))
    small.catch_up()
    explained = small.explain(levels, "t-1")
    assert explained.same
    assert [step.changes.get("litres") for step in explained.steps] == [(None, Decimal(4)), (Decimal(4), Decimal(6))]


def test_status_says_how_far_behind(small: App) -> None:
    small.execute(Fill(tank_id="t-1", litres=Decimal(4)))
    (before,) = small.status()
    small.catch_up()
    (after,) = small.status()
    assert (before.lag, after.lag, after.handled) == (1, 0, 1)


def test_running_ends_when_it_is_told_to(small: App) -> None:
    stop = threading.Event()
    seen = threading.Event()
    runner = threading.Thread(target=small.run, args=(stop, lambda *_: seen.set()))
    runner.start()
    small.execute(Fill(tank_id="t-1", litres=Decimal(4)))
    assert seen.wait(10)
    stop.set()
    runner.join(10)
    assert not runner.is_alive()


# -------------------------------------------------------------------- opening and closing


def test_a_closed_application_opens_again(small: App) -> None:
    small.execute(Fill(tank_id="t-1", litres=Decimal(4)))
    small.close()
    assert not small.is_open
    assert small.state(Tank, "t-1").litres == 4


def test_a_database_that_cannot_be_reached_is_unavailable() -> None:
    with (
        App("plant", Tank, database="postgresql://nobody@127.0.0.1:1/nowhere") as app,
        pytest.raises(Unavailable, match="cannot be used now"),
    ):
        app.execute(Fill(tank_id="t-1", litres=Decimal(4)))


def test_another_partition_count_is_refused(app: App, database_url: str) -> None:
    app.prepare()
    with (
        App("plant", Tank, database=database_url, partitions=4) as other,
        pytest.raises(DeclarationError, match="has 8 partitions, and 4 are declared"),
    ):
        other.prepare()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_opens_connections_of_its_own(app: App) -> None:
    app.execute(Fill(tank_id="t-1", litres=Decimal(4)))
    child = os.fork()
    if child == 0:
        try:
            version = app.execute(Top(tank_id="t-1", litres=Decimal(1))).version
            app.close()
            os._exit(version)
        except BaseException:
            os._exit(99)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 2
    assert app.execute(Top(tank_id="t-1", litres=Decimal(1))).version == 3
