"""Chaining futures, so that waiting takes no thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


def done(value: T) -> Future[T]:
    """A future that is there already."""
    future: Future[T] = Future()
    future.set_result(value)
    return future


def then(first: Future[T], step: Callable[[T], Future[U]]) -> Future[U]:
    """The future that ``step`` makes of the result of ``first``. Cancelling it cancels what is under way."""
    outcome: Future[U] = Future()
    pending: list[Future[T] | Future[U]] = [first]

    def on_first(future: Future[T]) -> None:
        try:
            second = step(future.result())
        except (Exception, CancelledError) as error:
            _settle(outcome, error)
            return
        pending[:] = [second]
        second.add_done_callback(on_second)

    def on_second(future: Future[U]) -> None:
        try:
            value = future.result()
        except (Exception, CancelledError) as error:
            _settle(outcome, error)
            return
        if outcome.set_running_or_notify_cancel():
            outcome.set_result(value)

    def on_outcome(future: Future[U]) -> None:
        if future.cancelled():
            pending[0].cancel()

    outcome.add_done_callback(on_outcome)
    first.add_done_callback(on_first)
    return outcome


def _settle(outcome: Future[U], error: BaseException) -> None:
    if isinstance(error, CancelledError):
        outcome.cancel()
    elif outcome.set_running_or_notify_cancel():
        outcome.set_exception(error)


def after(first: Future[T], step: Callable[[T], U]) -> Future[U]:
    """``step`` of the result of ``first``."""
    return then(first, lambda value: done(step(value)))


def both(first: Future[None], second: Future[None]) -> Future[None]:
    """Done when both are; the error of the first that fails, in this order."""
    return then(first, lambda _: second)
