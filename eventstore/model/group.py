"""Group commit: concurrent calls of a process share the work of one; a lone caller never waits."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar, cast

from eventstore.errors import HeadwaterError

T = TypeVar("T")
R = TypeVar("R")
CLOSE_SECONDS = 10.0


class GroupCommit(Generic[T, R]):
    """Runs ``commit`` on what several callers submitted, one group at a time.

    A caller that finds nobody committing does so itself, in its own thread. Those that come meanwhile wait
    in a queue; a thread of the group commits them together, at most ``limit`` at a time. ``commit`` gets a
    group and returns one outcome for each, in order: a result, or an exception for that caller alone.
    """

    def __init__(self, commit: Callable[[Sequence[T]], Sequence[R | BaseException]], name: str, limit: int = 500):
        self._commit, self._name, self._limit = commit, name, limit
        self._queue: deque[tuple[T, Future[R] | _Waiter[R]]] = deque()
        self._committing = threading.Lock()
        self._committer: int | None = None
        self._waiting = threading.Condition()
        self._idle = False
        self._thread: threading.Thread | None = None
        self._closed = False

    def run(self, call: T) -> R:
        """Commit ``call`` and return its outcome. The calling thread does the work when nobody else does."""
        if self._closed or self._queue or not self._committing.acquire(blocking=False):
            if self._committer == threading.get_ident():
                raise HeadwaterError(
                    f"{self._name}: called from inside one of its own calls",
                    "it would wait for itself for ever",
                    "return events instead, or let a reaction send the command once they are stored",
                )
            waiter = _Waiter[R]()
            self._enqueue(call, waiter)
            return waiter.result()
        try:
            self._committer = threading.get_ident()
            outcome = self._commit([call])[0]
        finally:
            self._committer = None
            self._committing.release()
        if self._queue:
            with self._waiting:
                self._waiting.notify()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def submit(self, call: T) -> Future[R]:
        """Queue ``call`` and return at once; no thread is used for waiting."""
        future: Future[R] = Future()
        self._enqueue(call, future)
        return future

    def close(self) -> None:
        """Finish what is queued, then end the thread. A commit that does not come back is waited for 10 s."""
        with self._waiting:
            self._closed = True
            self._waiting.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(CLOSE_SECONDS)

    def _enqueue(self, call: T, outcome: Future[R] | _Waiter[R]) -> None:
        with self._waiting:
            if self._closed:
                raise HeadwaterError(f"{self._name} is closed", "the application was stopped", "make a new App")
            self._queue.append((call, outcome))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
                self._thread.start()
            elif self._idle:
                self._waiting.notify()

    def _serve(self) -> None:
        while True:
            with self._waiting:
                self._idle = True
                while not self._queue and not self._closed:
                    self._waiting.wait()
                self._idle = False
                if not self._queue:
                    return
            with self._committing:
                self._committer = threading.get_ident()
                self._serve_group()
                self._committer = None

    def _serve_group(self) -> None:
        group = [self._queue.popleft() for _ in range(min(len(self._queue), self._limit))]
        group = [(call, future) for call, future in group if future.set_running_or_notify_cancel()]
        if not group:
            return
        outcomes: Sequence[R | BaseException]
        try:
            outcomes = self._commit([call for call, _ in group])
        except BaseException as error:
            outcomes = [error] * len(group)
        for (_, future), outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)


class _Waiter(Generic[R]):
    """A future for one thread that waits at once: a bare lock, a fifth of a Future's cost."""

    __slots__ = ("_done", "_error", "_result")

    def __init__(self) -> None:
        self._done = threading.Lock()
        self._done.acquire()
        self._error: BaseException | None = None
        self._result: R | None = None

    def set_running_or_notify_cancel(self) -> bool:
        return True

    def set_result(self, result: R) -> None:
        self._result = result
        self._done.release()

    def set_exception(self, error: BaseException) -> None:
        self._error = error
        self._done.release()

    def result(self) -> R:
        self._done.acquire()
        if self._error is not None:
            raise self._error
        return cast(R, self._result)
