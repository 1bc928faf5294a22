"""Group commit: who does the work, who waits, and what happens to failures."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from eventstore.errors import HeadwaterError
from eventstore.model.group import GroupCommit
from tests.waiting import eventually


class Doubler:
    """Doubles numbers; a negative one is an error of its own, zero breaks the whole commit."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.threads: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.inside = threading.Event()

    def __call__(self, calls: Sequence[int]) -> list[int | BaseException]:
        self.inside.set()
        assert self.gate.wait(10)
        self.groups.append(list(calls))
        self.threads.append(threading.get_ident())
        if 0 in calls:
            raise ZeroDivisionError
        return [ValueError(call) if call < 0 else 2 * call for call in calls]


@pytest.fixture
def doubler() -> Doubler:
    return Doubler()


def test_a_lone_caller_does_the_work_itself(doubler: Doubler) -> None:
    group: GroupCommit[int, int] = GroupCommit(doubler, "test")
    assert group.run(4) == 8
    assert doubler.threads == [threading.get_ident()]


def test_callers_that_come_meanwhile_share_one_commit(doubler: Doubler) -> None:
    group: GroupCommit[int, int] = GroupCommit(doubler, "test")
    doubler.gate.clear()
    threads = [threading.Thread(target=group.run, args=(1,))]
    threads[0].start()
    assert doubler.inside.wait(5)
    results: list[int] = []
    threads += [threading.Thread(target=lambda n=n: results.append(group.run(n))) for n in range(2, 12)]
    for thread in threads[1:]:
        thread.start()
    eventually(lambda: len(group._queue) == 10)
    doubler.gate.set()
    for thread in threads:
        thread.join(10)
    group.close()
    assert doubler.groups[0] == [1]
    assert len(doubler.groups) == 2
    assert sorted(results) == [2 * n for n in range(2, 12)]


def test_no_group_is_larger_than_the_limit(doubler: Doubler) -> None:
    group: GroupCommit[int, int] = GroupCommit(doubler, "test", limit=3)
    with group._committing:
        futures = [group.submit(n) for n in range(1, 11)]
    assert [future.result(10) for future in futures] == [2 * n for n in range(1, 11)]
    group.close()
    assert max(map(len, doubler.groups)) == 3


def test_the_failure_of_one_call_is_its_own(doubler: Doubler) -> None:
    group: GroupCommit[int, int] = GroupCommit(doubler, "test")
    with group._committing:
        bad, good = group.submit(-1), group.submit(1)
    assert good.result(10) == 2
    assert isinstance(bad.exception(10), ValueError)
    with pytest.raises(ValueError, match="-5"):
        group.run(-5)
    group.close()


def test_a_commit_that_breaks_down_fails_its_group_and_the_next_goes_on(doubler: Doubler) -> None:
    group: GroupCommit[int, int] = GroupCommit(doubler, "test")
    with pytest.raises(ZeroDivisionError):
        group.run(0)
    with group._committing:
        futures = [group.submit(0), group.submit(1)]
    assert [type(future.exception(10)) for future in futures] == [ZeroDivisionError] * 2
    assert group.run(3) == 6
    group.close()


def test_a_call_from_inside_a_commit_is_refused_instead_of_waiting_for_itself() -> None:
    """Else: the thread waits for its own end for ever."""
    group: GroupCommit[int, int]

    def commit(calls: Sequence[int]) -> list[int | BaseException]:
        return [group.run(1) for _ in calls]

    group = GroupCommit(commit, "test")
    with pytest.raises(HeadwaterError, match="from inside one of its own calls"):
        group.run(1)
    assert isinstance(group.submit(1).exception(10), HeadwaterError)
    group.close()


def test_a_callback_that_calls_again_is_refused_too(doubler: Doubler) -> None:
    group: GroupCommit[int, int] = GroupCommit(doubler, "test")
    errors: list[BaseException] = []

    def again(_: object) -> None:
        try:
            group.run(1)
        except HeadwaterError as error:
            errors.append(error)

    with group._committing:
        future = group.submit(1)
        future.add_done_callback(again)
    assert future.result(10) == 2
    group.close()
    assert len(errors) == 1


def test_closing_does_what_was_submitted_and_takes_nothing_more(doubler: Doubler) -> None:
    group: GroupCommit[int, int] = GroupCommit(doubler, "test")
    futures = [group.submit(n) for n in range(1, 50)]
    group.close()
    assert all(future.done() for future in futures)
    for call in (group.run, group.submit):
        with pytest.raises(HeadwaterError, match="test is closed"):
            call(1)
