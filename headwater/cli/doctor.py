"""``headwater doctor``: what is wrong here, and how to mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from headwater.cli.console import Json, note, plural, print_json, say, table
from headwater.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from headwater.diagnosis import Finding

STYLES = {"ok": "green", "warning": "yellow", "error": "red"}
MARKS = {"ok": "ok", "warning": "note", "error": "WRONG"}


def doctor(context: typer.Context, json: Json = False) -> None:
    """Say what is wrong here, and how to mend it.

    Exit code 5: something is.
    """
    found = _examine(context)
    if json:
        print_json(found)
    else:
        _show(found)
    if any(one.level == "error" for one in found):
        raise typer.Exit(ExitCode.ATTENTION)


def _examine(context: typer.Context) -> list[Finding]:
    """Everything that can be said, also when the application cannot be loaded."""
    from eventstore.errors import HeadwaterError
    from headwater.cli.loading import load
    from headwater.diagnosis import Finding, examine
    from headwater.shadow import Shadowed

    try:
        app = load(context)
    except (HeadwaterError, Shadowed) as error:
        return [Finding("application", "error", error.what, error.why, error.fix)]
    with app:
        return examine(app)


def _show(found: list[Finding]) -> None:
    made = table("", "", "")
    made.show_header = False
    for one in found:
        said = "\n".join(line for line in (one.what, one.why) if line)
        if one.fix:
            said += f"\n→ {one.fix}"
        made.add_row(MARKS[one.level], one.about, said, style=None if one.level == "ok" else STYLES[one.level])
    say(made)
    wrong = sum(one.level == "error" for one in found)
    note(f"\n{plural(wrong, 'thing')} to mend" if wrong else "\nnothing is wrong", style="red" if wrong else "green")
