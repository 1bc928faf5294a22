"""What fails becomes a dead letter that keeps its key's order, and an operator decides."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Any

import pytest

from eventstore.errors import NotFound, Refused, TooManyFailures
from eventstore.pipeline import CLOSED, LetterState

pytestmark = pytest.mark.parametrize("batch", [1, 100])


def test_a_failing_record_parks_its_key_and_others_go_on(bench: Any, batch: int) -> None:
    bench.append("a", 1, 2, 3)
    bench.append("b", 4, 5)
    bench.handler.broken = {2}
    bench.catch_up(batch=batch)
    assert bench.seen() == {"a": [1], "b": [4, 5]}
    assert bench.states() == [(2, "parked"), (3, "blocked")]


def test_after_the_fix_and_a_retry_the_rows_are_as_if_it_had_never_failed(bench: Any, batch: int) -> None:
    bench.append("a", 1, 2, 3)
    bench.handler.broken = {2}
    bench.catch_up(batch=batch)
    bench.append("a", 4)
    bench.catch_up(batch=batch)
    bench.handler.broken = set()
    assert bench.letters.retry(key="thing-a").due == 1
    bench.append("a", 5)
    bench.catch_up(batch=batch)
    assert bench.seen() == {"a": [1, 2, 3, 4, 5]}
    assert bench.states() == []


def test_a_retry_stops_at_the_first_that_fails_again(bench: Any, batch: int) -> None:
    bench.append("a", 1, 2, 3, 4)
    bench.handler.broken = {2}
    bench.catch_up(batch=batch)
    bench.handler.broken = {3}
    bench.letters.retry(pipeline="tally")
    bench.catch_up(batch=batch)
    assert bench.seen() == {"a": [1, 2]}
    assert bench.states() == [(3, "parked"), (4, "blocked")]


def test_a_retry_that_fails_again_counts_and_stays_parked(bench: Any, batch: int) -> None:
    bench.append("a", 1)
    bench.handler.broken = {1}
    bench.catch_up(batch=batch, attempts=3)
    (first,) = bench.letters.list()
    bench.letters.retry(id=first.id)
    bench.catch_up(batch=batch)
    (again,) = bench.letters.list()
    assert (first.attempts, again.attempts, again.state) == (3, 4, LetterState.PARKED)
    assert again.first_failed_at == first.first_failed_at <= again.last_failed_at


def test_discarding_lets_what_waited_go_on_and_keeps_the_reason(bench: Any, batch: int) -> None:
    bench.append("a", 1, 2, 3)
    bench.handler.broken = {1}
    bench.catch_up(batch=batch)
    (parked, *_) = bench.letters.list()
    bench.letters.discard(parked.id, "a test order")
    bench.catch_up(batch=batch)
    assert bench.seen() == {"a": [2, 3]}
    assert bench.letters.get(parked.id).note == "a test order"
    assert bench.letters.get(parked.id).state is LetterState.DISCARDED


def test_collapsing_keeps_the_newest_and_supersedes_the_others(bench: Any, batch: int) -> None:
    bench.append("a", 1, 2, 3)
    bench.handler.broken = {1}
    bench.catch_up(batch=batch)
    bench.letters.collapse("thing-a", lambda pipeline, record: True)
    bench.catch_up(batch=batch)
    assert bench.seen() == {"a": [3]}
    assert [letter.state for letter in bench.letters.list(states=CLOSED)] == [
        LetterState.SUPERSEDED,
        LetterState.SUPERSEDED,
        LetterState.RESOLVED,
    ]


def test_what_does_not_carry_the_whole_row_is_not_collapsed(bench: Any, batch: int) -> None:
    bench.append("a", 1, 2)
    bench.handler.broken = {1}
    bench.catch_up(batch=batch)
    with pytest.raises(Refused, match="cannot stand for those before it"):
        bench.letters.collapse("thing-a", lambda pipeline, record: False)
    assert bench.states() == [(1, "parked"), (2, "blocked")]


def test_a_blocked_record_is_not_retried_before_the_one_it_waits_for(bench: Any, batch: int) -> None:
    bench.append("a", 1, 2)
    bench.handler.broken = {1}
    bench.catch_up(batch=batch)
    parked, blocked = bench.letters.list()
    with pytest.raises(Refused, match=f"waits behind {parked.id}"):
        bench.letters.retry(id=blocked.id)


def test_what_is_closed_stays_closed(bench: Any, batch: int) -> None:
    bench.append("a", 1)
    bench.handler.broken = {1}
    bench.catch_up(batch=batch)
    (letter,) = bench.letters.list()
    bench.letters.discard(letter.id, "not needed")
    for again in (lambda: bench.letters.discard(letter.id, "again"), lambda: bench.letters.retry(id=letter.id)):
        with pytest.raises(Refused, match="discarded already"):
            again()
    with pytest.raises(NotFound):
        bench.letters.get(letter.id + 1)


def test_a_dead_letter_holds_all_that_an_operator_needs(bench: Any, batch: int) -> None:
    bench.append("a", 7)
    bench.handler.broken = {7}
    bench.catch_up(batch=batch)
    (letter,) = bench.letters.list()
    assert letter.record.value == b'{"n": 7}'
    assert letter.record.key == b"thing-a:1"
    assert letter.record.headers["ce_subject"] == "thing-a"
    assert letter.key == "thing-a"
    assert letter.source == f"test.thing[{letter.record.partition}]@0"
    assert (letter.error_type, letter.error) == ("Broken", "cannot handle 7")
    assert "in prepare" in letter.traceback
    assert (letter.pipeline, letter.attempts) == ("tally", 3)


def test_failures_of_one_kind_share_a_fingerprint(bench: Any, batch: int) -> None:
    bench.append("a", 1)
    bench.append("b", 2)
    bench.append("c", 3, data=b"not json")
    bench.handler.broken = {1, 2}
    bench.catch_up(batch=batch)
    prints = {letter.key: letter.fingerprint for letter in bench.letters.list()}
    assert prints["thing-a"] == prints["thing-b"] != prints["thing-c"]


def test_undecodable_bytes_are_parked_and_block_their_key_at_once(bench: Any, batch: int) -> None:
    bench.append("a", 1)
    bench.append("a", 2, data=b"not json")
    bench.append("a", 3)
    bench.catch_up(batch=batch)
    assert bench.seen() == {"a": [1]}
    parked, blocked = bench.letters.list()
    assert (parked.error_type, parked.attempts) == ("Undecodable", 1)
    assert (parked.state, blocked.state) == (LetterState.PARKED, LetterState.BLOCKED)


def test_the_traceback_of_a_dead_letter_tells_of_its_own_failure_alone(bench: Any, batch: int) -> None:
    bench.append("a", 1)
    bench.append("b", 2)
    bench.handler.broken = {1, 2}
    bench.catch_up(batch=batch)
    for letter in bench.letters.list():
        other = 3 - json.loads(letter.record.value)["n"]
        assert f"cannot handle {other}" not in letter.traceback
        assert "During handling" not in letter.traceback


def test_a_flood_of_failures_pauses_the_pipeline_and_parks_no_more(bench: Any, batch: int) -> None:
    for number in range(30):
        bench.append(f"k{number}", number)
    bench.handler.broken = set(range(30))
    with pytest.raises(TooManyFailures, match="paused"):
        bench.catch_up(batch=batch, parked_limit=5)
    assert len(bench.letters.list()) <= 5


def test_a_flood_that_cannot_even_be_decoded_is_handled_up_to_the_limit(bench: Any, batch: int) -> None:
    """Else the whole batch stays where it is: nothing to look at, and nothing that a retry could do about it."""
    bench.append("before", 1)
    for number in range(12):
        bench.append(f"k{number}", number, data=b"no json")
    bench.append("after", 2)
    with pytest.raises(TooManyFailures, match="more than 5 records failed") as flood:
        bench.catch_up(batch=batch, parked_limit=5)
    assert "no number in it" in flood.value.why
    assert len(bench.letters.list()) == 5
    for parked in (10, 12):
        bench.letters.retry(pipeline="tally")
        with pytest.raises(TooManyFailures) if parked < 12 else nullcontext():
            bench.catch_up(batch=batch, parked_limit=5)
        assert len(bench.letters.list()) == parked
    assert bench.seen() == {"before": [1], "after": [2]}


def test_a_paused_pipeline_goes_on_after_a_retry_and_has_lost_nothing(bench: Any, batch: int) -> None:
    for number in range(30):
        bench.append(f"k{number}", number)
    bench.handler.broken = set(range(30))
    with pytest.raises(TooManyFailures):
        bench.catch_up(batch=batch, parked_limit=5)
    with pytest.raises(TooManyFailures):
        bench.catch_up(batch=batch)
    bench.handler.broken = set()
    bench.letters.retry(pipeline="tally")
    bench.catch_up(batch=batch, parked_limit=5)
    assert bench.seen() == {f"k{number}": [number] for number in range(30)}


def test_too_many_records_behind_one_pause_the_pipeline(bench: Any, batch: int) -> None:
    bench.handler.broken = {0}
    bench.append("a", *range(20))
    with pytest.raises(TooManyFailures, match="wait behind"):
        bench.catch_up(batch=batch, blocked_limit=10)
    assert len(bench.letters.list()) <= 11
