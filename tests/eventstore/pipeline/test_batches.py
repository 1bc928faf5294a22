"""A batch and its positions are one transaction; what passes is waited for."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text, update

from eventstore.errors import PositionOutsideLog, SettingError, StaleProjection, Unavailable
from eventstore.model.codec import NewEvent
from eventstore.model.log import ANY, Append
from eventstore.pipeline import Pipeline, Worker, catch_up, rebuild, statuses
from eventstore.sql import schema
from eventstore.sql.engine import writing
from tests.waiting import eventually

AT = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_batch_that_fails_while_writing_leaves_no_trace_but_its_dead_letter(bench: Any) -> None:
    def refuse(connection: Any, rows: dict[str, list[int]]) -> None:
        if any(2 in seen for seen in rows.values()):
            raise RuntimeError("the table says no")

    bench.handler.on_write = refuse
    bench.append("a", 1, 2)
    bench.append("b", 3)
    bench.catch_up()
    assert bench.seen() == {"a": [1], "b": [3]}
    assert bench.states() == [(2, "parked")]


def test_what_passes_is_tried_again_and_nothing_is_parked(bench: Any) -> None:
    failures = [ConnectionError("the network is away"), TimeoutError("still")]

    def fail_twice(numbers: list[int]) -> None:
        if failures:
            raise failures.pop()

    bench.handler.on_prepare = fail_twice
    bench.append("a", 1)
    with Worker(bench.engine, bench.wakeup, [bench.pipeline()]):
        eventually(lambda: bench.seen() == {"a": [1]})
    assert bench.letters.list() == []


def test_a_batch_whose_commit_was_not_answered_is_not_applied_twice(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else, fenced by the epoch alone, the batch is applied again: 110 for 100."""
    commit, answers = bench.engine.dialect.do_commit, iter([True, True, False])

    def lose_the_third_answer(connection: Any) -> None:
        commit(connection)
        if writes and not next(answers, True):
            raise ConnectionError("the answer to COMMIT was lost")

    writes: list[object] = []
    bench.handler.on_write = lambda connection, rows: writes.append(rows)
    monkeypatch.setattr(bench.engine.dialect, "do_commit", lose_the_third_answer)
    for number in range(100):
        bench.append(f"k{number % 7}", number)
    with Worker(bench.engine, bench.wakeup, [bench.pipeline(batch=10)]):
        eventually(lambda: sum(map(len, bench.seen().values())) == 100)
    assert bench.seen() == {f"k{key}": list(range(key, 100, 7)) for key in range(7)}
    assert next(answers, None) is None


def test_catching_up_says_clearly_what_is_away(bench: Any) -> None:
    def fail(numbers: list[int]) -> None:
        raise ConnectionError("no route to the database")

    bench.handler.on_prepare = fail
    bench.append("a", 1)
    with pytest.raises(Unavailable, match="no route"):
        bench.catch_up()
    assert bench.letters.list() == []


def test_a_checkpoint_outside_the_log_stops_the_pipeline(bench: Any) -> None:
    bench.append("a", 1)
    bench.catch_up()
    with writing(bench.engine) as connection:
        connection.execute(update(schema.checkpoint).values(position=99))
    with pytest.raises(PositionOutsideLog, match="99"):
        bench.catch_up()


def test_rows_folded_by_other_logic_are_not_mixed_with_new_ones(bench: Any) -> None:
    bench.append("a", 1)
    bench.catch_up()
    bench.handler.fingerprint = "another"
    bench.append("a", 2)
    with pytest.raises(StaleProjection, match="projection rebuild tally"):
        bench.catch_up()
    assert bench.seen() == {"a": [1]}


def test_a_retry_after_a_mend_of_the_code_needs_no_rebuild(bench: Any) -> None:
    bench.append("a", 1, 2, 3)
    bench.handler.broken = {2}
    bench.catch_up()
    bench.handler.broken, bench.handler.fingerprint = set(), "mended"
    with pytest.raises(StaleProjection, match="dlq retry --pipeline tally"):
        bench.catch_up()
    bench.letters.retry(pipeline="tally")
    bench.catch_up()
    assert bench.seen() == {"a": [1, 2, 3]}


def test_a_retry_done_by_the_old_code_does_not_let_the_new_code_in(bench: Any) -> None:
    """A worker that was not deployed anew tries again, and fails again: the next logic is still another one."""
    bench.append("a", 1)
    bench.handler.broken = {1}
    bench.catch_up()
    bench.letters.retry(pipeline="tally")
    bench.catch_up()
    bench.handler.fingerprint = "mended"
    with pytest.raises(StaleProjection):
        bench.catch_up()


def test_a_rebuild_begins_from_nothing_and_comes_out_the_same(bench: Any) -> None:
    bench.append("a", 1, 2)
    bench.append("b", 3)
    bench.handler.broken = {2}
    bench.catch_up()
    bench.handler.broken, bench.handler.fingerprint = set(), "mended"
    rebuild(bench.engine, bench.wakeup, bench.pipeline())
    assert (bench.seen(), bench.letters.list()) == ({}, [])
    bench.catch_up()
    assert bench.seen() == {"a": [1, 2], "b": [3]}


def test_the_id_of_a_dead_letter_that_a_rebuild_forgot_is_not_given_to_another(bench: Any) -> None:
    bench.append("a", 1)
    bench.handler.broken = {1}
    bench.catch_up()
    (before,) = bench.letters.list()
    rebuild(bench.engine, bench.wakeup, bench.pipeline())
    bench.catch_up()
    (after,) = bench.letters.list()
    assert after.id > before.id


def test_a_rebuild_fences_a_worker_that_is_at_it(bench: Any) -> None:
    bench.append("a", 1)
    rebuilt = threading.Event()

    def rebuild_meanwhile(numbers: list[int]) -> None:
        if not rebuilt.is_set():
            rebuilt.set()
            rebuild(bench.engine, bench.wakeup, bench.pipeline())

    bench.handler.on_prepare = rebuild_meanwhile
    bench.catch_up()
    assert bench.seen() == {"a": [1]}


def test_a_pipeline_without_a_source_works_off_its_dead_letters(bench: Any) -> None:
    bench.append("a", 1, 2)
    bench.handler.broken = {1}
    bench.catch_up()
    bench.handler.broken = set()
    bench.letters.retry(key="thing-a")
    catch_up(bench.engine, bench.wakeup, [Pipeline("tally", None, bench.handler)])
    assert bench.seen() == {"a": [1, 2]}


def test_what_a_retried_record_leads_to_is_handled_in_the_same_catch_up(bench: Any) -> None:
    """A pipeline that was done already has new work when a dead letter of a later one is resolved."""
    bench.append("a", 1)
    bench.handler.broken = {1}
    bench.catch_up()
    bench.handler.broken = set()
    bench.handler.on_write = lambda connection, rows: bench.log.append(
        [Append("thing-b", [NewEvent("from-a", "thing", 1, b'{"n": 2}')], ANY, AT)], connection=connection
    )
    bench.letters.retry(pipeline="tally")
    reader = type(bench.handler)()
    retrying = Pipeline("tally", None, bench.handler)
    catch_up(bench.engine, bench.wakeup, [bench.pipeline(reader, name="reader"), retrying])
    (status,) = statuses(bench.engine, [bench.pipeline(reader, name="reader")])
    assert (status.lag, status.handled) == (0, 2)


rounds = count()


def test_a_right_that_the_role_lacks_parks_nothing(postgres_bench: Any) -> None:
    bench = postgres_bench
    bench.append("a", 1)
    with bench.engine.connect() as connection, connection.begin():
        connection.execute(text("DROP ROLE IF EXISTS powerless"))
        connection.execute(text("CREATE ROLE powerless"))

    def write_without_rights(connection: Any, rows: dict[str, list[int]]) -> None:
        connection.execute(text("SET LOCAL ROLE powerless"))
        connection.execute(text("DELETE FROM tally"))

    bench.handler.on_write = write_without_rights
    with pytest.raises(SettingError, match="permission denied"):
        bench.catch_up()
    bench.handler.on_write = None
    bench.catch_up()
    assert (bench.seen(), bench.letters.list()) == ({"a": [1]}, [])


steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.sampled_from("abc"), st.booleans()),
        st.tuples(st.just("run"), st.integers(1, 7)),
        st.tuples(st.just("mend"), st.sampled_from("abc")),
        st.tuples(st.just("retry"), st.sampled_from("abc")),
    ),
    max_size=30,
)


@given(steps=steps)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_interleaving_of_failures_retries_and_new_records_breaks_a_keys_order(
    sqlite_bench: Any, steps: list[tuple[Any, ...]]
) -> None:
    """What is handled of a key is always a beginning of what was appended, and in the end all of it."""
    bench, prefix = sqlite_bench, f"r{next(rounds)}"
    expected: dict[str, list[int]] = {}
    for step in steps:
        if step[0] == "append":
            (number,) = bench.append(prefix + step[1])
            expected.setdefault(prefix + step[1], []).append(number)
            if step[2]:
                bench.handler.broken.add(number)
        elif step[0] == "run":
            bench.catch_up(batch=step[1], parked_limit=1000)
        elif step[0] == "mend":
            bench.handler.broken -= set(expected.get(prefix + step[1], []))
        else:
            bench.letters.retry(key=f"thing-{prefix}{step[1]}")
        for key, seen in bench.seen().items():
            if key in expected:
                assert seen == expected[key][: len(seen)]
    bench.handler.broken.clear()
    bench.letters.retry(pipeline="tally")
    bench.catch_up(parked_limit=1000)
    assert {key: seen for key, seen in bench.seen().items() if key in expected} == expected
