"""What is delivered twice, late, or in halves: each rule has the data that would be lost or doubled without it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from cdc import types
from cdc.change import Change, Created, Deleted, Rekeyed, Updated
from cdc.ingest import Addressed, Ingest, to
from eventstore.errors import SourceReset
from eventstore.model.message import Event


class Happened(Event, name="test-redelivery-happened"):
    what: str
    before: str | None = None
    after: str | None = None


class ItemRow(BaseModel):
    id: int
    name: Annotated[str, Field(max_length=10)] = ""


COLUMNS: dict[str, types.Type] = {"id": types.Integer(), "name": types.Text()}


def items(*more: str) -> Ingest:
    """Events that say which changes were seen, and a mirror, of public.item and ``more`` tables."""
    ingest = Ingest("items", topics=r"shop\..*")
    for table in ("public.item", *more):
        ingest.mirror(table, types=COLUMNS)

    @ingest.table("public.item", row=ItemRow, category="item", key=lambda row: row.id)
    def item(change: Change[ItemRow]) -> Iterator[Event | Addressed]:
        match change:
            case Created(after=a):
                yield Happened(what="created", after=a.name)
            case Updated(before=b, after=a):
                yield Happened(what="updated", before=b.name, after=a.name)
            case Deleted(before=b):
                yield Happened(what="deleted", before=b.name)
            case Rekeyed(before=b, after=a):
                yield to(b.id, Happened(what="left", after=str(a.id)))
                yield Happened(what="rekeyed", before=b.name, after=a.name)

    return ingest


def row(id: int, name: str) -> dict[str, Any]:
    return {"id": id, "name": name}


@pytest.fixture
def run(quick_bench: Any) -> Any:
    """Runs an ingest of items on messages, one batch each time it is called."""
    done = quick_bench(items("public.other"))

    def feed(*messages: dict[str, Any], batch: int = 500) -> Any:
        return done.feed(messages, batch)

    feed.bench = done
    return feed


@pytest.fixture
def change(bench_kit: Any) -> Any:
    return bench_kit.change


def seen(bench: Any) -> list[tuple[str, str, str | None, str | None]]:
    """(stream's key, what, before, after) of every event, stream by stream."""
    found = [(e.meta.key, e.what, e.before, e.after) for e in bench.events("item")]
    return sorted(found, key=lambda event: event[0])


def names(bench: Any, table: str = "item") -> dict[int, str]:
    return {row["id"]: row["name"] for row in bench.mirror(table)}


# ---------------------------------------------------------------- live changes


def test_a_change_delivered_twice_counts_once(run, change):
    created, updated = change("c", row(1, "a"), at=(10, 10, 1)), change("u", row(1, "b"), at=(20, 20, 1))
    done = run(created, updated, created, updated)
    assert seen(done) == [("1", "created", None, "a"), ("1", "updated", "a", "b")]


def test_changes_of_one_lsn_are_told_by_their_order(run, change):
    """COPY puts many rows on one LSN; comparing positions without the order would lose all but the first."""
    done = run(*(change("c", row(n, "x"), at=(10, 10, n)) for n in range(1, 9)))
    assert len(names(done)) == 8


def test_changes_of_one_lsn_without_metadata_are_told_by_key_and_op(run, change):
    copied = [change("c", row(n, "x"), at=(10, 10)) for n in range(1, 9)]
    done = run(*copied[:5], *copied)
    assert len(names(done)) == 8
    assert [what for _, what, _, _ in seen(done)] == ["created"] * 8


def test_a_repetition_without_metadata_is_told_after_a_restart_too(run, change):
    copied = [change("c", row(n, "x"), at=(10, 10)) for n in range(1, 9)]
    run(*copied[:5])
    updated = change("u", row(1, "y"), at=(10, 10))
    done = run(*copied[2:], updated)
    assert names(done) == dict.fromkeys(range(2, 9), "x") | {1: "y"}
    assert len(seen(done)) == 9


def test_a_create_delivered_again_without_metadata_does_not_undo_a_delete_at_the_same_position(run, change):
    created = change("c", row(1, "a"), at=(10, 10))
    done = run(created, change("d", at=(10, 10), before=row(1, "")), created)
    assert names(done) == {}


def test_partitions_do_not_hide_each_others_changes(run, change):
    late = change("c", row(2, "b"), at=(10, 10, 1), partition=1)
    done = run(change("c", row(1, "a"), at=(99, 99, 1)), late)
    assert names(done) == {1: "a", 2: "b"}


def test_a_first_commit_that_is_null_counts_as_the_lsn(run, change, bench_kit):
    first = change("c", row(1, "a"), at=(50, 50, 1))
    first["value"] = first["value"].replace('[\\"50\\", \\"50\\"]', '[null, \\"50\\"]')
    assert "null, " in first["value"]
    done = run(first, change("u", row(1, "b"), at=(50, 60, 1)), first)
    assert names(done) == {1: "b"}


def test_a_lower_position_at_a_later_time_stops_the_ingest(run, change):
    run(change("c", row(1, "a"), at=(5000, 5000, 1), ms=1_000))
    with pytest.raises(SourceReset, match="another database cluster"):
        run(change("c", row(2, "b"), at=(10, 10, 1), ms=9_000))


def test_a_snapshot_of_another_cluster_stops_the_ingest(run, change):
    run(change("r", row(1, "a"), at=(5000, 5000), ms=1_000, snapshot="last"))
    with pytest.raises(SourceReset):
        run(change("r", row(1, "a"), at=(10, 10), ms=9_000, snapshot="first"))


def test_commit_times_that_go_back_a_little_are_no_other_cluster(run, change):
    first = change("c", row(1, "a"), at=(10, 10, 1), ms=1_002)
    done = run(first, change("c", row(2, "b"), at=(20, 20, 1), ms=1_001), first)
    assert names(done) == {1: "a", 2: "b"}


# ---------------------------------------------------------------- snapshots


def test_the_first_live_change_at_the_place_of_the_snapshot_is_not_dropped(run, change):
    done = run(
        change("r", row(1, "a"), at=(100, 100), snapshot="last"), change("u", row(1, "b"), at=(100, 100, 1), ms=2_000)
    )
    assert names(done) == {1: "b"}


def test_a_snapshot_row_delivered_again_after_live_changes_puts_nothing_back(run, change):
    read = change("r", row(1, "a"), at=(100, 100), snapshot="last")
    done = run(read, change("u", row(1, "b"), at=(100, 100, 1), ms=2_000), read)
    assert names(done) == {1: "b"}


@pytest.mark.parametrize("lsn", [100, 200])
def test_a_snapshot_row_delivered_again_after_its_delete_does_not_bring_it_back(run, change, lsn):
    read = change("r", row(1, "a"), at=(100, 100), snapshot="last")
    done = run(read, change("d", at=(lsn, lsn, 1), before=row(1, ""), ms=2_000), read)
    assert names(done) == {}


def test_a_snapshot_row_that_is_known_is_no_change(run, change):
    run(change("r", row(1, "a"), at=(100, 100), snapshot="last"))
    done = run(change("r", row(1, "a"), at=(200, 200), ms=2_000, snapshot="last"))
    assert seen(done) == [("1", "created", None, "a")]


def test_a_snapshot_row_that_differs_is_an_update(run, change):
    run(change("r", row(1, "a"), at=(100, 100), snapshot="last"))
    done = run(change("r", row(1, "b"), at=(200, 200), ms=2_000, snapshot="last"))
    assert seen(done)[-1] == ("1", "updated", "a", "b")


def snapshot_of(change: Any, at: int, *rows: dict[str, Any], partitions: int = 1, table: str = "public.item") -> Any:
    marks = ["first", *["true"] * (len(rows) - 2), "last"][-len(rows) :]
    return [
        change("r", r, at=(at, at), ms=at, snapshot=mark, partition=r["id"] % partitions, table=table)
        for r, mark in zip(rows, marks, strict=True)
    ]


def test_rows_deleted_between_two_snapshots_are_deleted(run, change):
    run(*snapshot_of(change, 100, row(1, "a"), row(2, "b"), row(3, "c")))
    done = run(*snapshot_of(change, 200, row(1, "a"), row(3, "c")))
    assert names(done) == {1: "a", 3: "c"}
    assert ("2", "deleted", "b", None) in seen(done)


def test_rows_deleted_between_two_snapshots_are_deleted_one_record_a_batch(run, change):
    run(*snapshot_of(change, 100, row(1, "a"), row(2, "b"), row(3, "c")), batch=1)
    done = run(*snapshot_of(change, 200, row(1, "a"), row(3, "c")), batch=1)
    assert names(done) == {1: "a", 3: "c"}


def test_nothing_is_deleted_before_a_partition_has_passed_the_snapshot(run, change):
    first = snapshot_of(change, 100, row(1, "a"), row(2, "b"), row(3, "c"), partitions=2)
    run(*first)
    again = snapshot_of(change, 200, row(1, "a"), row(2, "b"), row(3, "c"), partitions=2)
    done = run(*(m for m in again if m["partition"] == 1 and "last" not in m["value"]))
    assert names(done) == {1: "a", 2: "b", 3: "c"}


def test_a_live_change_before_the_snapshot_does_not_show_that_its_partition_has_passed(run, change):
    run(*(change("c", row(n, "x"), at=(10, 10, n), ms=10) for n in (1, 2, 3)))
    done = run(snapshot_of(change, 200, row(1, "x"), row(2, "x"), row(3, "x"))[0])
    assert names(done) == {1: "x", 2: "x", 3: "x"}


def test_a_live_change_after_the_snapshot_shows_that_its_partition_has_passed(run, change):
    run(*snapshot_of(change, 100, row(1, "a"), row(2, "b"), row(3, "c"), row(4, "d"), partitions=2))
    again = snapshot_of(change, 200, row(1, "a"), row(2, "b"), row(99, "z"), partitions=2)[:-1]
    live = change("u", row(1, "A"), at=(300, 300, 1), ms=300, partition=1)
    done = run(*again, live)
    assert names(done) == {1: "A", 2: "b", 4: "d"}, "partition 0 may still bring row 4"


def test_rows_made_while_the_snapshot_is_read_stay(run, change):
    run(*snapshot_of(change, 100, row(1, "a"), row(3, "c"), partitions=2))
    live = change("c", row(4, "new"), at=(300, 300, 1), ms=300, partition=0)
    done = run(live, *snapshot_of(change, 200, row(1, "a"), row(99, "z"), partitions=2))
    assert names(done) == {1: "a", 4: "new", 99: "z"}


def test_the_same_snapshot_delivered_again_opens_no_second_reconciliation(run, change):
    again = snapshot_of(change, 200, row(1, "a"), row(2, "b"))
    run(*snapshot_of(change, 100, row(1, "a"), row(2, "b"), row(3, "c")))
    run(*again, change("c", row(4, "d"), at=(300, 300, 1), ms=300))
    done = run(again[0])
    assert names(done) == {1: "a", 2: "b", 4: "d"}


def test_a_snapshot_that_was_interrupted_is_superseded_by_the_next(run, change):
    run(*snapshot_of(change, 100, row(1, "a"), row(2, "b"), row(3, "c")))
    run(snapshot_of(change, 200, row(1, "a"), row(2, "b"))[0])
    done = run(*snapshot_of(change, 300, row(1, "a"), row(3, "c")))
    assert names(done) == {1: "a", 3: "c"}


def test_a_snapshot_of_one_table_leaves_the_others_alone(run, change):
    run(*snapshot_of(change, 100, row(1, "a"), row(2, "b")))
    run(*snapshot_of(change, 100, row(7, "x"), row(8, "y"), table="public.other"))
    done = run(*snapshot_of(change, 200, row(7, "x"), row(9, "z"), table="public.other"))
    assert names(done) == {1: "a", 2: "b"}
    assert names(done, "other") == {7: "x", 9: "z"}


def test_an_incremental_snapshot_deletes_nothing(run, change):
    run(*snapshot_of(change, 100, row(1, "a"), row(2, "b")))
    done = run(change("r", row(1, "a"), at=(200, 200), ms=200, snapshot="incremental"))
    assert names(done) == {1: "a", 2: "b"}


@pytest.mark.parametrize("name", [5, "refused by the model"])
def test_a_row_that_is_parked_as_the_snapshot_reads_it_is_not_taken_for_gone(run, change, name):
    run(*snapshot_of(change, 100, row(1, "a"), row(2, "b"), row(3, "c")))
    bad = {"id": 2, "name": name}
    done = run(*snapshot_of(change, 200, row(1, "a"), bad, row(3, "c")))
    assert names(done) == {1: "a", 2: "b", 3: "c"}
    assert [letter.key for letter in done.letters] == ["public.item:2"]


def test_a_change_that_was_parked_as_its_row_was_deleted_unseen_brings_nothing_back(run, change):
    run(*snapshot_of(change, 100, row(1, "a"), row(2, "b"), row(3, "c")))
    run(change("u", row(2, "refused by the model"), at=(150, 150, 1), ms=150))
    done = run(*snapshot_of(change, 200, row(1, "a"), row(3, "c")))
    assert names(done) == {1: "a", 3: "c"}
    done.retry(pipeline="items")
    assert done.letters == []
    assert names(done) == {1: "a", 3: "c"}


def test_an_incremental_snapshot_by_a_clock_that_is_ahead_is_no_other_cluster(run, change):
    read = change("r", row(1, "a"), at=(20, 20), ms=99_000, snapshot="incremental")
    done = run(change("c", row(1, "a"), at=(10, 10, 1)), read, change("u", row(1, "b"), at=(30, 30, 1)), read)
    assert names(done) == {1: "b"}


def test_an_incremental_snapshot_by_a_clock_that_is_behind_is_not_dropped(run, change):
    live = change("c", row(1, "a"), at=(10, 10, 1), ms=5_000)
    done = run(live, change("r", row(2, "b"), at=(10, 10), ms=1_000, snapshot="incremental"))
    assert names(done) == {1: "a", 2: "b"}


# ---------------------------------------------------------------- truncates


def test_a_truncate_drops_older_rows_and_newer_ones_stay(run, change):
    done = run(
        change("c", row(1, "a"), at=(10, 10, 1)),
        change("c", row(2, "b"), at=(40, 40, 1), partition=1),
        change("t", at=(30, 30, 1)),
    )
    assert names(done) == {2: "b"}
    assert ("1", "deleted", "a", None) in seen(done)


def test_what_was_written_before_a_truncate_and_comes_after_it_is_dropped(run, change):
    run(change("t", at=(30, 30, 1)))
    done = run(
        change("c", row(1, "a"), at=(10, 10, 1), partition=1), change("c", row(2, "b"), at=(40, 40, 1), partition=1)
    )
    assert names(done) == {2: "b"}


# ---------------------------------------------------------------- re-keys


def rekey(change: Any, at: tuple[int, int, int], old: int, new: int, name: str, partitions: int = 2) -> list[Any]:
    commit, lsn, order = at
    return [
        change("d", row(old, ""), at=at, partition=old % partitions, newkey={"id": new}),
        change("c", row(new, name), at=(commit, lsn, order + 1), partition=new % partitions, oldkey={"id": old}),
    ]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_whichever_half_completes_a_rekey_it_is_one_change(run, change, order):
    halves = rekey(change, (20, 20, 1), 1, 2, "a")
    run(change("c", row(1, "a"), at=(10, 10, 1), partition=1))
    for half in order:
        done = run(halves[half])
    assert names(done) == {2: "a"}
    assert seen(done) == [("1", "created", None, "a"), ("1", "left", None, "2"), ("2", "rekeyed", "a", "a")]


def test_changes_of_the_new_key_wait_until_the_row_has_arrived(run, change):
    left, arrived = rekey(change, (20, 20, 1), 1, 2, "a")
    run(change("c", row(1, "a"), at=(10, 10, 1), partition=1), arrived)
    run(change("u", row(2, "b"), at=(30, 30, 1)))
    assert names(run.bench) == {1: "a"}
    done = run(left)
    assert seen(done)[-2:] == [("2", "rekeyed", "a", "a"), ("2", "updated", "a", "b")]
    assert names(done) == {2: "b"}


def test_a_placeholder_in_the_second_half_has_the_value_of_the_old_key(run, change):
    left, arrived = rekey(change, (20, 20, 1), 1, 2, "__debezium_unavailable_value")
    run(change("c", row(1, "long"), at=(10, 10, 1), partition=1), arrived)
    assert names(run(left)) == {2: "long"}


@pytest.mark.parametrize("seed", range(6))
def test_a_swap_of_keys_comes_out_right_in_any_order_of_partitions(run, change, seed):
    swap = [*rekey(change, (20, 20, 1), 4, -1, "four", 3), *rekey(change, (20, 30, 3), 5, 4, "five", 3)]
    swap += rekey(change, (20, 40, 5), -1, 5, "four", 3)
    born = [change("c", row(n, name), at=(10, 10, n), partition=n % 3) for n, name in ((4, "four"), (5, "five"))]
    queues = {p: [m for m in (*born, *swap) if m["partition"] == p] for p in range(3)}
    chance = random.Random(seed)
    while any(queues.values()):
        queue = chance.choice([q for q in queues.values() if q])
        run(queue.pop(0))
    assert names(run.bench) == {4: "five", 5: "four"}
    assert sum(what == "rekeyed" for _, what, _, _ in seen(run.bench)) == 3
    assert not any(what == "deleted" for _, what, _, _ in seen(run.bench))


# ---------------------------------------------------------------- what the message leaves out


def test_before_is_the_row_as_it_was_last_seen_not_what_the_message_makes_up(run, change):
    run(change("c", row(1, "a"), at=(10, 10, 1)))
    done = run(change("d", at=(20, 20, 1), before=row(1, "")))
    assert seen(done)[-1] == ("1", "deleted", "a", None)


def test_an_update_of_a_row_that_was_never_seen_creates_it(run, change):
    assert seen(run(change("u", row(1, "a"), at=(10, 10, 1)))) == [("1", "created", None, "a")]


def test_a_delete_of_a_row_that_was_never_seen_changes_nothing(run, change):
    done = run(change("c", row(2, "b"), at=(5, 5, 1)), change("d", at=(10, 10, 1), before=row(1, "")))
    assert seen(done) == [("2", "created", None, "b")]
    assert done.letters == []


def test_an_unchanged_value_that_was_never_seen_is_a_dead_letter_that_says_how_to_get_it(run, change):
    [letter] = run(change("u", row(1, "__debezium_unavailable_value"), at=(10, 10, 1))).letters
    assert letter.key == "public.item:1"
    assert "name of public.item:1 is not known" in letter.error
    assert "incremental snapshot" in letter.error


# ---------------------------------------------------------------- tables without a key


def keyless(change: Any, op: str, name: str, at: tuple[int, ...], **more: Any) -> dict[str, Any]:
    message = change(op, row(1, name), at=at, table="public.other", **more)
    return {**message, "key": None}


def test_equal_rows_without_a_key_are_counted(run, change):
    run(*(keyless(change, "c", "x", (10, 10, n)) for n in (1, 2, 3)))
    done = run(keyless(change, "d", "x", (20, 20, 1)))
    assert [r["name"] for r in done.mirror("other")] == ["x", "x"]


def test_rows_without_a_key_delivered_twice_are_not_doubled(run, change):
    copied = [keyless(change, "c", "x", (10, 10, n)) for n in (1, 2, 3)]
    run(*copied)
    assert len(run(*copied).mirror("other")) == 3


def test_a_second_snapshot_of_rows_without_a_key_does_not_double_them(run, change):
    first = [keyless(change, "r", n, (100, 100), ms=100, snapshot=s) for n, s in (("x", "first"), ("x", "last"))]
    again = [keyless(change, "r", n, (200, 200), ms=200, snapshot=s) for n, s in (("x", "first"), ("y", "last"))]
    run(*first)
    assert sorted(r["name"] for r in run(*again).mirror("other")) == ["x", "y"]


def test_a_table_without_a_key_in_a_topic_of_several_partitions_is_refused(run, change):
    [letter] = run(keyless(change, "c", "x", (10, 10, 1), partition=1)).letters
    assert "public.other has no key" in letter.error
    assert "one partition" in letter.error


def test_a_table_without_a_key_and_without_transaction_metadata_is_refused(run, change):
    [letter] = run(keyless(change, "c", "x", (10, 10))).letters
    assert "provide.transaction.metadata=true" in letter.error


def test_a_row_without_a_key_that_cannot_be_told_is_refused(run, change):
    gone = keyless(change, "d", "x", (10, 10, 1))
    gone["value"] = gone["value"].replace('"before": {"id": 1, "name": "x"}', '"before": null')
    [letter] = run(gone).letters
    assert "REPLICA IDENTITY FULL" in letter.error
