"""Everything a source may do to its tables, mirrored: statements are those of tests/data/base/work.sql."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from cdc.images import Images
from cdc.ingest import Ingest
from eventstore.sql.engine import reading

TABLES = (
    *("all_types", "cust_default", "cust_full", "docs_default", "docs_full", "nopk_full", "nopk_ins", "uidx"),
    *("ri_nothing", "orders", "order_items", "evolve", "part", "part_2025", "part_2026", "bigsnap", "outbox"),
)


def mirrored() -> Ingest:
    ingest = Ingest("base", topics=r"srv1\.inv\..*")
    for table in TABLES:
        ingest.mirror(f"inv.{table}")
    ingest.ignore("inv.zz_done")
    return ingest


@pytest.fixture
def capture(bench_kit: Any) -> list[dict[str, Any]]:
    return bench_kit.read_capture("tests/data/base/json-schema.jsonl.gz")


@pytest.fixture
def base(bench, capture):
    done = bench(mirrored()).feed(capture)
    assert done.letters == []
    return done


def only(messages: list[dict[str, Any]], *tables: str) -> list[dict[str, Any]]:
    return [message for message in messages if message["topic"].removeprefix("srv1.inv.") in tables]


def test_every_table_is_mirrored_as_the_source_has_it(base):
    counts = {table: len(base.mirror(table, *(["id"] if table == "all_types" else []))) for table in TABLES}
    assert counts == {
        "all_types": 13,
        "cust_default": 6,
        "cust_full": 5,
        "docs_default": 1,
        "docs_full": 1,
        "nopk_full": 2,
        "nopk_ins": 1,
        "uidx": 0,
        "ri_nothing": 2,
        "orders": 1,
        "order_items": 0,
        "evolve": 7,
        "part": 2,
        "part_2025": 0,
        "part_2026": 2,
        "bigsnap": 25,
        "outbox": 2,
    }


def test_a_swap_of_keys_inside_a_transaction_comes_out_right(base):
    assert {row["id"]: row["name"] for row in base.mirror("cust_full")} == {
        1: "Cust 1",
        100: "New",
        333: "Cust 3",
        4: "Cust 5",
        5: "Cust 4",
    }


def test_a_row_born_changed_killed_and_born_again_in_a_transaction_is_the_last_one(base):
    [row] = [row for row in base.mirror("cust_default") if row["id"] == 200]
    assert (row["name"], row["balance"]) == ("c", Decimal(0))


def test_unchanged_toast_values_are_carried_over_a_change_of_the_key(base):
    [row] = base.mirror("docs_default")
    assert (row["id"], row["title"], row["body"], row["tags"]) == (9, "t2", None, [])
    assert row["blob"] == b"\xab" * 9000
    assert json.loads(row["meta"]) == {"k": "z" * 9000}
    assert json.loads(row["h"]) == {"k": "y" * 9000}


def test_of_equal_rows_without_a_key_exactly_as_many_are_deleted_as_at_the_source(base, bench_kit):
    assert base.mirror("nopk_full") == [{"a": 2, "b": "two"}, {"a": None, "b": None}]


def test_one_of_two_equal_rows_without_a_key_is_changed(bench, capture):
    until_update = only(capture, "nopk_full")[:5]
    rows = bench(mirrored()).feed(until_update).mirror("nopk_full")
    assert sorted(row["b"] or "" for row in rows) == ["", "ONE", "one", "two"]


def test_a_truncate_empties_and_what_comes_after_it_stays(base):
    assert base.mirror("uidx") == base.mirror("order_items") == []
    assert [(row["id"], row["region"]) for row in base.mirror("orders")] == [(8, "eu")]


def test_the_mirror_follows_columns_added_renamed_widened_and_dropped(base):
    rows = {row["id"]: row for row in base.mirror("evolve")}
    assert rows[1] == {"id": 1, "a": "x", "b": "5", "a_new": None, "c": None}
    assert rows[4]["b"] == "5000000000"
    assert rows[5]["b"] == "txt"
    assert (rows[6]["b"], rows[6]["a_new"]) == (None, "a6")
    assert rows[7]["c"] == Decimal("1.5")


def test_schema_changes_come_out_the_same_one_record_a_batch(bench, capture, base_rows):
    assert bench(mirrored()).feed(only(capture, "evolve"), 1).mirror("evolve") == base_rows


@pytest.fixture
def base_rows(quick_bench, capture):
    return quick_bench(mirrored()).feed(capture).mirror("evolve")


def test_a_row_that_moves_to_another_partition_of_its_table_leaves_the_first(base):
    assert base.mirror("part_2025") == []
    assert {"id": 3, "d": date(2026, 7, 1), "v": "p3"} in base.mirror("part_2026")


def test_generated_columns_are_null_once_a_change_came_without_them(base):
    rows = {row["id"]: row for row in base.mirror("all_types", "id", "c_int", "c_gen")}
    assert (rows[1]["c_int"], rows[1]["c_gen"]) == (7, None)


def test_an_incremental_snapshot_changes_nothing_that_was_right(base):
    rows = {row["id"]: row["v"] for row in base.mirror("bigsnap")}
    assert rows == {n: f"v{n}" for n in range(1, 26)} | {3: "during"}


def test_names_are_quoted(base):
    rows = {row["id"]: row for row in base.mirror("all_types", "id", "Weird Col-Name", "select")}
    assert (rows[8]["Weird Col-Name"], rows[8]["select"]) == ("weird", 7)


def same(a: Any, b: Any) -> bool:
    return a == b or (a != a and b != b)


def test_the_mirror_gives_back_every_value_of_every_type(quick_bench, capture):
    done = quick_bench(mirrored()).feed(capture)
    images = Images("base")
    with reading(done.engine) as connection:
        images.begin(connection, [])
        decoded = {image.row["id"]: image.row for _, image in images.of_table("inv.all_types")}
    rows = {row["id"]: row for row in done.mirror("all_types")}
    differing = {
        (id, name): (value, rows[id][name])
        for id, row in decoded.items()
        for name, value in row.items()
        if not same(value, rows[id][name])
    }
    assert rows.keys() == decoded.keys()
    assert differing == {}


def test_everything_twice_is_the_same_as_once(quick_bench, capture):
    keyed = [m for m in capture if not m["topic"].startswith("srv1.inv.nopk_")]
    once, twice = quick_bench(mirrored()).feed(keyed), quick_bench(mirrored()).feed([m for m in keyed for _ in "12"])
    assert twice.letters == []
    assert all(repr(once.mirror(t)) == repr(twice.mirror(t)) for t in TABLES)


def test_the_whole_capture_read_again_changes_nothing(quick_bench, capture):
    once, again = quick_bench(mirrored()).feed(capture), quick_bench(mirrored()).feed(capture * 2)
    assert again.letters == []
    assert all(repr(once.mirror(t)) == repr(again.mirror(t)) for t in TABLES)
