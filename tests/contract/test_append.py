"""Appending: versions, expectations, repetition by id, all or none."""

from __future__ import annotations

import pytest

from eventstore.errors import CommandIdReused, DeclarationError, NotFound, VersionConflict
from eventstore.model.codec import event_id
from eventstore.model.log import ANY, EXISTS, NO_STREAM, Append, Appended, EventLog, ExpectedVersion
from tests.bank import NOON, append_of, new_event


def stored(log: EventLog, append: Append) -> Appended:
    (outcome,) = log.append([append])
    assert isinstance(outcome, Appended), outcome
    return outcome


def versions(log: EventLog, stream: str) -> list[int]:
    return [int(record.headers["ce_sequence"]) for record in log.read_stream(stream)]


def test_versions_count_from_one_without_gaps(log: EventLog) -> None:
    first = stored(log, append_of("account-a", 0, "one", count=2))
    second = stored(log, append_of("account-a", 2, "two", count=3))
    assert (first.first, first.last, second.first, second.last) == (1, 2, 3, 5)
    assert versions(log, "account-a") == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("at", "expected"), [(0, NO_STREAM), (0, 0), (0, ANY), (1, 1), (1, EXISTS), (1, ANY)], ids=str)
def test_a_met_expectation_stores(log: EventLog, at: int, expected: ExpectedVersion) -> None:
    if at:
        stored(log, append_of("account-a", 0, "before"))
    assert stored(log, append_of("account-a", expected, "now")).first == at + 1


@pytest.mark.parametrize(("at", "expected"), [(0, 1), (0, EXISTS), (1, 0), (1, NO_STREAM), (1, 2), (2, 1)], ids=str)
def test_an_unmet_expectation_is_refused_and_stores_nothing(log: EventLog, at: int, expected: ExpectedVersion) -> None:
    if at:
        stored(log, append_of("account-a", 0, "before", count=at))
    (outcome,) = log.append([append_of("account-a", expected, "now")])
    assert isinstance(outcome, VersionConflict)
    assert (outcome.stream, outcome.expected, outcome.actual) == ("account-a", expected, at)
    assert versions(log, "account-a") == list(range(1, at + 1))


def test_the_refusal_of_one_append_does_not_touch_the_others_of_a_call(log: EventLog) -> None:
    before, refused, after = log.append(
        [append_of("account-a", 0, "a"), append_of("account-b", 7, "b"), append_of("account-c", 0, "c")]
    )
    assert isinstance(refused, VersionConflict)
    assert isinstance(before, Appended)
    assert isinstance(after, Appended)


def test_appends_to_one_stream_in_one_call_build_on_each_other(log: EventLog) -> None:
    outcomes = log.append([append_of("account-a", n, f"c{n}") for n in range(3)])
    assert [outcome.last for outcome in outcomes if isinstance(outcome, Appended)] == [1, 2, 3]


def test_what_was_chained_to_a_refused_append_is_refused_too(log: EventLog) -> None:
    stored(log, append_of("account-a", 0, "before"))
    chained = append_of("account-a", ANY, "two")
    chained.chained = True
    outcomes = log.append([append_of("account-a", 5, "one"), chained])
    assert [type(outcome) for outcome in outcomes] == [VersionConflict, VersionConflict]


def test_what_was_chained_to_a_repetition_is_refused(log: EventLog) -> None:
    stored(log, append_of("account-a", 0, "one"))
    chained = append_of("account-a", 1, "two")
    chained.chained = True
    repeated, refused = log.append([append_of("account-a", 0, "one"), chained])
    assert isinstance(repeated, Appended)
    assert repeated.repeated
    assert isinstance(refused, VersionConflict)


def test_a_known_id_gives_the_first_outcome_and_stores_nothing(log: EventLog) -> None:
    first = stored(log, append_of("account-a", 0, "one", count=2))
    again = stored(log, append_of("account-a", 0, "one", count=2))
    assert again.repeated
    assert not first.repeated
    assert (again.first, again.last, again.position) == (first.first, first.last, first.position)
    assert versions(log, "account-a") == [1, 2]


def test_a_known_id_is_recognised_whatever_version_it_expects_now(log: EventLog) -> None:
    stored(log, append_of("account-a", 0, "one"))
    stored(log, append_of("account-a", 1, "two"))
    assert stored(log, append_of("account-a", 2, "one")).repeated
    assert stored(log, append_of("account-a", ANY, "one")).first == 1


def test_the_same_id_twice_in_one_call_is_stored_once(log: EventLog) -> None:
    first, again = log.append([append_of("account-a", ANY, "one"), append_of("account-a", ANY, "one")])
    assert isinstance(first, Appended)
    assert isinstance(again, Appended)
    assert (first.repeated, again.repeated) == (False, True)
    assert versions(log, "account-a") == [1]


def test_a_known_id_with_another_payload_is_an_error(log: EventLog) -> None:
    stored(log, append_of("account-a", 0, "one", digest="first"))
    (outcome,) = log.append([append_of("account-a", 1, "one", digest="other")])
    assert isinstance(outcome, CommandIdReused)


def test_a_known_id_under_another_stream_is_an_error(log: EventLog) -> None:
    stored(log, append_of("account-a", 0, "one"))
    (outcome,) = log.append([append_of("account-b", 0, "one")])
    assert isinstance(outcome, CommandIdReused)
    assert versions(log, "account-b") == []


def test_ids_known_in_part_are_an_error(log: EventLog) -> None:
    stored(log, append_of("account-a", 0, "one"))
    mixed = Append("account-a", [new_event("new"), new_event(event_id("one", 0))], 1, NOON)
    (outcome,) = log.append([mixed])
    assert isinstance(outcome, CommandIdReused)
    assert versions(log, "account-a") == [1]


def test_another_number_of_events_under_the_same_ids_is_an_error(log: EventLog) -> None:
    stored(log, append_of("account-a", 0, "one", count=2))
    (outcome,) = log.append([append_of("account-a", 2, "one", count=1)])
    assert isinstance(outcome, CommandIdReused)


def test_where_a_known_id_went_can_be_asked(log: EventLog) -> None:
    first = stored(log, append_of("account-a", 0, "one", count=2, digest="d"))
    found = log.repeated("account-a", event_id("one", 0))
    assert found is not None
    assert (found[0].first, found[0].last, found[0].position, found[1]) == (1, 2, first.position, "d")
    assert log.repeated("account-a", event_id("other", 0)) is None


def test_an_append_without_events_is_a_mistake(log: EventLog) -> None:
    with pytest.raises(ValueError, match="at least one event"):
        log.append([Append("account-a", [], ANY, NOON)])


def test_an_append_to_a_category_nobody_declared_says_so(log: EventLog) -> None:
    with pytest.raises(NotFound, match=r"bank\.order"):
        log.append([append_of("order-1", 0, "one")])


def test_another_number_of_partitions_is_refused(log: EventLog) -> None:
    """Else: from 4 to 6 partitions 67 % of the streams move, and fork."""
    with pytest.raises(DeclarationError, match="has 4 partitions, and 6 are declared"):
        log.create_topics({"account": 6})


def test_declaring_the_same_topics_again_changes_nothing(log: EventLog) -> None:
    stored(log, append_of("account-a", 0, "one"))
    log.create_topics({"account": 4})
    assert versions(log, "account-a") == [1]


def test_many_appends_in_one_call_keep_their_order(log: EventLog) -> None:
    outcomes = log.append([append_of(f"account-{n % 7}", ANY, f"c{n}", count=n % 3 + 1) for n in range(300)])
    assert all(isinstance(outcome, Appended) for outcome in outcomes)
    for n in range(7):
        found = versions(log, f"account-{n}")
        assert found == list(range(1, len(found) + 1))


def test_keys_may_hold_anything_that_can_be_printed(log: EventLog) -> None:
    for key in ("a-b:7", "ü 漢 🎉", "'; DROP TABLE hw_event; --", '{"a":"\\u0000"}', "%s %(x)s ?"):
        stored(log, append_of(f"account-{key}", 0, key))
        assert [record.key for record in log.read_stream(f"account-{key}")] == [f"account-{key}:1".encode()]
