"""What an ingest refuses, and that it says why: nothing is skipped in silence, nothing stops what is right."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, Field

from cdc import types
from cdc.change import Change, Created, Updated
from cdc.handler import IngestHandler
from cdc.ingest import Ingest
from cdc.translate import translate
from eventstore.errors import DeclarationError
from eventstore.model.message import Event
from eventstore.pipeline import LetterState


class Priced(Event, name="test-refusals-priced"):
    price: Decimal


class GoodRow(BaseModel):
    id: int
    name: str
    price: Decimal = Field(ge=0)


def goods() -> Ingest:
    ingest = Ingest("goods", topics=r"shop\..*")

    @ingest.table(
        "public.good", row=GoodRow, category="good", key=lambda row: row.id, types={"price": types.DecimalText()}
    )
    def good(change: Change[GoodRow]) -> Iterator[Event]:
        match change:
            case Created(after=a) | Updated(after=a):
                if a.name == "bug":
                    raise ZeroDivisionError("a bug in the translator")
                yield Priced(price=a.price)

    ingest.ignore("public.audit")
    return ingest


@pytest.fixture
def change(bench_kit: Any) -> Any:
    def make(op: str, row: dict[str, Any], n: int = 1, table: str = "public.good", **more: Any) -> dict[str, Any]:
        return bench_kit.change(op, row, at=(n * 10, n * 10, 1), ms=n, table=table, **more)

    return make


def good(id: int, price: str = "1.00", **more: Any) -> dict[str, Any]:
    return {"id": id, "name": "a", "price": price, **more}


def test_a_table_nobody_declared_is_a_dead_letter(quick_bench, change):
    done = quick_bench(goods()).feed([change("c", good(1), table="public.unheard"), change("c", good(2), 2)])
    [letter] = done.letters
    assert letter.key == "public.unheard:1"
    assert "knows no table public.unheard" in letter.error
    assert len(done.events("good")) == 1


def test_a_table_that_is_ignored_and_debeziums_signals_are_none(quick_bench, change):
    signal = {"id": "s-1", "type": "log", "data": "{}"}
    done = quick_bench(goods()).feed(
        [change("c", good(1), table="public.audit"), change("c", signal, table="public.dbz_signal")]
    )
    assert done.letters == []


def test_a_table_from_a_topic_that_is_not_the_ingests_is_a_dead_letter(quick_bench, change):
    [letter] = quick_bench(goods()).feed([{**change("c", good(1)), "topic": "other.public.good"}]).letters
    assert "arrived in topic other.public.good" in letter.error
    assert r"shop\..*" in letter.error


def test_a_missing_field_is_named(quick_bench, change):
    row = good(7)
    del row["name"]
    [letter] = quick_bench(goods()).feed([change("c", row)]).letters
    assert letter.error_type == "IncompleteRow"
    assert "public.good:7 lacks name" in letter.error


def test_a_missing_key_field_is_named(quick_bench, change):
    [letter] = quick_bench(goods()).feed([change("c", {"name": "a", "price": "1"}, key={"other": 3})]).letters
    assert "public.good:3 lacks id" in letter.error


def test_a_refused_value_is_named_with_its_table_key_and_field(quick_bench, change):
    [letter] = quick_bench(goods()).feed([change("c", good(7, "-4.00"))]).letters
    assert letter.error_type == "Refused"
    assert "public.good:7 does not fit GoodRow" in letter.error
    assert "price = -4.00: Input should be greater than or equal to 0" in letter.error


def test_columns_the_model_does_not_name_are_left_out(quick_bench, change):
    done = quick_bench(goods()).feed([change("c", good(1, colour="red"))])
    assert done.letters == []
    assert done.of_stream("good-1") == [Priced(price=Decimal("1.00"))]


def test_later_changes_of_a_parked_key_wait_and_others_go_on(quick_bench, change):
    done = quick_bench(goods()).feed(
        [change("c", good(1, "-1")), change("u", good(1, "2"), 2), change("c", good(2, "3"), 3)]
    )
    assert [letter.state for letter in done.letters] == [LetterState.PARKED, LetterState.BLOCKED]
    assert done.events("good") == [Priced(price=Decimal(3))]


def test_a_bug_in_a_translator_parks_its_key(quick_bench, change):
    [letter] = quick_bench(goods()).feed([change("c", good(1) | {"name": "bug"}), change("c", good(2), 2)]).letters
    assert (letter.key, letter.error_type) == ("public.good:1", "ZeroDivisionError")


def test_changes_of_a_key_wait_behind_a_message_of_it_that_cannot_be_decoded(quick_bench, change):
    broken = {**change("c", good(1)), "value": "{"}
    done = quick_bench(goods()).feed([broken, change("u", good(1, "2"), 2), change("c", good(2, "3"), 3)])
    assert [(letter.key, letter.state) for letter in done.letters] == [
        ("public.good:1", LetterState.PARKED),
        ("public.good:1", LetterState.BLOCKED),
    ]


def test_a_message_with_broken_key_and_value_is_a_dead_letter_of_its_own(quick_bench, change):
    broken = {**change("c", good(1)), "key": "}", "value": "{"}
    done = quick_bench(goods()).feed([broken, change("c", good(2), 2)])
    assert len(done.letters) == 1
    assert len(done.events("good")) == 1


@pytest.mark.parametrize("lsn", [1 << 63, 1 << 200, -1])
def test_a_position_that_no_log_has_is_a_dead_letter(quick_bench, bench_kit, change, lsn):
    hostile = bench_kit.change("c", good(1), at=(lsn, lsn, 1), table="public.good")
    done = quick_bench(goods()).feed([hostile, change("c", good(2), 2)])
    assert len(done.letters) == 1
    assert len(done.events("good")) == 1


@pytest.mark.parametrize("topic", ["shop.\x00", "shop.\udcff.public.good"])
def test_a_topic_that_no_broker_has_is_a_dead_letter(bench, change, topic):
    done = bench(goods()).feed([{**change("c", good(1)), "topic": topic}, change("c", good(2), 2)])
    assert len(done.events("good")) == 1


def test_an_ingest_cannot_be_rebuilt(quick_bench):
    made = quick_bench(goods())
    with made.engine.connect() as connection, pytest.raises(DeclarationError, match="cannot be rebuilt"):
        IngestHandler(made.ingest, made.log).clear(connection)


def test_a_translator_is_tested_without_a_database():
    before, after = GoodRow(id=1, name="a", price=Decimal(1)), GoodRow(id=1, name="a", price=Decimal(2))
    assert translate(goods(), "public.good", Updated(before, after)) == [Priced(price=Decimal(2))]


def test_what_a_translator_gives_must_be_events():
    ingest = Ingest("odd")
    ingest.table("public.t", row=GoodRow, category="odd", key=lambda row: row.id)(lambda change: ["no event"])
    with pytest.raises(DeclarationError, match="gave 'no event'"):
        translate(ingest, "public.t", Created(GoodRow(id=1, name="a", price=Decimal(1))))


@pytest.mark.parametrize(
    ("declare", "why"),
    [
        (lambda i: Ingest("Bad Name"), "is not a name for an ingest"),
        (lambda i: Ingest("bad", topics="("), "no regular expression"),
        (lambda i: (i.mirror("a.b"), i.mirror("a.b")), "two mirrors"),
        (lambda i: (i.mirror("a.b"), i.ignore("a.b")), "both ignored and used"),
        (lambda i: i.mirror("a.b", into="x" * 64), "cannot name a table"),
        (lambda i: i.mirror("a.b", into=GoodRow), "has no table"),
        (lambda i: i.mirror(""), "not the name of a table"),
        (lambda i: translate(i, "public.none", Created(1)), "has no translator"),
    ],
)
def test_a_wrong_declaration_is_refused_with_its_reason(declare, why):
    with pytest.raises(DeclarationError, match=why):
        declare(Ingest("good"))


def test_a_value_longer_than_the_ingest_allows_is_a_dead_letter(quick_bench, change):
    ingest = goods()
    ingest.max_bytes = 2_000
    done = quick_bench(ingest).feed([change("c", good(1, padding="x" * 3_000)), change("c", good(2), 2)])
    [letter] = done.letters
    assert "2,000" in letter.error
    assert len(done.events("good")) == 1


class Noted(Event, name="test-refusals-noted"):
    notes: str


class NotedRow(BaseModel):
    id: int
    name: str
    notes: str


def test_an_ingest_may_say_which_placeholder_its_connector_sends(quick_bench, change):
    ingest = Ingest("goods", placeholder="__left_out")

    @ingest.table("public.good", row=NotedRow, category="good", key=lambda row: row.id)
    def noted(change: Change[NotedRow]) -> Iterator[Event]:
        match change:
            case Created(after=a) | Updated(after=a):
                yield Noted(notes=a.notes)

    changed = {"id": 1, "name": "b", "notes": "__left_out"}
    done = quick_bench(ingest).feed([change("c", {"id": 1, "name": "a", "notes": "long"}), change("u", changed, 2)])
    assert done.events("good") == [Noted(notes="long"), Noted(notes="long")]
