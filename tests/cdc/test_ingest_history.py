"""A history written by two sessions at once, mirrored: the tables are exactly those of the source at its end."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest

from cdc import types
from cdc.ingest import Ingest

TYPES: dict[str, dict[str, types.Type]] = {
    "inv.acct": {
        "id": types.Integer(32),
        "owner": types.Text(),
        "balance": types.Decimal(2, 14),
        "status": types.Text("Enum"),
        "ver": types.Integer(32),
        "updated": types.ZonedTimestamp(),
    },
    "inv.cust": {
        "id": types.Uuid(),
        "name": types.Text(),
        "tags": types.Array(types.Text()),
        "born": types.Date(),
        "score": types.Float(),
        "attrs": types.Json(),
    },
    "inv.doc": {
        "id": types.Integer(64),
        "title": types.Text(),
        "body": types.Text(),
        "payload": types.Bytes(),
        "n": types.Integer(32),
    },
    "inv.ledger": {
        "acct": types.Integer(32),
        "seq": types.Integer(32),
        "amt": types.Decimal(2, 14),
        "memo": types.Text(),
    },
}


def mirrored() -> Ingest:
    ingest = Ingest("history", topics=r"srv1\.inv\..*")
    for table, columns in TYPES.items():
        ingest.mirror(table, types=columns)
    ingest.ignore("inv.zz_done")
    return ingest


@pytest.fixture(scope="module")
def captured() -> list[dict[str, Any]]:
    """Filled on first use by ``capture``, so that the file is read once."""
    return []


@pytest.fixture
def capture(captured: list[dict[str, Any]], bench_kit: Any) -> list[dict[str, Any]]:
    if not captured:
        captured += bench_kit.read_capture("tests/data/history/json-noschema.jsonl.gz")
    return captured


@pytest.fixture
def final(bench_kit: Any) -> dict[str, list[dict[str, str | None]]]:
    names = ("acct", "cust", "doc", "ledger")
    return {name: sorted(bench_kit.read_csv(f"tests/data/history/final.{name}.csv"), key=repr) for name in names}


@pytest.fixture
def as_source(bench_kit: Any) -> Callable[[Any], dict[str, list[dict[str, str | None]]]]:
    """The mirrors of a bench as the source's final tables were written."""

    def show(bench: Any) -> dict[str, list[dict[str, str | None]]]:
        shown = {}
        for name in ("acct", "cust", "doc", "ledger"):
            rows = [summary(row) if name == "doc" else row for row in bench.mirror(name)]
            shown[name] = sorted(({c: bench_kit.as_text(v) for c, v in row.items()} for row in rows), key=repr)
        return shown

    return show


def summary(row: dict[str, Any]) -> dict[str, Any]:
    """``final.doc.csv`` has sums of the long columns."""
    body, payload = row["body"], row["payload"]
    return {
        "id": row["id"],
        "title": row["title"],
        "body_md5": None if body is None else hashlib.md5(body.encode()).hexdigest(),
        "body_len": None if body is None else len(body),
        "payload_md5": None if payload is None else hashlib.md5(payload).hexdigest(),
        "n": row["n"],
    }


@pytest.mark.parametrize("batch", [31, 500, 10_000])
def test_mirrors_equal_the_source_in_any_batch_size(bench, capture, final, as_source, batch):
    done = bench(mirrored()).feed(capture, batch)
    assert done.letters == []
    assert as_source(done) == final


def test_mirrors_equal_the_source_one_record_a_batch(quick_bench, capture, final, as_source):
    """The two tables with re-keys and unchanged TOAST values: thousands of transactions take their time."""
    topics = {"srv1.inv.doc": "doc", "srv1.inv.cust": "cust"}
    rows = [message for message in capture if message["topic"] in topics and message["value"]]
    shown = as_source(quick_bench(mirrored()).feed(rows, 1))
    assert {name: shown[name] for name in topics.values()} == {name: final[name] for name in topics.values()}


def test_mirrors_equal_the_source_when_every_record_comes_twice_in_a_row(quick_bench, capture, final, as_source):
    doubled = [message for message in capture for _ in range(2)]
    assert as_source(quick_bench(mirrored()).feed(doubled, 333)) == final


def test_mirrors_equal_the_source_when_everything_comes_twice(quick_bench, capture, final, as_source):
    assert as_source(quick_bench(mirrored()).feed(capture * 2)) == final


def cuts(seed: int, lines: int, count: int) -> list[int]:
    return sorted(random.Random(seed).sample(range(1, lines), count))


def pieces(messages: list[dict[str, Any]], at: Iterable[int]) -> Iterable[list[dict[str, Any]]]:
    places = [0, *at, len(messages)]
    return (messages[start:end] for start, end in pairwise(places))


@pytest.mark.parametrize("seed", range(3))
def test_mirrors_equal_the_source_when_the_file_is_cut_anywhere_and_resumed(
    quick_bench, capture, final, as_source, seed
):
    resumed = quick_bench(mirrored())
    for piece in pieces(capture, cuts(seed, len(capture), 40)):
        resumed.feed(piece)
    assert as_source(resumed) == final


@pytest.mark.parametrize("seed", range(3))
def test_mirrors_equal_the_source_when_it_goes_back_after_each_crash(quick_bench, capture, final, as_source, seed):
    """A connector that crashed repeats what it had sent since its last commit."""
    resumed, back = quick_bench(mirrored()), random.Random(seed)
    read = 0
    for cut in [*cuts(seed, len(capture), 20), len(capture)]:
        resumed.feed(capture[max(0, read - back.randrange(400)) : cut])
        read = cut
    assert as_source(resumed) == final


def test_without_transaction_metadata_nothing_is_lost_either(quick_bench, capture, final, as_source):
    plain = [without_metadata(message) for message in capture]
    doubled = [message for message in plain for _ in range(2)]
    assert as_source(quick_bench(mirrored()).feed(doubled, 100)) == final


def without_metadata(message: dict[str, Any]) -> dict[str, Any]:
    value = message["value"] and json.loads(message["value"])
    if not value or "op" not in value:
        return message
    return {**message, "value": json.dumps({**value, "transaction": None})}


def positions(messages: list[dict[str, Any]], table: str) -> list[tuple[int, int]]:
    found = []
    for message in messages:
        value = message["value"] and json.loads(message["value"])
        if value and value.get("op") in ("c", "u", "d") and value["source"]["table"] == table:
            commit, lsn = json.loads(value["source"]["sequence"])
            found.append((int(commit or lsn), int(lsn)))
    return found


def test_comparing_the_raw_lsn_would_lose_rows(capture):
    """Why positions begin with the last commit: transactions that overlap put LSNs out of order."""
    highest, dropped = 0, 0
    for _, lsn in positions(capture, "ledger"):
        dropped += lsn <= highest
        highest = max(highest, lsn)
    assert dropped > 100


def test_comparing_positions_without_the_order_would_lose_rows(capture):
    """Why a pair of LSNs is not enough: COPY puts many rows on one."""
    pairs = positions(capture, "ledger")
    assert len(set(pairs)) < len(pairs) == 966
