"""``headwater ingest`` and ``headwater inspect``: capture files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headwater.cli.console import Json, note, number, plain, plural, print_json, say, table
from headwater.cli.exit_codes import ExitCode
from headwater.cli.loading import opened
from headwater.cli.times import short_time

if TYPE_CHECKING:
    from cdc.inspection import Inspection, TableSummary
    from headwater.ingesting import IngestSummary

Files = Annotated[list[Path], typer.Argument(metavar="FILE", help="Captures: .jsonl or .jsonl.gz.")]


def ingest(
    context: typer.Context,
    files: Files,
    into: Annotated[str | None, typer.Option(metavar="NAME", help="The ingest, where there are several.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="As if into an empty database; nothing is kept.")] = False,
    json: Json = False,
) -> None:
    """Ingest captures.

    What was read before is not read again. Exit code 5: there are new dead letters.
    """
    from headwater.cli.progress import Bar

    with opened(context) as app:
        summaries = []
        for file in files:
            with Bar(file.name, "records", 0, silent=json) as bar:
                summaries += app.ingest(
                    file, into=into, dry_run=dry_run, progress=lambda _, done, total: bar.move_to(done, total)
                )
    if json:
        print_json([_document(each) for each in summaries])
    else:
        _show(summaries)
    if any(each.parked or each.blocked for each in summaries):
        raise typer.Exit(ExitCode.ATTENTION)


def _document(summary: IngestSummary) -> dict[str, Any]:
    names = ("file", "ingest", "records", "read", "events", "parked", "blocked", "seconds", "dry_run")
    letters = [
        {"id": letter.id, "state": letter.state, "key": letter.key, "source": letter.source, "error": letter.error}
        for letter in summary.letters
    ]
    return {name: getattr(summary, name) for name in names} | {"dead_letters": letters}


def _show(summaries: list[IngestSummary]) -> None:
    numbers = ("records", "read now", "events", "parked", "blocked", "seconds")
    made = table("file", "ingest", *numbers, right=numbers)
    for one in summaries:
        counts = (one.records, one.read, one.events, one.parked, one.blocked)
        made.add_row(Path(one.file).name, one.ingest, *map(number, counts), f"{one.seconds:.1f}")
    say(made)
    parked = [letter for one in summaries for letter in one.letters if letter.error]
    for letter in parked:
        note(f"\n{letter.key}  {letter.source}", style="yellow")
        note(letter.error)
    if any(one.parked or one.blocked for one in summaries):
        dry = any(one.dry_run for one in summaries)
        note("\nnothing was kept: this was a dry run" if dry else "\nheadwater dlq list shows all of them")
    elif any(one.dry_run for one in summaries):
        note("\nnothing was kept: this was a dry run")


def inspect(files: Files, json: Json = False) -> None:
    """Say what is in captures, table by table.

    Needs no application.
    """
    from cdc.inspection import inspect as inspect_capture

    found = [inspect_capture(file) for file in files]
    if json:
        print_json([_inspected(one) for one in found])
        return
    for number_, one in enumerate(found):
        if number_:
            say()
        _show_inspection(one)


def _inspected(found: Inspection) -> dict[str, Any]:
    tables = [
        plain(one)
        | {
            "columns": None
            if one.columns is None
            else [{"name": c.name, "type": repr(c.type), "optional": c.optional} for c in one.columns]
        }
        for one in found.tables.values()
    ]
    return {
        "file": str(found.path),
        "records": found.records,
        "tables": tables,
        "sides": found.sides,
        "faulty": found.faulty,
        "faults": found.faults,
        "broken": found.broken,
    }


def _show_inspection(found: Inspection) -> None:
    """What is in one capture."""
    note(f"{found.path.name}: {plural(found.records, 'record')}")
    numbers = ("create", "update", "delete", "read", "truncate")
    made = table("table", *numbers, "first", "last", right=numbers, whole=("table",))
    tables = sorted(found.tables.values(), key=lambda each: each.table)
    for one in tables:
        times = (short_time(at) if at is not None else "" for at in (one.first, one.last))
        made.add_row(one.table, *(number(one.ops.get(op, 0)) for op in "cudrt"), *times)
    say(made)
    for one in tables:
        shapes = f" ({one.versions} shapes)" if one.versions > 1 else ""
        say(f"\n{one.table}  key {', '.join(one.key) or 'none'}{shapes}")
        say(f"  {_columns(one)}")
    tombstones = sum(one.tombstones for one in found.tables.values())
    others = {**found.sides, "tombstone": tombstones} if tombstones else found.sides
    if others:
        note("beside changes: " + ", ".join(plural(count, kind) for kind, count in others.items()))
    for fault in found.faults:
        note(f"record {fault.record} of {fault.topic or 'no topic'} cannot be decoded: {fault.why}", style="red")
    if found.faulty > len(found.faults):
        note(f"… and {number(found.faulty - len(found.faults))} more", style="red")
    if found.broken:
        note(found.broken, style="red")


def _columns(one: TableSummary) -> str:
    if one.columns is None:
        return ", ".join(one.names)
    return ", ".join(f"{column.name} {type(column.type).__name__}" for column in one.columns)
