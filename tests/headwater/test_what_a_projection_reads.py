"""A projection's pipeline reads the categories that may hold its events, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy.orm import Mapped, mapped_column

from headwater import Aggregate, App, Command, Event, Ingest, Projection, ReadModel, applies, handles
from headwater.pipelines import of_projection


class Rung(Event, name="test-rung"): ...


class Knocked(Event, name="test-knocked"): ...


class Ring(Command):
    bell_id: str


class Knock(Command):
    door_id: str


class Bell(Aggregate, category="bell"):
    @handles(Ring, new=True)
    def ring(self, command: Ring) -> Event:
        return Rung()

    @applies(Rung)
    def rung(self, event: Rung) -> None: ...


class Door(Aggregate, category="door"):
    @handles(Knock, new=True)
    def knock(self, command: Knock) -> Event:
        return Knocked()

    @applies(Knocked)
    def knocked(self, event: Knocked) -> None: ...


class Heard(ReadModel):
    __tablename__ = "heard"
    bell_id: Mapped[str] = mapped_column(primary_key=True)
    times: Mapped[int] = mapped_column(default=0)


class Noise(ReadModel):
    __tablename__ = "noise"
    name: Mapped[str] = mapped_column(primary_key=True)
    times: Mapped[int] = mapped_column(default=0)


heard = Projection("heard", into=Heard)
noise = Projection("noise", into=Noise)


@heard.on(Rung)
def count(row: Heard, event: Rung) -> None:
    row.times += 1


@noise.on(Rung)
@noise.on(Knocked)
def count_noise(row: Noise, event: Rung | Knocked) -> None:
    row.times += 1


legacy = Ingest("bells")


class BellRow(BaseModel):
    id: int


@legacy.table("public.bell", row=BellRow, category="oldbell", key=lambda row: row.id)
def old_bell(change: Any) -> Iterator[Event]:
    yield Rung()


def test_it_reads_the_categories_whose_aggregates_apply_its_events() -> None:
    app = App("house", Bell, Door, heard, noise)
    assert app.parts.read_by(heard) == ["bell"]
    assert app.parts.read_by(noise) == ["bell", "door"]


def test_what_an_ingest_may_make_is_read_too() -> None:
    app = App("house", Bell, Door, heard, legacy)
    assert app.parts.read_by(heard) == ["bell", "oldbell"]


def test_workers_share_a_projection_only_if_each_row_belongs_to_one_stream(sqlite_url: str) -> None:
    """Two categories may have the same key: two workers would fold into one row."""
    with App("house", Bell, Door, heard, noise, database=sqlite_url) as app:
        made = {p.name: of_projection(app.resources, app.parts, p, app.configuration.settings) for p in (heard, noise)}
        assert made["heard"].handler.shared
        assert not made["noise"].handler.shared


def test_waiting_looks_at_what_the_projection_reads_only(sqlite_url: str) -> None:
    with App("house", Bell, Door, heard, noise, database=sqlite_url) as app, app.running():
        app.execute(Knock(door_id="front"), wait=(heard, noise))
        receipt = app.execute(Ring(bell_id="front"))
        assert app.get(noise, "front", after=receipt).times == 2  # type: ignore[union-attr]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
