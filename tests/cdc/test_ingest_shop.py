"""The legacy shop: three topics of three partitions each, translated and mirrored, with rows that are refused."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from cdc.change import Change, Created, Deleted, Rekeyed, Updated
from cdc.handler import IngestHandler
from cdc.ingest import Addressed, Ingest, to
from eventstore.model.message import Event
from eventstore.pipeline import DeadLetters, LetterState

TABLES = ("product", "stock", "customer")


class Listed(Event, name="test-shop-listed"):
    name: str
    price: Decimal


class Renumbered(Event, name="test-shop-renumbered"):
    sku: str


class Repriced(Event, name="test-shop-repriced"):
    old: Decimal
    new: Decimal


class Withdrawn(Event, name="test-shop-withdrawn"): ...


class ProductRow(BaseModel):
    sku: str
    name: str
    price: Decimal = Field(ge=0)
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class CustomerRow(BaseModel):
    id: int
    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")] | None


def mirrored() -> Ingest:
    ingest = Ingest("legacy-shop", topics=r"legacy\.public\..*")
    for table in TABLES:
        ingest.mirror(f"public.{table}")
    return ingest


def translated(row: type[BaseModel] = ProductRow) -> Ingest:
    ingest = mirrored()

    @ingest.table("public.product", row=row, category="product", key=lambda row: row.sku)
    def product(change: Change[Any]) -> Iterator[Event | Addressed]:
        match change:
            case Created(after=new):
                yield Listed(name=new.name, price=new.price)
            case Updated(before=old, after=new) if old.price != new.price:
                yield Repriced(old=old.price, new=new.price)
            case Rekeyed(before=old, after=new):
                yield to(old.sku, Renumbered(sku=new.sku))
                yield Listed(name=new.name, price=new.price)
            case Deleted():
                yield Withdrawn()

    @ingest.table("public.customer", row=CustomerRow, category="customer", key=lambda row: row.id)
    def customer(change: Change[CustomerRow]) -> Iterator[Event]:
        yield from ()

    return ingest


@pytest.fixture
def capture(bench_kit: Any) -> list[dict[str, Any]]:
    return bench_kit.read_capture("sample_app/data/changes.jsonl.gz")


@pytest.fixture
def final(bench_kit: Any) -> dict[str, list[dict[str, str | None]]]:
    return {t: sorted(bench_kit.read_csv(f"sample_app/data/final.{t}.csv"), key=repr) for t in TABLES}


@pytest.fixture
def as_source(bench_kit: Any) -> Any:
    def show(bench: Any, table: str) -> list[dict[str, str | None]]:
        rows = ({c: bench_kit.as_text(v) for c, v in row.items()} for row in bench.mirror(table))
        return sorted(rows, key=repr)

    return show


def by_key(rows: list[dict[str, Any]], column: str) -> dict[Any, dict[str, Any]]:
    return {row[column]: row for row in rows}


@pytest.mark.parametrize("batch", [23, 500, 10_000])
def test_mirrors_equal_the_source_in_any_batch_size(bench, capture, final, as_source, batch):
    done = bench(mirrored()).feed(capture, batch)
    assert done.letters == []
    assert {table: as_source(done, table) for table in TABLES} == final


@pytest.mark.parametrize("seed", range(3))
def test_mirrors_equal_the_source_when_cut_repeated_and_resumed(quick_bench, capture, final, as_source, seed):
    chance, resumed = random.Random(seed), quick_bench(mirrored())
    cuts = [0, *sorted(chance.sample(range(1, len(capture)), 20)), len(capture)]
    for start, end in pairwise(cuts):
        resumed.feed([m for m in capture[max(0, start - chance.randrange(300)) : end] for _ in range(2)])
    assert {table: as_source(resumed, table) for table in TABLES} == final


@pytest.mark.parametrize("seed", range(4))
def test_mirrors_equal_the_source_however_the_partitions_are_interleaved(quick_bench, capture, final, as_source, seed):
    """The halves of a re-key lie in different partitions, which are read in any order."""
    shuffled = interleaved(capture, random.Random(seed))
    done = quick_bench(mirrored()).feed(shuffled, random.Random(seed).choice([20, 50, 4000]))
    assert done.letters == []
    assert {table: as_source(done, table) for table in TABLES} == final


def interleaved(messages: list[dict[str, Any]], chance: random.Random) -> list[dict[str, Any]]:
    """Another order in which a consumer may see them: that of each partition is kept."""
    queues: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for message in messages:
        queues.setdefault((message["topic"], message["partition"]), []).append(message)
    waiting = [list(reversed(queue)) for queue in queues.values()]
    mixed = []
    while waiting:
        queue = chance.choice(waiting)
        mixed += [queue.pop() for _ in range(min(len(queue), chance.randrange(1, 200)))]
        waiting = [queue for queue in waiting if queue]
    return mixed


@pytest.mark.parametrize("seed", range(3))
def test_a_change_of_the_key_across_partitions_is_one_rekeyed(quick_bench, capture, seed):
    done = quick_bench(translated()).feed(interleaved(capture, random.Random(seed)), 11)
    assert isinstance(done.of_stream("product-SKU-0042")[-1], Renumbered)
    assert isinstance(done.of_stream("product-SKU-0042-B")[0], Listed)
    assert sum(isinstance(e, Renumbered) for e in done.events("product")) == 1


def test_three_keys_are_parked_each_with_its_reason(bench, capture):
    done = bench(translated()).feed(capture)
    parked = {letter.key: letter.error for letter in done.letters if letter.state is LetterState.PARKED}
    assert parked.keys() == {"public.product:SKU-0007", "public.product:SKU-0021", "public.customer:33"}
    assert "price = -4.00" in parked["public.product:SKU-0007"]
    assert "currency = 'EU '" in parked["public.product:SKU-0021"]
    assert "email = 'not an address'" in parked["public.customer:33"]
    assert all("ProductRow" in e or "CustomerRow" in e for e in parked.values())


def test_all_keys_but_the_parked_ones_equal_the_source(bench, capture, final, as_source):
    done = bench(translated()).feed(capture)
    products, wanted = by_key(as_source(done, "product"), "sku"), by_key(final["product"], "sku")
    assert {sku for sku, row in wanted.items() if products.get(sku) != row} == {"SKU-0007", "SKU-0021"}
    assert products.keys() == wanted.keys()
    assert as_source(done, "stock") == final["stock"]


def test_a_collapsed_key_goes_on_with_its_newest_row(bench, capture, final, as_source):
    done = bench(translated()).feed(capture)
    handler = IngestHandler(done.ingest, done.log)
    letters = DeadLetters(done.engine, done.log.wakeup)
    letters.collapse("public.product:SKU-0007", lambda pipeline, record: handler.whole(record))
    done.run()
    assert by_key(as_source(done, "product"), "sku")["SKU-0007"] == by_key(final["product"], "sku")["SKU-0007"]
    assert not [letter for letter in done.letters if letter.key == "public.product:SKU-0007"]


class Lenient(BaseModel):
    sku: str
    name: str
    price: Decimal
    currency: str


def test_once_the_model_is_mended_a_retry_makes_the_rows_as_if_nothing_had_failed(
    quick_bench, capture, final, as_source
):
    done, undisturbed = quick_bench(translated()).feed(capture), quick_bench(translated(Lenient)).feed(capture)
    done.ingest = translated(Lenient)
    done.retry(pipeline="legacy-shop")
    assert as_source(done, "product") == final["product"]
    for sku in ("SKU-0007", "SKU-0021"):
        assert done.of_stream(f"product-{sku}") == undisturbed.of_stream(f"product-{sku}")


def test_events_say_where_and_when_they_come_from(quick_bench, capture):
    done = quick_bench(translated()).feed(capture)
    renumbered = done.of_stream("product-SKU-0042")[-1]
    born = done.of_stream("product-SKU-0042-B")[0]
    assert renumbered.meta.causation_id == born.meta.causation_id == "legacy.public.product[2]@34"
    assert renumbered.meta.correlation_id == born.meta.correlation_id != ""
    assert renumbered.meta.at.year == 2026


def test_everything_read_twice_appends_no_event_twice(quick_bench, capture):
    once, twice = quick_bench(translated()).feed(capture), quick_bench(translated()).feed(capture * 2)
    assert [e.meta.id for e in once.events("product")] == [e.meta.id for e in twice.events("product")]
    assert len(once.letters) == len(twice.letters)


def test_one_watermark_for_the_source_would_drop_most_of_its_changes(capture):
    """Why there is one for each topic and partition: nothing orders the reading of partitions."""
    highest, dropped, live = (0, 0, 0), 0, 0
    for message in sorted(capture, key=lambda m: (m["topic"], m["partition"], m["offset"])):
        value = message["value"] and json.loads(message["value"])["payload"]
        if not value or value.get("op") not in ("c", "u", "d"):
            continue
        live += 1
        first, second = json.loads(value["source"]["sequence"])
        place = (int(first or second), int(second), value["transaction"]["total_order"])
        dropped += place <= highest
        highest = max(highest, place)
    assert (dropped, live) == (871, 964)
