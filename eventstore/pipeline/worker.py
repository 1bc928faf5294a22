"""Running pipelines: in the calling thread until nothing is left, or each in a thread of its own until stopped."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from uuid import uuid4

from sqlalchemy import Engine

from eventstore.errors import LeaseLost, PipelineError, WaitTimeout
from eventstore.pipeline.batch import passes
from eventstore.pipeline.exclusive import exclusive
from eventstore.pipeline.membership import Membership
from eventstore.pipeline.options import OnProgress, Pipeline
from eventstore.pipeline.runner import LOOK_SECONDS, Runner
from eventstore.sql.faults import explained
from eventstore.sql.wakeup import Wakeup

BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_log = logging.getLogger("headwater.worker")


def worker_name() -> str:
    """A name that no other worker has: host, process, and something unique."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"


def _membership(engine: Engine, pipelines: Sequence[Pipeline]) -> Membership:
    seconds = max((pipeline.options.lease_seconds for pipeline in pipelines), default=10.0)
    return Membership(engine, worker_name(), [pipeline.name for pipeline in pipelines], seconds)


def catch_up(
    engine: Engine,
    wakeup: Wakeup,
    pipelines: Sequence[Pipeline],
    *,
    on_progress: OnProgress | None = None,
    timeout: float | None = None,
) -> None:
    """Run ``pipelines`` in this thread until nothing is left to do.

    What another worker holds is waited for. Raises the :class:`~eventstore.errors.PipelineError` of a
    pipeline that stands still, :class:`~eventstore.errors.Unavailable` when the database is, and
    :class:`~eventstore.errors.WaitTimeout` after ``timeout`` seconds (default: none).
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    with exclusive(engine) as alone:
        membership = _membership(engine, pipelines)
        runners = [
            Runner(engine, wakeup, pipeline, membership, on_progress=on_progress, force=alone) for pipeline in pipelines
        ]
        with ExitStack() as releases:
            for runner in runners:
                releases.callback(_release_quietly, runner)
            while _pass(engine, runners):
                if deadline is not None and time.monotonic() > deadline:
                    raise WaitTimeout(f"the pipelines did not catch up within {timeout:g} s", "more is left to do")


def _pass(engine: Engine, runners: Sequence[Runner]) -> bool:
    """Let every runner do what it can; whether there is, or may be, more."""
    more = False
    for runner in runners:
        try:
            while runner.step():
                more = True
                runner.rest()
        except LeaseLost:
            runner.drop()
            more = True
        except PipelineError as error:
            runner.halt(error)
            raise
        except Exception as error:
            runner.drop()
            raise explained(engine, error) if passes(error) else error from error
        if not runner.leased_whole and runner.left():
            runner.wait(0.05)
            more = True
    return more


def _release_quietly(runner: Runner) -> None:
    try:
        runner.release()
    except Exception:  # the lease ends by itself; what was raised before is what matters
        _log.warning("could not release the lease of %s", runner.pipeline.name, exc_info=True)


class Worker:
    """Runs pipelines until stopped, each in a daemon thread under a supervisor that catches everything.

    ::

        with Worker(engine, wakeup, pipelines): ...
    """

    def __init__(
        self, engine: Engine, wakeup: Wakeup, pipelines: Sequence[Pipeline], *, on_progress: OnProgress | None = None
    ) -> None:
        self._engine, self._wakeup, self._pipelines, self._on_progress = engine, wakeup, list(pipelines), on_progress
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._resources = ExitStack()

    def start(self) -> None:
        """Start a thread a pipeline. :class:`~eventstore.errors.AlreadyRunning` on a SQLite file that is taken."""
        alone = self._resources.enter_context(exclusive(self._engine))
        self._membership = _membership(self._engine, self._pipelines)
        self._thread("headwater-membership", self._beat)
        for pipeline in self._pipelines:
            runner = Runner(
                self._engine, self._wakeup, pipeline, self._membership, on_progress=self._on_progress, force=alone
            )
            self._thread(f"headwater-{pipeline.name}", _Supervisor(runner, self._engine, self._stopping).run)

    def stop(self, timeout: float = 10.0) -> bool:
        """Let every batch at hand end, release the leases; whether all threads ended within ``timeout`` seconds.

        A thread that did not is left behind as a daemon: its lease ends by itself, and it is fenced.
        """
        self._stopping.set()
        self._wakeup.notify()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        ended = not any(thread.is_alive() for thread in self._threads)
        self._resources.close()
        return ended

    def running(self) -> list[str]:
        """The names of the threads that live."""
        return [thread.name for thread in self._threads if thread.is_alive()]

    def __enter__(self) -> Worker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _thread(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _beat(self) -> None:
        while not self._stopping.is_set():
            try:
                self._membership.beat()
            except Exception:
                _log.warning("could not say that this worker lives", exc_info=True)
            self._stopping.wait(LOOK_SECONDS)
        try:
            self._membership.leave()
        except Exception:
            _log.warning("could not leave the workers", exc_info=True)


class _Supervisor:
    """Keeps one runner going, whatever happens."""

    def __init__(self, runner: Runner, engine: Engine, stopping: threading.Event) -> None:
        self._runner, self._engine, self._stopping = runner, engine, stopping
        self._failures = 0
        self._said = ""

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._runner.step():
                    self._runner.rest()
                else:
                    self._runner.wait()
                self._failures, self._said = 0, ""
            except LeaseLost as lost:
                _log.warning("%s", lost)
                self._runner.drop()
            except PipelineError as error:
                self._halted(error)
            except BaseException as error:
                self._failed(error)
        _release_quietly(self._runner)

    def _halted(self, error: PipelineError) -> None:
        """It stands still until somebody acts; it looks now and then whether somebody did."""
        if str(error) != self._said:
            _log.error("%s", error)
            self._said = str(error)
        try:
            self._runner.halt(error)
        except Exception as unsaid:
            self._failed(unsaid)
        self._stopping.wait(LOOK_SECONDS)

    def _failed(self, error: BaseException) -> None:
        """It is tried again for as long as it takes."""
        pause = BACKOFF_SECONDS[min(self._failures, len(BACKOFF_SECONDS) - 1)]
        self._failures += 1
        name = self._runner.pipeline.name
        if passes(error):
            _log.warning("pipeline %s waits %g s: %s", name, pause, explained(self._engine, error))
        else:
            _log.error("pipeline %s failed in a way nobody foresaw; again in %g s", name, pause, exc_info=error)
        self._runner.drop()
        self._stopping.wait(pause)
        try:
            self._runner.retrying(error)
        except Exception:
            _log.debug("could not say that %s retries", name, exc_info=True)
