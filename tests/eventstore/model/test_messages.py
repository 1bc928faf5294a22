"""Names, renames and versions of events; and what a declaration may not say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from eventstore.errors import DeclarationError, Undecodable
from eventstore.model.aggregate import Aggregate, applies
from eventstore.model.codec import decode
from eventstore.model.message import Command, Event, Meta, check_upcasters, registry, stamp, upcasts
from eventstore.model.record import Record
from eventstore.model.stored import SCHEMA_URN


def record(type: str, version: int, data: bytes) -> Record:
    headers = {
        "ce_type": type,
        "ce_id": "i",
        "ce_subject": "parcel-1",
        "ce_sequence": "1",
        "ce_time": "2026-05-01T00:00:00+00:00",
        "ce_dataschema": f"{SCHEMA_URN}{type}:{version}",
    }
    return Record("post.parcel", 0, 0, b"parcel-1:1", data, headers)


class Sent(Event, name="parcel-sent", version=3, was=("ParcelCreated", "PackageSent")):
    grams: int
    country: str


@upcasts(Sent, to=2)
def in_grams(data: dict[str, Any]) -> dict[str, Any]:
    return {"grams": data["kilos"] * 1000}


@upcasts(Sent, to=3)
def with_country(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "country": "DE"}


def test_the_whole_history_stays_readable() -> None:
    first = record("ParcelCreated", 1, b'{"kilos": 2}')
    second = record("PackageSent", 2, b'{"grams": 5}')
    third = record("parcel-sent", 3, b'{"grams": 7, "country": "FR"}')
    assert [decode(r) for r in (first, second, third)] == [
        Sent(grams=2000, country="DE"),
        Sent(grams=5, country="DE"),
        Sent(grams=7, country="FR"),
    ]


def test_events_of_newer_code_are_not_misread() -> None:
    with pytest.raises(Undecodable, match="of version 4 was stored"):
        decode(record("parcel-sent", 4, b"{}"))


def test_an_event_is_found_by_every_name_it_had() -> None:
    assert {registry.find(name) for name in ("parcel-sent", "ParcelCreated", "PackageSent")} == {Sent}
    assert registry.find("nobody") is None


def test_two_events_of_one_name_are_refused() -> None:
    with pytest.raises(DeclarationError, match="two events are called 'parcel-sent'"):

        class Other(Event, name="parcel-sent"): ...


def test_a_version_below_one_is_refused() -> None:
    with pytest.raises(DeclarationError, match="has version 0"):

        class Other(Event, version=0): ...


def test_a_missing_upcaster_is_found_when_an_aggregate_applies_the_event() -> None:
    class Moved(Event, version=3): ...

    upcasts(Moved, to=3)(lambda data: data)
    with pytest.raises(DeclarationError, match="no upcaster to 2"):
        check_upcasters(Moved)
    with pytest.raises(DeclarationError, match="no upcaster to 2"):

        class Truck(Aggregate, category="truck"):
            @applies(Moved)
            def moved(self, event: Moved) -> None: ...


@pytest.mark.parametrize("to", [0, 1, 4])
def test_an_upcaster_to_a_version_that_is_not_there_is_refused(to: int) -> None:
    with pytest.raises(DeclarationError, match=f"no version {to} of Sent"):
        upcasts(Sent, to=to)(lambda data: data)


def test_two_upcasters_to_one_version_are_refused() -> None:
    with pytest.raises(DeclarationError, match="two upcasters to version 2"):
        upcasts(Sent, to=2)(lambda data: data)


def test_messages_are_immutable_and_take_no_unknown_fields() -> None:
    with pytest.raises(ValidationError):
        Sent(grams=1, country="DE").grams = 2  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Sent(grams=1, country="DE", colour="red")  # type: ignore[call-arg]


def test_metadata_is_no_part_of_equality() -> None:
    one, two = Sent(grams=1, country="DE"), Sent(grams=1, country="DE")
    stamp(one, Meta(stream="parcel-9", version=4))
    assert one == two
    assert (one.meta.category, one.meta.key, two.meta.version) == ("parcel", "9", 1)


def test_a_command_is_no_event() -> None:
    class Send(Command):
        parcel_id: str

    assert registry.find("Send") is None
