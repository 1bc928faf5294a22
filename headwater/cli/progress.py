"""Progress on stderr: a bar where somebody looks, nothing where nobody does."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

from headwater.cli.console import console


class Bar:
    """Counts ``done`` of ``total`` and shows it on a terminal. ``seconds``: how long it took so far."""

    def __init__(self, title: str, unit: str, total: int, *, silent: bool = False) -> None:
        self.done, self._total, self._started = 0, total, time.monotonic()
        self._progress: Any = None
        if not silent and sys.stderr.isatty():
            self._show(title, unit)

    def _show(self, title: str, unit: str) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeRemainingColumn(compact=True),
            console=console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task(title, total=self._total)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def advance(self, count: int) -> None:
        self.move_to(self.done + count)

    def move_to(self, done: int, total: int | None = None) -> None:
        self.done, self._total = done, self._total if total is None else total
        if self._progress is not None:
            self._progress.update(self._task, completed=done, total=self._total)

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()
