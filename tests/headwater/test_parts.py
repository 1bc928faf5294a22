"""What may be part of an application, and what may not stand beside another."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Mapped, mapped_column

from eventstore.errors import DeclarationError, NotFound
from headwater import Aggregate, App, Command, Event, Ingest, Projection, ReadModel, handles


class Opened(Event): ...


class OpenDoor(Command):
    door_id: str


class Door(Aggregate, category="door"):
    @handles(OpenDoor, new=True)
    def open(self, command: OpenDoor) -> Event:
        return Opened()


class DoorRow(ReadModel):
    __tablename__ = "parts_door"
    door_id: Mapped[str] = mapped_column(primary_key=True)


def test_two_aggregates_of_one_category_are_refused() -> None:
    class Gate(Aggregate, category="door"): ...

    with pytest.raises(DeclarationError, match="both of category 'door'"):
        App("house", Door, Gate)


def test_a_command_has_one_aggregate() -> None:
    class Gate(Aggregate, category="gate", key="door_id"):
        @handles(OpenDoor, new=True)
        def open(self, command: OpenDoor) -> Event:
            return Opened()

    with pytest.raises(DeclarationError, match="both handle OpenDoor"):
        App("house", Door, Gate)


def test_names_of_pipelines_are_given_once() -> None:
    with pytest.raises(DeclarationError, match="two parts are called 'doors'"):
        App("house", Projection("doors", into=DoorRow), Ingest("doors"))


def test_a_table_has_one_projection() -> None:
    with pytest.raises(DeclarationError, match="both write to the table 'parts_door'"):
        App("house", Projection("doors", into=DoorRow), Projection("gates", into=DoorRow))


@pytest.mark.parametrize(
    ("part", "why"),
    [
        (OpenDoor, "through the aggregates"),
        (Door(), "it is an instance"),
        (DoorRow, "the class DoorRow"),
        ("door", "it is a str"),
    ],
)
def test_what_is_no_part_is_refused_with_the_reason(part: object, why: str) -> None:
    with pytest.raises(DeclarationError, match="is not a part of an application") as caught:
        App("house", part)  # type: ignore[arg-type]
    assert why in caught.value.why


def test_an_unknown_name_is_answered_with_what_was_meant() -> None:
    parts = App("house", Door).parts
    assert parts.command("open-door") is OpenDoor
    with pytest.raises(NotFound) as caught:
        parts.command("OpenDor")
    assert caught.value.fix == "did you mean OpenDoor?"


def test_declaring_opens_nothing() -> None:
    app = App("house", Door, database="postgresql://nobody@127.0.0.1:1/nowhere")
    assert not app.is_open
    app.close()
