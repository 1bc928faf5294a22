"""What the tour prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from headwater import FileProgress, OnProgress

console = Console(highlight=False)


def heading(number: int, text: str) -> None:
    console.print(f"\n[bold cyan]{number}[/] [bold]{text}[/]")


def say(text: str) -> None:
    console.print(Padding(text, (0, 0, 0, 2)))


def show(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(str, row))
    console.print(Padding(table, (0, 0, 0, 2)))


def _bar() -> Progress:
    return Progress(
        TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )


@contextmanager
def file_progress() -> Iterator[FileProgress]:
    """A bar for an ingest."""
    with _bar() as bar:
        task = bar.add_task("reading")

        def progress(file: Path, done: int, total: int) -> None:
            bar.update(task, description=file.name, completed=done, total=total)

        yield progress


@contextmanager
def event_progress(name: str, total: int) -> Iterator[OnProgress]:
    """A bar for a rebuild: ``total`` events."""
    with _bar() as bar:
        task = bar.add_task(name, total=total)

        def progress(_: str, handled: int, position: object) -> None:
            bar.advance(task, handled)

        yield progress
