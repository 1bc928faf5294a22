"""``headwater status``: where every pipeline stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from headwater.cli.console import Json, note, number, print_json, say, table
from headwater.cli.loading import opened

if TYPE_CHECKING:
    from rich.table import Table

    from eventstore.pipeline import PipelineStatus


def status(context: typer.Context, json: Json = False) -> None:
    """Show lag, rate, state and dead letters of every pipeline."""
    with opened(context) as app:
        found = app.status()
    if json:
        print_json({"app": app.name, "pipelines": found})
        return
    say(status_table(found))
    explain_states(found)


def status_table(found: Sequence[PipelineStatus]) -> Table:
    """A line a pipeline."""
    numbers = ("lag", "records/s", "handled", "parked", "blocked", "due")
    made = table("pipeline", "state", *numbers, "run by", right=numbers, whole=("pipeline", "state"))
    for one in found:
        counts = (one.lag, one.rate, one.handled, one.parked, one.blocked, one.due)
        made.add_row(one.name, one.state.value, *map(number, counts), one.owner or "nobody", style=_style(one))
    return made


def _style(one: PipelineStatus) -> str | None:
    if one.state.value in ("paused", "halted"):
        return "red"
    return "yellow" if one.parked or one.blocked or one.due else None


def explain_states(found: Sequence[PipelineStatus]) -> None:
    """What the table has no room for: reasons, and what to do about dead letters."""
    for one in found:
        if one.reason:
            note(f"\n{one.name} is {one.state}:\n{one.reason}")
    if any(one.parked or one.blocked for one in found):
        note("\nheadwater dlq list shows what could not be handled")
