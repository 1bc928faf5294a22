"""``headwater run``: every pipeline, until stopped or until nothing is left."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headwater.cli.console import Json, console, note, number, plural, print_json_line, say
from headwater.cli.exit_codes import ExitCode
from headwater.cli.loading import opened
from headwater.cli.status import explain_states, status_table

if TYPE_CHECKING:
    from eventstore.model.record import Position
    from eventstore.pipeline import PipelineStatus
    from headwater.app import App

LOOK_SECONDS = 1.0
LINE_SECONDS = 5.0
"""How often lines of what changed are printed where no terminal shows them in place."""


def run(
    context: typer.Context,
    until_caught_up: Annotated[bool, typer.Option("--until-caught-up", help="End when nothing is left to do.")] = False,
    json: Json = False,
) -> None:
    """Run every pipeline, until stopped or until nothing is left.

    Ctrl-C and SIGTERM stop in order, a second time at once. JSON: a line a pipeline whenever it changed.
    Exit code 5: there are dead letters, or a pipeline stands still.
    """
    stop = threading.Event()
    with opened(context) as app, _stopped_by_signals(stop), _Display(app, json) as display:
        if until_caught_up:
            _until_caught_up(app, display, stop)
        else:
            _until_stopped(app, display, stop)
        found = display.last_look()
    if any(_needs_attention(one) for one in found):
        raise typer.Exit(ExitCode.ATTENTION)


def _needs_attention(one: PipelineStatus) -> bool:
    return bool(one.parked or one.blocked or one.due) or one.state.value in ("paused", "halted")


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """The first signal ends in order, the second at once."""

    def on_signal(number_: int, _: Any) -> None:
        if stop.is_set():
            os._exit(128 + number_)
        stop.set()

    before = {each: signal.signal(each, on_signal) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _until_stopped(app: App, display: _Display, stop: threading.Event) -> None:
    with app.running(display.on_progress):
        while not stop.wait(LOOK_SECONDS):
            display.look()
        display.say("stopping: every pipeline finishes its batch; once more to stop at once")
    # Threads that did not end in time are daemons, and their leases end by themselves.


class _Stopped(BaseException):
    """Ends a catch-up after the batch at hand: a BaseException passes every handler of errors."""


def _until_caught_up(app: App, display: _Display, stop: threading.Event) -> None:
    """In a thread of its own, so that signals are heard and progress is shown."""
    failed: list[BaseException] = []
    worker = threading.Thread(
        target=_catch_up, args=(app, display, stop, failed), name="headwater-catch-up", daemon=True
    )
    worker.start()
    while worker.is_alive() and not stop.is_set():
        worker.join(LOOK_SECONDS)
        display.look()
    worker.join(app.configuration.settings.stop_seconds)
    if failed and not isinstance(failed[0], _Stopped):
        raise failed[0]
    if stop.is_set():
        raise KeyboardInterrupt


def _catch_up(app: App, display: _Display, stop: threading.Event, failed: list[BaseException]) -> None:
    """One pipeline after the other: one that stands still does not keep the others from their work."""
    from eventstore.errors import AlreadyRunning, PipelineError

    def on_progress(name: str, handled: int, position: Position) -> None:
        display.on_progress(name, handled, position)
        if stop.is_set():
            raise _Stopped

    try:
        for pipeline in app.pipelines():
            try:
                app.catch_up(pipeline.name, on_progress=on_progress)
            except AlreadyRunning:
                raise
            except PipelineError:
                continue  # its status says so
    except BaseException as error:
        failed.append(error)


class _Display:
    """What is shown while pipelines run: a table in place on a terminal, else lines; JSON lines for scripts."""

    def __init__(self, app: App, json: bool) -> None:
        self._app, self._json = app, json
        self._handled: Counter[str] = Counter()
        self._printed_at = time.monotonic()
        self._shown: dict[str, tuple[Any, ...]] = {}
        self._lines: dict[str, str] = {}
        self._live: Any = None
        if not json and sys.stderr.isatty():
            from rich.live import Live

            self._live = Live(console=console(stderr=True), auto_refresh=False, transient=True)

    def __enter__(self) -> _Display:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def on_progress(self, name: str, handled: int, position: Position) -> None:
        self._handled[name] += handled

    def say(self, text: str) -> None:
        if not self._json:
            (self._live.console if self._live is not None else console(stderr=True)).print(text)

    def look(self) -> list[PipelineStatus]:
        """Ask how they stand and show it, where that is to be had just now."""
        from eventstore.errors import Unavailable

        try:
            found = self._app.status()
        except Unavailable as error:
            self.say(str(error))
            return []
        if self._json:
            self._print_changes(found)
        elif self._live is not None:
            self._live.update(status_table(found), refresh=True)
        elif time.monotonic() - self._printed_at >= LINE_SECONDS:
            self._print_lines(found)
        return found

    def last_look(self) -> list[PipelineStatus]:
        """The final word, which stays."""
        found = self._app.status()
        if self._json:
            self._print_changes(found)
            return found
        if self._live is not None:
            self._live.stop()
        say(status_table(found))
        explain_states(found)
        return found

    def _print_changes(self, found: Sequence[PipelineStatus]) -> None:
        for one in found:
            seen = (one.state, one.lag, one.handled, one.parked, one.blocked, one.due)
            if self._shown.get(one.name) != seen:
                self._shown[one.name] = seen
                print_json_line(one)

    def _print_lines(self, found: Sequence[PipelineStatus]) -> None:
        self._printed_at = time.monotonic()
        for one in found:
            dead = one.parked + one.blocked + one.due
            line = f"{one.name}: {one.state}, {number(self._handled[one.name])} handled, {number(one.lag)} behind"
            line += f", {plural(dead, 'dead letter')}" if dead else ""
            if self._lines.get(one.name) != line:  # a log of a quiet night stays short
                self._lines[one.name] = line
                note(line)
