"""Chained futures: results, errors and cancelling pass through."""

from __future__ import annotations

from concurrent.futures import CancelledError, Future

import pytest

from headwater import futures


def test_the_second_step_begins_when_the_first_is_done() -> None:
    first: Future[int] = Future()
    second: Future[str] = Future()
    asked: list[int] = []

    def step(value: int) -> Future[str]:
        asked.append(value)
        return second

    both = futures.then(first, step)
    assert not asked
    first.set_result(3)
    assert asked == [3]
    assert not both.done()
    second.set_result("three")
    assert both.result(0) == "three"


def test_an_error_of_the_first_is_the_outcome() -> None:
    first: Future[int] = Future()
    outcome = futures.after(first, lambda value: value + 1)
    first.set_exception(KeyError("gone"))
    with pytest.raises(KeyError):
        outcome.result(0)


def test_an_error_of_the_step_is_the_outcome() -> None:
    outcome = futures.after(futures.done(0), lambda value: 1 / value)
    with pytest.raises(ZeroDivisionError):
        outcome.result(0)


def test_cancelling_the_outcome_cancels_what_is_under_way() -> None:
    first: Future[int] = Future()
    futures.after(first, str).cancel()
    assert first.cancelled()


def test_a_cancelled_first_cancels_the_outcome() -> None:
    first: Future[int] = Future()
    outcome = futures.after(first, str)
    first.cancel()
    with pytest.raises(CancelledError):
        outcome.result(0)
